"""A Uniswap V3 pool's past: its swaps, or the means it remembers itself.

Prices are of token0 in token1 in whole tokens, or the other way round where that is asked for.

Source: v3-core `Swap`, and `observe`, whose running sum of ticks tells the mean price, a geometric one, of any span the
pool still remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from keeper.archive.samples import Samples
from keeper.archive.spans import logs_of, moments_of
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.planner.bars import History
from keeper.protocols import erc20
from keeper.protocols.methods import Method, address
from keeper.protocols.uniswap_v3 import SLOT0, SWAP_TOPIC, read_swap

_TOKENS: Final = tuple(Method(name, (), ("address",)) for name in ("token0", "token1"))
_FEE: Final = Method("fee", (), ("uint256",))
_OBSERVATION: Final = Method("observations", ("uint256",), ("uint32", "int56", "uint160", "bool"))
_OBSERVE: Final = Method("observe", ("uint32[]",), ("int56[]", "uint160[]"))
_AT_ONCE: Final = 500
_Q96: Final = 2**96


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool, its tokens' symbols and decimals, and which is priced in which."""

    at: Address
    symbols: tuple[str, str]
    decimals: tuple[int, int]
    fee: int
    inverted: bool

    @property
    def name(self) -> str:
        """The pair, what is priced first."""
        first, second = reversed(self.symbols) if self.inverted else self.symbols
        return f"{first}/{second} at {self.fee / 1e4:g} %"

    def price(self, raw: float) -> float:
        """In whole tokens, of a price in smallest units of token1 per token0."""
        whole = raw * 10.0 ** (self.decimals[0] - self.decimals[1])
        return 1.0 / whole if self.inverted else whole


def pool_of(node: Node, at: Address, inverted: bool, head: Block) -> Pool:
    """The pool at an address; `Misconfigured` when there is none."""
    told = ask_together(node, [Call(at, method.call()) for method in (*_TOKENS, _FEE, SLOT0)], head.hash)
    try:
        if any(answer is None for answer in told):
            raise Blind("chain: it does not answer as one")
        token0, token1, fee, _ = (
            method.read(answer or b"")[0]
            for method, answer in zip((*_TOKENS, _FEE, SLOT0), told, strict=True)
        )
        tokens = address(token0), address(token1)
        calls = [Call(token, method.call()) for token in tokens for method in (erc20.SYMBOL, erc20.DECIMALS)]
        symbol0, places0, symbol1, places1 = ask_together(node, calls, head.hash)
        decimals = (erc20.DECIMALS.read(places0 or b"")[0], erc20.DECIMALS.read(places1 or b"")[0])
    except Blind as error:
        raise Misconfigured(f"data: {at} is no Uniswap V3 pool ({error})") from error
    symbols = (erc20.read_symbol(symbol0) or tokens[0], erc20.read_symbol(symbol1) or tokens[1])
    return Pool(at, symbols, decimals, fee, inverted)


def swaps(node: Node, pool: Pool, first: int, last: int) -> tuple[Samples, tuple[str, ...]]:
    """The price after every swap of some blocks, with its volume in what prices are told in, and the liquidity."""
    logs = list(logs_of(node, pool.at, SWAP_TOPIC, first, last))
    numbers = [int(log["blockNumber"], 16) for log in logs]
    moments = moments_of(node, numbers)
    read = [_swap(log, pool.at) for log in logs]
    money = 0 if pool.inverted else 1
    unit = 10.0 ** pool.decimals[money]
    both = 10.0 ** (sum(pool.decimals) / 2)
    samples = Samples(
        moment=np.array([moments[number] for number in numbers], dtype=np.int64),
        price=np.array([pool.price((swap.sqrt_price / _Q96) ** 2) for swap in read]),
        volume=np.array([abs((swap.amount0, swap.amount1)[money]) / unit for swap in read]),
        liquidity=np.array([swap.liquidity / both for swap in read]),
    )
    return samples, (f"{len(read)} swaps of {pool.name}, {pool.at}, in blocks {first} to {last}",)


def means(node: Node, pool: Pool, seconds: int, start: int | None, head: Block) -> History:
    """Bars of the pool's own mean prices, as far as it remembers; each is one price, the mean of its span."""
    oldest = max(_oldest(node, pool, head), start or 0)
    edges = list(range(-(-oldest // seconds) * seconds, head.timestamp + 1, seconds))
    if len(edges) <= 2:
        raise Misconfigured(
            f"data: {pool.at} remembers {head.timestamp - oldest} s of what is asked for, less than two bars of "
            f"{seconds} s; its swaps go farther back"
        )
    sums: list[int] = []
    for at in range(0, len(edges), _AT_ONCE):
        agos = [head.timestamp - edge for edge in edges[at : at + _AT_ONCE]]
        (told,) = ask_together(node, [Call(pool.at, _OBSERVE.call(agos))], head.hash)
        if told is None:
            raise Misconfigured(f"data: {pool.at} does not remember {agos[0]} s")
        sums += _OBSERVE.read(told)[0]
    ticks = np.diff(np.array(sums, dtype=np.float64)) / seconds
    prices = np.array([pool.price(1.0001 ** float(tick)) for tick in ticks])
    notes = (
        f"means of {pool.name}, {pool.at}, by its own observations at block {head.number}",
        "every bar is one price, the geometric mean over it: extremes within a bar are not known",
    )
    time = np.array(edges[:-1], dtype=np.int64)
    return History(pool.name, seconds, time, prices, prices, prices, prices, notes=notes)


def _oldest(node: Node, pool: Pool, head: Block) -> int:
    """The moment of the oldest observation that the pool keeps."""
    (slot0,) = ask_together(node, [Call(pool.at, SLOT0.call())], head.hash)
    _, _, index, count, *_ = SLOT0.read(slot0 or b"")
    asked = [Call(pool.at, _OBSERVATION.call(at)) for at in ((index + 1) % count, 0)]
    following, first = (_OBSERVATION.read(told or b"") for told in ask_together(node, asked, head.hash))
    moment: int = (following if following[3] else first)[0]
    return moment


def _swap(log: dict[str, Any], pool: Address) -> Any:
    found = read_swap(log["data"])
    if found is None or not found.sqrt_price:
        raise Misconfigured(f"data: a log of {pool} in block {log['blockNumber']} is no swap")
    return found
