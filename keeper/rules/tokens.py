"""Tokens by the symbols of those that an Aave market lists, and the feeds by which it prices them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.chain.assets import Assets
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.plans import Asset, Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols.aave_v3 import (
    ADDRESSES_PROVIDER,
    GET_PRICE_ORACLE,
    GET_RESERVES_LIST,
    GET_SOURCE,
)
from keeper.protocols.deployments import deployed_on
from keeper.protocols.loan_thresholds import AAVE
from keeper.protocols.methods import Method, address
from keeper.rules.wording import meant_of
from keeper.settings import Settings


def tokens_on_aave(node: Node, aave: Address | None, named: Sequence[str], head: Block) -> list[Asset]:
    """Tokens by their addresses, or by their symbols among those that Aave lists."""
    assets = Assets(node)
    found: list[Asset] = []
    listed: Sequence[Asset] = ()
    for name in named:
        if name.startswith("0x"):
            found += assets.of([Address(name)], head)
            continue
        if aave is None:
            raise Misconfigured(f"rule: no Aave is known here that would list {name}; say the address")
        if not listed:
            (reserves,) = _told(node, aave, GET_RESERVES_LIST, head)
            listed = assets.of([address(each) for each in reserves], head)
        found.append(meant_of(name, listed, "Aave"))
    return found


def aave_of(node: Node, settings: Settings, head: Block) -> Address | None:
    """The Aave that a watched contract for loans stands on, else the chain's own; None where none is known."""
    for watch in settings.watch:
        if watch.kind == "loans":
            return address(_told(node, Address(watch.thresholds), AAVE, head)[0])
    known = deployed_on(settings.chain.id)
    return known.pool if known else None


def feeds_of(node: Node, aave: Address | None, tokens: Sequence[Asset], head: Block) -> list[Address]:
    """The feed by which Aave prices each token; `Misconfigured` where there is none."""
    if not tokens:
        return []
    if aave is None:
        raise Misconfigured(
            f"rule: no Aave is known here that would price {tokens[0].symbol}; say the feed of each asset"
        )
    provider = address(_told(node, aave, ADDRESSES_PROVIDER, head)[0])
    oracle = address(_told(node, provider, GET_PRICE_ORACLE, head)[0])
    calls = [Call(oracle, GET_SOURCE.call(token.address)) for token in tokens]
    feeds = []
    for token, answer in zip(tokens, ask_together(node, calls, head.hash), strict=True):
        feed = address(GET_SOURCE.read(answer or b"")[0])
        if feed == NOBODY:
            raise Misconfigured(f"rule: Aave has no feed for {token.symbol} {token.address}; say it")
        feeds.append(feed)
    return feeds


def _told(node: Node, at: Address, method: Method, head: Block) -> tuple[Any, ...]:
    (answer,) = ask_together(node, [Call(at, method.call())], head.hash)
    if answer is None:
        raise Blind(f"chain: {at} does not answer as an Aave market does")
    return method.read(answer)
