"""The loans under one thresholds contract as the chain shows them at one block.

All rules and accounts are read in one question, unless there are so many that a mirror keeps them (`mirror.py`); only a
breached loan's market is read closer, together with the contract's own verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.accounts import Accounts
from keeper.chain.node import Node, Question
from keeper.chain.price_ages import PriceAges
from keeper.chain.quotes import Belief
from keeper.chain.reads import ask_together, call_question, returned_by
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured, NodeRefused
from keeper.domain.loans import LoanMarket, LoanRule, PoolState, Sight, Snapshot
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.protocols import aave_v3, erc20, lenses, loan_thresholds, uniswap_v3
from keeper.protocols.methods import address

MOST_RULES: Final = 32
"""How many rules of one owner are held: each costs every other owner time."""
# An index of logs may lag behind its blocks, so what it did not tell is counted now and then all the same.
_BLOCKS_BETWEEN_COUNTS: Final = 32
# A `check` may take half a million gas, and public nodes allow a call some fifty million.
_CHECKS: Final = 50


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
        if node.ask("eth_getCode", thresholds, "latest") == "0x":
            raise Misconfigured(f"contract: there is no code at {thresholds} on this chain")
        try:
            self.aave: Final = self._address(thresholds, loan_thresholds.AAVE.call())
            self._factory: Final = self._address(thresholds, loan_thresholds.FACTORY.call())
            self.provider: Final = self._address(self.aave, aave_v3.ADDRESSES_PROVIDER.call())
            oracle = self._address(self.provider, aave_v3.GET_PRICE_ORACLE.call())
        except Blind as error:
            raise Misconfigured(
                f"contract: {thresholds} is not a LoanThresholds contract ({error})"
            ) from error
        self.accounts: Final = Accounts(node, thresholds, self.aave)
        self.ages: Final = PriceAges(node, self.provider, oracle)
        self._keys: tuple[RuleKey, ...] = ()
        self.unattended: tuple[RuleKey, ...] = ()
        """The first rule of each owner that is beyond the `MOST_RULES` held, as `keys` last counted."""
        self._keys_at: Block | None = None
        self._assets: tuple[Address, ...] = ()
        self._pairs: dict[tuple[Address, Address], _Pair] = {}

    def observe(self, block: Block) -> Snapshot:
        """All watched rules, accounts and price ages at one block: in one batch, if nothing is new about the rules."""
        follows = self._follows(block)
        keys = self._keys if follows else self.keys(block)
        asked = self.accounts.questions(keys, block)
        news = [self._news_question({"blockHash": block.hash})] if follows else []
        answers = self._node.ask_each([*news, *asked, *self.ages.questions(self._assets, block)])
        if news and answers.pop(0):
            self._count(block)
        self._keys_at = block
        accounts, ages = answers[: len(asked)], answers[len(asked) :]
        sights = self.accounts.read(keys, block, accounts)
        if keys != self._keys:
            sights = self.accounts.sights(self._keys, block)
        sights = self.with_terms(sights, block)
        assets = tuple(
            sorted({asset for s in sights if s.rule for asset in (s.rule.collateral, s.rule.debt)})
        )
        if assets != self._assets:
            self._assets, ages = assets, []
        return Snapshot(block, tuple(sights), self.ages.read(assets, block, ages))

    def keys(self, block: Block) -> tuple[RuleKey, ...]:
        """Every rule the owners have at `block`; counted anew only when one may have been added."""
        since = self._keys_at
        if since is None or since.hash != block.hash:
            if since is None or self._rules_may_differ(since, block):
                self._count(block)
            self._keys_at = block
        return self._keys

    def _count(self, block: Block) -> None:
        counts = ask_together(
            self._node,
            [Call(self.thresholds, loan_thresholds.RULE_COUNT.call(owner)) for owner in self.owners],
            block.hash,
        )
        numbers = [
            (owner, loan_thresholds.RULE_COUNT.read(_answered(count, "rule_count"))[0])
            for owner, count in zip(self.owners, counts, strict=True)
        ]
        self._keys = tuple(
            RuleKey(self.thresholds, owner, n)
            for owner, number in numbers
            for n in range(min(number, MOST_RULES))
        )
        self.unattended = tuple(
            RuleKey(self.thresholds, owner, MOST_RULES) for owner, number in numbers if number > MOST_RULES
        )

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
                Call(self.aave, aave_v3.GET_RESERVE_DATA.call(rule.collateral)),
                Call(self.ages.oracle, aave_v3.GET_ASSET_PRICE.call(rule.collateral)),
                Call(self.ages.oracle, aave_v3.GET_ASSET_PRICE.call(rule.debt)),
                Call(pair.variable_debt, erc20.BALANCE_OF.call(key.owner)),
                *pools,
            ],
            block.hash,
        )
        finding = loan_thresholds.read_finding(_answered(check, "check"))
        try:
            return finding, _market(pair, rule, market)
        except Blind:
            return finding, None

    def findings(self, keys: Sequence[RuleKey], block: Block) -> list[loan_thresholds.Finding]:
        """The contract's own verdict on each rule."""
        findings = []
        for at in range(0, len(keys), _CHECKS):
            calls = [
                Call(self.thresholds, loan_thresholds.CHECK.call(key.owner, key.id))
                for key in keys[at : at + _CHECKS]
            ]
            answers = ask_together(self._node, calls, block.hash)
            findings += [loan_thresholds.read_finding(_answered(answer, "check")) for answer in answers]
        return findings

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
            told = [_answered(next(prices), "getAssetPrice") for _ in range(2)]
            sold_at, bought_at = (aave_v3.GET_ASSET_PRICE.read(each)[0] for each in told)
            worth = sold_at * pair.debt_unit, bought_at * pair.collateral_unit
            found.append(Belief(sold, bought, worth, pair.pools))
        return found

    def swap_cost(self, rule: LoanRule, fee: int, bought: int, block: Block) -> tuple[int, int] | None:
        """What the pool of `fee` asks for exactly `bought`, and what it gives; None when the node cannot try it."""
        pool = self._pair(rule.collateral, rule.debt, block).pools[uniswap_v3.FEE_TIERS.index(fee)]
        try:
            call = lenses.swap_cost_call(pool, _sells_token0(rule), -bought)
            return lenses.read_swap_cost(self._lend("SwapLens", call, block))
        except NodeRefused:
            return None

    def swap_gain(self, rule: LoanRule, fee: int, sold: int, block: Block) -> tuple[int, int] | None:
        """What the pool of `fee` takes of exactly `sold`, and what it gives; None when the node cannot try it."""
        pool = self._pair(rule.collateral, rule.debt, block).pools[uniswap_v3.FEE_TIERS.index(fee)]
        try:
            call = lenses.swap_cost_call(pool, not _sells_token0(rule), sold)
            return lenses.read_swap_cost(self._lend("SwapLens", call, block))
        except NodeRefused:
            return None

    def _address(self, to: Address, data: bytes) -> Address:
        returned = self._node.ask_bytes("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest")
        return address(aave_v3.GET_POOL.read(returned)[0])

    def _lend(self, lens: str, call: Call, block: Block) -> bytes:
        (answer,) = self._node.ask_each([call_question(call, block.hash, lens)])
        returned = returned_by(answer)
        if not returned:
            raise NodeRefused(f"eth_call: {self._node.name} lends no code to {lens}")
        return returned

    def _follows(self, block: Block) -> bool:
        """Whether `block` comes right after the one of the last count, and is not one to count at anyway."""
        since = self._keys_at
        return since is not None and since.hash == block.parent and block.number % _BLOCKS_BETWEEN_COUNTS != 0

    def _rules_may_differ(self, since: Block, block: Block) -> bool:
        """Whether a rule was set after `since`, or `since` is no longer in the chain so that nobody can say."""
        if block.number <= since.number or block.number % _BLOCKS_BETWEEN_COUNTS == 0:
            return True
        span = {"fromBlock": hex(since.number + 1), "toBlock": hex(block.number)}
        logs, header = self._node.ask_each(
            [self._news_question(span), ("eth_getBlockByNumber", [hex(since.number), False])]
        )
        return bool(logs) or not isinstance(header, dict) or header["hash"] != since.hash

    def _news_question(self, span: dict[str, str]) -> Question:
        """The rules set within blocks; an answer that is not empty, a refusal too, is reason to count."""
        wanted = {**span, "address": self.thresholds, "topics": [loan_thresholds.RULE_SET_TOPIC]}
        return "eth_getLogs", [wanted]

    def with_terms(self, sights: list[Sight], block: Block) -> list[Sight]:
        """The same sights, those whose rules have terms now with them: few do, so they are asked for apart."""
        owing = [n for n, sight in enumerate(sights) if sight.owes_terms]
        calls = [
            Call(self.thresholds, loan_thresholds.TERMS_WORDS_OF.call(sights[n].key.owner, sights[n].key.id))
            for n in owing
        ]
        for n, told in zip(owing, ask_together(self._node, calls, block.hash) if calls else (), strict=True):
            rule = sights[n].rule
            assert rule is not None
            words = loan_thresholds.TERMS_WORDS_OF.read(_answered(told, "terms_words_of"))
            whole = loan_thresholds.with_terms(rule, *words)
            sights[n] = replace(sights[n], rule=whole, owes_terms=False)
        return sights

    def _pair(self, collateral: Address, debt: Address, block: Block) -> _Pair:
        known = self._pairs.get((collateral, debt))
        if known is None:
            calls = [Call(self.aave, aave_v3.GET_RESERVE_DATA.call(asset)) for asset in (collateral, debt)]
            answers = ask_together(self._node, calls, block.hash)
            sold, owed = (aave_v3.read_reserve(_answered(a, "getReserveData")) for a in answers)
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


def _market(pair: _Pair, rule: LoanRule, answers: Sequence[bytes | None]) -> LoanMarket:
    told, collateral_price, debt_price, owed, *pools = answers
    reserve = aave_v3.read_reserve(_answered(told, "getReserveData"))
    return LoanMarket(
        collateral_price=aave_v3.GET_ASSET_PRICE.read(_answered(collateral_price, "getAssetPrice"))[0],
        debt_price=aave_v3.GET_ASSET_PRICE.read(_answered(debt_price, "getAssetPrice"))[0],
        collateral_unit=pair.collateral_unit,
        debt_unit=pair.debt_unit,
        collateral_threshold_bps=reserve.threshold_bps,
        repayable=loan_thresholds.repayable_down(erc20.BALANCE_OF.read(_answered(owed, "balanceOf"))[0]),
        pools=tuple(_pool_states(rule, pools)),
        bonus_bps=reserve.bonus_bps,
    )


def _pool_states(rule: LoanRule, answers: Sequence[bytes | None]) -> Iterable[PoolState]:
    for n, fee in enumerate(uniswap_v3.FEE_TIERS):
        slot0, liquidity = answers[2 * n : 2 * n + 2]
        if not slot0 or not liquidity:
            continue  # the factory has made no pool of this tier
        sqrt_price = uniswap_v3.SLOT0.read(slot0)[0]
        in_range = uniswap_v3.LIQUIDITY.read(liquidity)[0]
        if sqrt_price:
            yield PoolState(fee, sqrt_price, in_range, _sells_token0(rule))


def _answered(answer: bytes | None, name: str) -> bytes:
    if answer is None:
        raise Blind(f"chain: {name} reverted")
    return answer
