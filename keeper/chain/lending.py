"""What a lending pool's accounts hold and what everybody sees of it, read at one block in the pool's own shares.

Source: aave-v3 `IPool`, `IScaledBalanceToken`, `IAaveOracle`; `DataTypes.EModeCategory` before 3.2 and from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.reads import ask_at_length, call_question, read_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.holdings import Category, Holding, LendingMarket, Listing, bits
from keeper.domain.loans import Loan
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols import aave_v3, erc20
from keeper.protocols.methods import address
from keeper.protocols.multicall3 import together

# What is larger would cost the columns their bounds, and is left for Aave to value.
_PRICE_BITS: Final = 64
_INDEX_BITS: Final = 96
_MOST_DECIMALS: Final = 36
_SHARES_BITS: Final = 128
_LISTING_CALLS: Final = 4
_TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a question about the market depends on, found out by the one before it."""

    oracle: Address = NOBODY
    assets: tuple[Address, ...] = ()
    sources: Mapping[int, Address | None] | None = None


class Market:
    """The pool at `aave` as everybody sees it, with those of its e-modes that are asked for."""

    def __init__(self, node: Node, aave: Address, provider: Address, rounds_apart: bool) -> None:
        self._node = node
        self._aave = aave
        self._provider = provider
        self._rounds_apart = rounds_apart
        self._asked = _Asked()
        self._modes: frozenset[int] = frozenset()
        self._count, self._call = 0, Call(NOBODY, b"")
        self._put_together()

    def question(self, block: Block) -> Question:
        """What to ask first, perhaps together with other things; its answer is for `read`."""
        return call_question(self._call, block.hash)

    def read_modes_too(self, modes: AbstractSet[int]) -> bool:
        """Read these e-modes from now on; False when they were read already."""
        if modes <= self._modes:
            return False
        self._modes |= modes
        self._put_together()
        return True

    def at(self, block: Block) -> LendingMarket:
        """The market at a block, asked for by itself."""
        (answer,) = self._node.ask_each([self.question(block)])
        return self.read(block, answer)

    def read(self, block: Block, answer: Any) -> LendingMarket:
        """The market in the answer, asked once more for whatever it shows to be new."""
        for _ in range(_TRIES):
            answers = read_together(answer, self._count)
            asked, market = self._understood(answers)
            if asked == self._asked:
                return market
            self._asked = asked
            self._put_together()
            (answer,) = self._node.ask_each([self.question(block)])
        raise Blind(f"chain: the reserves of {self._aave} changed while they were read")

    def _put_together(self) -> None:
        """The question's call, kept until something of it is new: to put it together takes longer than to ask it."""
        calls = self._calls()
        self._count, self._call = len(calls), together(calls)

    def _calls(self) -> list[Call]:
        asked = self._asked
        calls = [
            Call(self._provider, aave_v3.GET_PRICE_ORACLE.call()),
            Call(self._aave, aave_v3.GET_RESERVES_LIST.call()),
        ]
        for asset in asked.assets:
            calls += [
                Call(self._aave, aave_v3.GET_RESERVE_DATA.call(asset)),
                Call(self._aave, aave_v3.GET_INCOME.call(asset)),
                Call(self._aave, aave_v3.GET_DEBT_INDEX.call(asset)),
                Call(asked.oracle, aave_v3.GET_ASSET_PRICE.call(asset)),
            ]
        for mode in sorted(self._modes):
            if self._rounds_apart:
                calls += [
                    Call(self._aave, aave_v3.GET_EMODE_CONFIG.call(mode)),
                    Call(self._aave, aave_v3.GET_EMODE_BITMAP.call(mode)),
                ]
            else:
                source = (asked.sources or {}).get(mode) or NOBODY
                calls += [
                    Call(self._aave, aave_v3.GET_EMODE.call(mode)),
                    Call(asked.oracle, aave_v3.GET_ASSET_PRICE.call(source)),
                ]
        return calls

    def _understood(self, answers: Sequence[bytes | None]) -> tuple[_Asked, LendingMarket]:
        """The market, and what the question should have been for it to be this block's."""
        oracle = address(aave_v3.GET_PRICE_ORACLE.read(answers[0] or b"")[0])
        assets = tuple(map(address, aave_v3.GET_RESERVES_LIST.read(answers[1] or b"")[0]))
        at = 2
        listings = {}
        for asset in self._asked.assets:
            listing = _listing(asset, answers[at : at + _LISTING_CALLS])
            listings[listing.id] = listing
            at += _LISTING_CALLS
        categories = {}
        for mode in sorted(self._modes):
            config, more = answers[at : at + 2]
            categories[mode] = self._category(config or b"", more)
            at += 2
        asked = _Asked(oracle, assets, {mode: each.source for mode, each in categories.items()})
        return asked, LendingMarket(self._rounds_apart, listings, categories)

    def _category(self, config: bytes, more: bytes | None) -> Category:
        if self._rounds_apart:
            _, threshold, _ = aave_v3.GET_EMODE_CONFIG.read(config)
            return Category(threshold, aave_v3.GET_EMODE_BITMAP.read(more or b"")[0], None, None)
        _, threshold, _, source, _ = aave_v3.GET_EMODE.read(config)[0]
        if address(source) == NOBODY:
            return Category(threshold, 0, None, None)
        return Category(threshold, 0, address(source), _price(more))


def _listing(asset: Address, answers: Sequence[bytes | None]) -> Listing:
    data, income, debt_index, price = answers
    if data is None or income is None or debt_index is None:
        raise Blind(f"chain: the reserve of {asset} cannot be read")
    (reserve,) = aave_v3.GET_RESERVE_DATA.read(data)
    parameters: int = reserve[0]
    decimals = parameters >> 48 & 0xFF
    indexes = aave_v3.GET_INCOME.read(income)[0], aave_v3.GET_DEBT_INDEX.read(debt_index)[0]
    is_usual = decimals <= _MOST_DECIMALS and max(indexes) >> _INDEX_BITS == 0
    return Listing(
        id=reserve[7],
        asset=asset,
        a_token=address(reserve[8]),
        variable_debt=address(reserve[10]),
        stable_debt=address(reserve[9]),
        unit=10 ** min(decimals, _MOST_DECIMALS),
        threshold_bps=parameters >> 16 & 0xFFFF,
        category=parameters >> 168 & 0xFF,
        income=indexes[0],
        debt_index=indexes[1],
        price=_price(price) if is_usual else None,
    )


def _price(answer: bytes | None) -> int | None:
    if answer is None or len(answer) != 32:
        return None
    price = int.from_bytes(answer, "big")
    return price if 0 < price < 1 << _PRICE_BITS else None


def read_holdings(
    node: Node, aave: Address, owners: Sequence[Address], market: LendingMarket, block: Block
) -> list[Holding | None]:
    """What each owner holds, None where it cannot be read."""
    first = ask_at_length(
        node,
        [
            Call(aave, method.call(owner))
            for owner in owners
            for method in (aave_v3.GET_USER_CONFIGURATION, aave_v3.GET_USER_EMODE)
        ],
        block.hash,
    )
    used = [_number(answer) for answer in first[::2]]
    modes = [_number(answer) for answer in first[1::2]]
    calls = [
        Call(token, (erc20.BALANCE_OF if token == stable else aave_v3.SCALED_BALANCE_OF).call(owner))
        for owner, map_ in zip(owners, used, strict=True)
        for token, stable in _tokens(market, map_ or 0)
    ]
    answers = iter(ask_at_length(node, calls, block.hash))
    return [
        _holding(market, map_ or 0, mode, answers) if map_ is not None and mode is not None else None
        for map_, mode in zip(used, modes, strict=True)
    ]


def _tokens(market: LendingMarket, used: int) -> Iterable[tuple[Address, Address]]:
    """The tokens to ask about the reserves in use, each with the one among them that is asked in another way."""
    for id_, is_owed, is_collateral in bits(used):
        listing = market.listings.get(id_)
        if listing is None:
            continue
        if is_collateral:
            yield listing.a_token, NOBODY
        if is_owed:
            yield listing.variable_debt, NOBODY
            if listing.stable_debt != NOBODY:
                yield listing.stable_debt, listing.stable_debt


def _holding(market: LendingMarket, used: int, mode: int, answers: Iterable[bytes | None]) -> Holding | None:
    told = iter(answers)
    collateral: list[tuple[int, int]] = []
    debt: list[tuple[int, int]] = []
    is_whole = is_read = True
    for id_, is_owed, is_collateral in bits(used):
        listing = market.listings.get(id_)
        for is_used, side in ((is_collateral, collateral), (is_owed, debt)):
            if is_used:
                shares = 0 if listing is None else _number(next(told))
                is_read &= shares is not None and shares >> _SHARES_BITS == 0
                side.append((id_, shares or 0))
        if is_owed and listing is not None and listing.stable_debt != NOBODY:
            is_whole &= _number(next(told)) == 0
    return Holding(mode, tuple(collateral), tuple(debt), is_whole) if is_read else None


def _number(answer: bytes | None) -> int | None:
    return int.from_bytes(answer, "big") if answer is not None and len(answer) == 32 else None


def account_calls(aave: Address, owners: Sequence[Address]) -> list[Call]:
    """One call an account for Aave's own word on it; its answer is for `account_of`."""
    return [Call(aave, aave_v3.GET_USER_ACCOUNT_DATA.call(owner)) for owner in owners]


def account_of(answer: bytes | None) -> Loan | None:
    """An account as Aave values it, None where it cannot."""
    if answer is None:
        return None
    collateral, debt, _, threshold, _, health = aave_v3.GET_USER_ACCOUNT_DATA.read(answer)
    return Loan(collateral, debt, threshold, health)
