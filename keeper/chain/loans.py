"""The loans under one thresholds contract as the chain shows them at one block.

All rules and accounts are read in one question, unless there are so many that a mirror keeps them (`mirror.py`); only a
breached loan's market is read closer, together with the contract's own verdict.

Assumes: an e-mode with a price of its own, which Aave has known before 3.2 only, is not older than its reserves' own
prices, since the age of those alone is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.accounts import Accounts
from keeper.chain.node import Node
from keeper.chain.price_ages import PriceAges
from keeper.chain.quotes import Belief
from keeper.chain.reads import ask_lent, ask_together
from keeper.chain.rule_keys import RuleKeys
from keeper.chain.thresholds import address_at, answered, expected_at, findings
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, NodeRefused
from keeper.domain.loans import LoanMarket, LoanRule, PoolState, Sight, Snapshot
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.domain.verdicts import Kind
from keeper.protocols import aave_v3, erc20, lenses, loan_thresholds, uniswap_v3, volatility

# A `check` may take half a million gas, and public nodes allow a call some fifty million.
_CHECKS: Final = 50
_IN_BAND: Final = "health: "
"""The room of a reason that names no obstacle."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """What does not change of a collateral and a debt asset; a pool for each fee tier, whether it exists or not."""

    collateral_unit: int
    debt_unit: int
    variable_debt: Address
    pools: tuple[Address, ...]


class Loans:
    """The rules of `owners` in the contract at `thresholds`, and the accounts they are about.

    `Misconfigured` when there is no such contract on the node's chain.
    """

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address]) -> None:
        self._node = node
        self.thresholds: Final = thresholds
        self.owners: Final = tuple(owners)
        with expected_at(node, thresholds, "LoanThresholds"):
            self.aave: Final = address_at(node, thresholds, loan_thresholds.AAVE)
            self._factory: Final = address_at(node, thresholds, loan_thresholds.FACTORY)
            self.provider: Final = address_at(node, self.aave, aave_v3.ADDRESSES_PROVIDER)
            oracle = address_at(node, self.provider, aave_v3.GET_PRICE_ORACLE)
        self.keys: Final = RuleKeys(node, thresholds, owners, loan_thresholds.RULE_SET_TOPIC)
        self.accounts: Final = Accounts(node, thresholds, self.aave)
        self.ages: Final = PriceAges(node, self.provider, oracle)
        self._assets: tuple[Address, ...] = ()
        self._pairs: dict[tuple[Address, Address], _Pair] = {}
        self._volatility: Address | None = None

    def observe(self, block: Block) -> Snapshot:
        """All watched rules, accounts and price ages at one block: in one batch, if nothing is new about the rules."""
        news = self.keys.news(block)
        keys = self.keys.at(block) if news is None else self.keys.counted
        asked = self.accounts.questions(keys, block)
        ages = self.ages.questions(self._assets, block)
        answers = self._node.ask_each([*([] if news is None else [news]), *asked, *ages])
        if news is not None:
            self.keys.hear(answers.pop(0), block)
        accounts, ages_told = answers[: len(asked)], answers[len(asked) :]
        sights = self.accounts.read(keys, block, accounts)
        if keys != self.keys.counted:
            sights = self.accounts.sights(self.keys.counted, block)
        sights = self.with_terms(sights, block)
        assets = tuple(
            sorted({asset for s in sights if s.rule for asset in (s.rule.collateral, s.rule.debt)})
        )
        if assets != self._assets:
            self._assets, ages_told = assets, []
        return Snapshot(block, tuple(sights), self.ages.read(assets, block, ages_told))

    def sights(self, keys: Sequence[RuleKey], block: Block) -> list[Sight]:
        """The keys' rules and accounts at `block`."""
        return self.with_terms(self.accounts.sights(keys, block), block)

    def consult(
        self, key: RuleKey, rule: LoanRule, block: Block
    ) -> tuple[loan_thresholds.Finding, LoanMarket | None]:
        """The contract's own verdict, which has the last word, and the market to size an action in.

        The market is None when part of it cannot be read, as that of an asset Aave does not list.
        """
        pair = self._pair(rule.collateral, rule.debt, block)
        pools = [
            Call(pool, method.call())
            for pool in pair.pools
            for method in (uniswap_v3.SLOT0, uniswap_v3.LIQUIDITY)
        ]
        check, *market = ask_together(
            self._node,
            [
                Call(key.thresholds, loan_thresholds.CHECK.call(key.owner, key.id)),
                Call(self.aave, aave_v3.GET_USER_EMODE.call(key.owner)),
                *(Call(self.aave, aave_v3.GET_RESERVE_DATA.call(a)) for a in (rule.collateral, rule.debt)),
                *self._prices(rule.collateral, rule.debt),
                Call(pair.variable_debt, erc20.BALANCE_OF.call(key.owner)),
                *pools,
            ],
            block.hash,
        )
        finding = loan_thresholds.read_finding(answered(check, "check"))
        try:
            return finding, self._market(pair, rule, market, block)
        except Blind:
            return finding, None

    def _prices(self, *assets: Address) -> list[Call]:
        return [Call(self.ages.oracle, aave_v3.GET_ASSET_PRICE.call(asset)) for asset in assets]

    def _market(
        self, pair: _Pair, rule: LoanRule, answers: Sequence[bytes | None], block: Block
    ) -> LoanMarket:
        """The market as the account's e-mode has it: what is in the mode counts by its threshold, bonus and price."""
        told, *reserves_told, collateral_price, debt_price, owed = answers[:6]
        reserves = [aave_v3.read_reserve(answered(each, "getReserveData")) for each in reserves_told]
        prices = [collateral_price, debt_price]
        reserve = reserves[0]
        threshold, bonus = reserve.threshold_bps, reserve.bonus_bps
        mode = self._mode(aave_v3.GET_USER_EMODE.read(answered(told, "getUserEMode"))[0], block)
        if mode is not None:
            if mode.counts(reserve):
                threshold, bonus = mode.threshold_bps, mode.bonus_bps
            if mode.source != NOBODY:
                (price,) = ask_together(self._node, self._prices(mode.source), block.hash)
                prices = [
                    price if mode.counts(each) else own for each, own in zip(reserves, prices, strict=True)
                ]
        sold_at, bought_at = (
            aave_v3.GET_ASSET_PRICE.read(answered(price, "getAssetPrice"))[0] for price in prices
        )
        return LoanMarket(
            collateral_price=sold_at,
            debt_price=bought_at,
            collateral_unit=pair.collateral_unit,
            debt_unit=pair.debt_unit,
            collateral_threshold_bps=threshold,
            repayable=loan_thresholds.repayable_down(erc20.BALANCE_OF.read(answered(owed, "balanceOf"))[0]),
            pools=tuple(_pool_states(rule, answers[6:])),
            bonus_bps=bonus,
        )

    def _mode(self, id_: int, block: Block) -> aave_v3.Mode | None:
        """What an e-mode says, which few accounts need: it is asked for apart."""
        if id_ == 0:
            return None
        asked = (aave_v3.GET_EMODE, aave_v3.GET_EMODE_BITMAP)
        calls = [Call(self.aave, method.call(id_)) for method in asked]
        told, members = ask_together(self._node, calls, block.hash)
        return aave_v3.read_mode(id_, answered(told, "getEModeCategoryData"), members)

    def findings(self, keys: Sequence[RuleKey], block: Block) -> list[loan_thresholds.Finding]:
        """The contract's own verdict on each rule."""
        return findings(
            self._node, keys, loan_thresholds.CHECK, loan_thresholds.read_finding, _CHECKS, block.hash
        )

    def foretold(
        self, sights: Sequence[Sight], found: Sequence[loan_thresholds.Finding], block: Block
    ) -> list[loan_thresholds.Finding]:
        """The findings, with the credit that borrowing would lack: `check` asks for it above a ceiling only."""
        asked = {
            n: self._pair(sight.rule.collateral, sight.rule.debt, block).variable_debt
            for n, (sight, finding) in enumerate(zip(sights, found, strict=True))
            if sight.rule
            and sight.rule.borrows
            and finding.kind is Kind.WITHIN
            and finding.why.startswith(_IN_BAND)
        }
        calls = [
            Call(token, aave_v3.BORROW_ALLOWANCE.call(sights[n].key.owner, self.thresholds))
            for n, token in asked.items()
        ]
        told = list(found)
        for n, answer in zip(
            asked, ask_together(self._node, calls, block.hash) if calls else (), strict=True
        ):
            if aave_v3.BORROW_ALLOWANCE.read(answered(answer, "borrowAllowance"))[0] == 0:
                told[n] = replace(found[n], why=loan_thresholds.UNDELEGATED)
        return told

    def beliefs(self, rules: Sequence[LoanRule], block: Block) -> list[Belief]:
        """What Aave holds each rule's collateral to be worth in its debt, and the pools of that pair."""
        pairs = {
            (rule.collateral, rule.debt): self._pair(rule.collateral, rule.debt, block) for rule in rules
        }
        calls = [
            Call(self.ages.oracle, aave_v3.GET_ASSET_PRICE.call(asset)) for pair in pairs for asset in pair
        ]
        prices = iter(ask_together(self._node, calls, block.hash))
        found: list[Belief] = []
        for (sold, bought), pair in pairs.items():
            told = [answered(next(prices), "getAssetPrice") for _ in range(2)]
            sold_at, bought_at = (aave_v3.GET_ASSET_PRICE.read(each)[0] for each in told)
            worth = sold_at * pair.debt_unit, bought_at * pair.collateral_unit
            found.append(Belief(sold, bought, worth, pair.pools))
        return found

    def swap_cost(self, rule: LoanRule, fee: int, bought: int, block: Block) -> tuple[int, int] | None:
        """What the pool of `fee` asks for exactly `bought`, and what it gives; None when the node cannot try it."""
        pool = self._pair(rule.collateral, rule.debt, block).pools[uniswap_v3.FEE_TIERS.index(fee)]
        try:
            call = lenses.swap_cost_call(pool, _sells_token0(rule), -bought)
            return lenses.read_swap_cost(ask_lent(self._node, "SwapLens", call, block.hash))
        except NodeRefused:
            return None

    def swap_gain(self, rule: LoanRule, fee: int, sold: int, block: Block) -> tuple[int, int] | None:
        """What the pool of `fee` takes of exactly `sold`, and what it gives; None when the node cannot try it."""
        pool = self._pair(rule.collateral, rule.debt, block).pools[uniswap_v3.FEE_TIERS.index(fee)]
        try:
            call = lenses.swap_cost_call(pool, not _sells_token0(rule), sold)
            return lenses.read_swap_cost(ask_lent(self._node, "SwapLens", call, block.hash))
        except NodeRefused:
            return None

    def with_terms(self, sights: list[Sight], block: Block) -> list[Sight]:
        """The same sights, those whose rules have terms now with them, and with the volatility that they follow.

        Few do, so they are asked for apart.
        """
        owing = [n for n, sight in enumerate(sights) if sight.owes_terms]
        calls = [
            Call(self.thresholds, loan_thresholds.TERMS_WORDS_OF.call(sights[n].key.owner, sights[n].key.id))
            for n in owing
        ]
        for n, told in zip(owing, ask_together(self._node, calls, block.hash) if calls else (), strict=True):
            rule = sights[n].rule
            assert rule is not None
            words = loan_thresholds.TERMS_WORDS_OF.read(answered(told, "terms_words_of"))
            whole = loan_thresholds.with_terms(rule, *words)
            sights[n] = replace(sights[n], rule=whole, owes_terms=False)
        return self._with_sigmas(sights, block)

    def _with_sigmas(self, sights: list[Sight], block: Block) -> list[Sight]:
        feeds = sorted({s.rule.terms.feed for s in sights if s.rule and s.rule.terms.highest_bps})
        if not feeds:
            return sights
        if self._volatility is None:
            self._volatility = address_at(self._node, self.thresholds, loan_thresholds.VOLATILITY)
        asked = (volatility.SIGMA, volatility.AGE)
        calls = [Call(self._volatility, method.call(feed)) for feed in feeds for method in asked]
        told = iter(ask_together(self._node, calls, block.hash))
        sigmas = {feed: volatility.known_sigma(*(_word(next(told)) for _ in asked)) for feed in feeds}
        return [
            replace(sight, rule=replace(sight.rule, sigma=sigmas[sight.rule.terms.feed]))
            if sight.rule and sight.rule.terms.highest_bps
            else sight
            for sight in sights
        ]

    def _pair(self, collateral: Address, debt: Address, block: Block) -> _Pair:
        known = self._pairs.get((collateral, debt))
        if known is None:
            calls = [Call(self.aave, aave_v3.GET_RESERVE_DATA.call(asset)) for asset in (collateral, debt)]
            answers = ask_together(self._node, calls, block.hash)
            sold, owed = (aave_v3.read_reserve(answered(a, "getReserveData")) for a in answers)
            known = _Pair(
                collateral_unit=sold.unit,
                debt_unit=owed.unit,
                variable_debt=owed.variable_debt,
                pools=tuple(
                    uniswap_v3.pool_address(self._factory, collateral, debt, fee)
                    for fee in uniswap_v3.FEE_TIERS
                ),
            )
            if NOBODY not in (sold.a_token, owed.variable_debt):
                self._pairs[collateral, debt] = known  # until then an asset may yet be listed
        return known


def _sells_token0(rule: LoanRule) -> bool:
    return int(rule.collateral, 16) < int(rule.debt, 16)


def _pool_states(rule: LoanRule, answers: Sequence[bytes | None]) -> Iterable[PoolState]:
    for n, fee in enumerate(uniswap_v3.FEE_TIERS):
        slot0, liquidity = answers[2 * n : 2 * n + 2]
        if not slot0 or not liquidity:
            continue  # the factory has made no pool of this tier
        sqrt_price = uniswap_v3.SLOT0.read(slot0)[0]
        in_range = uniswap_v3.LIQUIDITY.read(liquidity)[0]
        if sqrt_price:
            yield PoolState(fee, sqrt_price, in_range, _sells_token0(rule))


def _word(answer: bytes | None) -> int:
    return int.from_bytes(answered(answer, "volatility"), "big")
