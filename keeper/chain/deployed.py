"""Whether a chain is the one it says it is: what is known to stand there does, and its parts name each other."""

from __future__ import annotations

from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols import basket_thresholds, loan_thresholds, range_thresholds
from keeper.protocols.aave_v3 import ADDRESSES_PROVIDER, GET_POOL
from keeper.protocols.deployments import Deployment
from keeper.protocols.methods import Method, address

_MANAGERS_FACTORY: Final = Method("factory", (), ("address",))


def require(node: Node, known: Deployment, head: Block) -> None:
    """`Misconfigured` unless the chain has this Aave and this Uniswap."""
    parts = {
        "Aave's PoolAddressesProvider": known.provider,
        "Aave's pool": known.pool,
        "Uniswap's position manager": known.position_manager,
        "Uniswap's factory": known.factory,
    }
    codes = node.ask_each([("eth_getCode", [at, "latest"]) for at in parts.values()])
    for (what, at), code in zip(parts.items(), codes, strict=True):
        if code == "0x":
            raise Misconfigured(f"chain: {what} should stand at {at}, so this is not {known.title}")
    names = (
        ("Aave's PoolAddressesProvider", GET_POOL, known.pool),
        ("Aave's pool", ADDRESSES_PROVIDER, known.provider),
        ("Uniswap's position manager", _MANAGERS_FACTORY, known.factory),
    )
    answers = ask_together(node, [Call(parts[what], method.call()) for what, method, _ in names], head.hash)
    for (what, method, expected), answer in zip(names, answers, strict=True):
        told = _read(method, answer or b"")
        if told != expected:
            raise Misconfigured(
                f"chain: {what} at {parts[what]} names {told}, not {expected}, so this is not {known.title}"
            )


def stands_elsewhere(node: Node, known: Deployment, kind: str, thresholds: Address, head: Block) -> str:
    """What a thresholds contract stands on, where that is not the chain's own; empty where it is."""
    asked = {
        "baskets": (basket_thresholds.FACTORY, known.factory, "a Uniswap factory"),
        "loans": (loan_thresholds.AAVE, known.pool, "an Aave pool"),
        "ranges": (range_thresholds.MANAGER, known.position_manager, "a position manager"),
    }.get(kind)
    if asked is None:
        return ""
    method, expected, what = asked
    (answer,) = ask_together(node, [Call(thresholds, method.call())], head.hash)
    told = _read(method, answer or b"")
    return "" if told == expected else f"{what} at {told or 'an unknown place'}, not {expected}"


def _read(method: Method, answer: bytes) -> Address | None:
    try:
        return address(method.read(answer)[0])
    except Blind:
        return None
