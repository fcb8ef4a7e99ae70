"""The holdings and rules of many owners, kept from block to block, so that a turn reads only what changed.

Whoever a log names is read anew, exactly. An account is believed to be worth what its shares come to once the same
reserves in use and the same e-mode gave, to the digit, what Aave gave; and in every turn some are compared with Aave
again. Where one differs it is said, everything is read anew in that very turn, and who differs even then is left to
Aave.

Assumes: what happens to an account in Aave V3, or to a rule, is told by a log of the pool, of a token of the pool or of
the thresholds contract that names the owner in a topic.
Source: aave-v3 `IPool`, `IScaledBalanceToken`, `IAToken`; contracts/interfaces/ILoanThresholds.vyi.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keeper.chain.lending import Market, account_calls, account_of, read_holdings
from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.reads import ask_at_length, read_together, together_question
from keeper.chain.rule_keys import MOST_RULES
from keeper.chain.trail import Trail
from keeper.domain.blocks import Block
from keeper.domain.columns import HoldingColumns, RuleColumns
from keeper.domain.errors import Blind
from keeper.domain.holdings import Holding, LendingMarket
from keeper.domain.loans import LoanRule, Sight
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.judge.loan_worth import worth
from keeper.protocols import loan_thresholds
from keeper.protocols.lenses import rule_of

COMPARED: Final = 8
"""How many accounts are compared with Aave in every turn, each in its turn."""

MOST_READ: Final = 20_000
"""How many owners are read anew in one turn; of more it is said that they are still to be read."""

_Words = dict[RuleKey, bytes]


@dataclass(frozen=True, slots=True)
class Mirrored:
    """All watched loans at one block: the columns are the mirror's own, and as they are until its next block.

    `sights` are those that were asked for, read from the chain; `said` is what the mirror found wrong with itself.
    """

    block: Block
    market: LendingMarket
    held: HoldingColumns
    rules: RuleColumns
    sights: tuple[Sight, ...]
    price_ages: Mapping[Address, int | None]
    unattended: tuple[RuleKey, ...]
    said: tuple[str, ...]


class Mirror:
    """A mirror of the owners of `loans`, and of their rules; nothing is read before the first block."""

    def __init__(self, node: Node, loans: Loans) -> None:
        self._node = node
        self._loans = loans
        self._owners: Final = loans.owners
        self._market = Market(node, loans.aave, loans.provider, loans.accounts.since_3_6)
        self._trail = Trail(node, {_topic(owner): at for at, owner in enumerate(self._owners)})
        self._held = HoldingColumns(len(self._owners))
        self._rules = RuleColumns()
        self._words: _Words = {}
        self._counts: list[int] = []
        self._unattended: dict[Address, RuleKey] = {}
        self._assets: tuple[Address, ...] = ()
        self._places: list[Address] = []
        self._unread: frozenset[int] = frozenset()
        self._put_off = 0
        self._agreed: set[tuple[int, int]] = set()
        self._differed: set[tuple[int, int]] = set()
        self._compared_until = 0

    def observe(self, block: Block, near: Sequence[RuleKey]) -> Mirrored:
        """The mirror at `block`, and what stands under the keys that are `near` read from the chain.

        All in one batch, if nobody's holdings or rules changed.
        """
        follows, assets = self._trail.follows(block), self._assets
        news = [self._trail.question(block.hash, self._places)] if follows else []
        late = self._trail.late_questions(self._places)
        compared = self._to_compare()
        asked = self._loans.accounts.questions(near, block)
        market, proof, *more = self._node.ask_each(
            [
                self._market.question(block),
                together_question(self._comparison(compared), block.hash),
                *news,
                *late,
                *asked,
                *self._loans.ages.questions(assets, block),
            ]
        )
        told = more.pop(0) if follows else None
        late_told, more = more[: len(late)], more[len(late) :]
        sights = self._loans.accounts.read(near, block, more[: len(asked)])
        seen = self._market.read(block, market)
        changed = self._trail.changed(block, told, late_told, self._places)
        seen, said = self._renewed(block, seen, changed, compared, proof)
        return Mirrored(
            block,
            seen,
            self._held,
            self._rules,
            tuple(self._loans.with_terms(sights, block)),
            self._loans.ages.read(self._assets, block, more[len(asked) :] if assets == self._assets else ()),
            tuple(self._unattended.values()),
            said,
        )

    def _renewed(
        self,
        block: Block,
        market: LendingMarket,
        changed: frozenset[int] | None,
        compared: Sequence[int],
        proof: Any,
    ) -> tuple[LendingMarket, tuple[str, ...]]:
        """The market, everything being as at `block`, and what was wrong."""
        known = changed is not None
        if changed is None:
            changed = self._forget()
        market = self._read(changed | self._unread, block, market)
        said: tuple[str, ...] = ()
        differing = self._differing(market, compared, proof)
        if differing and known:
            owner = self._owners[differing[0]]
            said = (
                f"mirror: {owner} was not held as the chain has it at block {block.number}; all are read anew",
            )
            changed = self._forget()
            market = self._read(changed, block, market)
            differing = self._differing(market, compared, proof)
        for account in differing:
            self._settle(self._held.of(account).combination, agrees=False)
        if self._put_off:
            said += (f"mirror: {self._put_off} owners are still to be read at block {block.number}",)
        self._trail.walk(block, changed)
        tokens = ((each.a_token, each.variable_debt, each.stable_debt) for each in market.listings.values())
        self._places = [
            self._loans.aave,
            self._loans.thresholds,
            *(token for three in tokens for token in three if token != NOBODY),
        ]
        return market, said

    def _forget(self) -> frozenset[int]:
        """Hold nothing of anybody; who is to be read, which is everyone."""
        self._trail.forget()
        self._held = HoldingColumns(len(self._owners))
        self._rules = RuleColumns()
        self._words = {}
        self._counts = [0] * len(self._owners)
        self._unattended = {}
        self._agreed = set()
        self._unread = frozenset()
        return frozenset(range(len(self._owners)))

    # Reading

    def _read(self, due: frozenset[int], block: Block, market: LendingMarket) -> LendingMarket:
        """Renew the rows of some accounts; the market, with the e-modes they turn out to be in."""
        accounts = sorted(due)[:MOST_READ]
        self._put_off = len(due) - len(accounts)
        if not accounts:
            return market
        owners = [self._owners[account] for account in accounts]
        holdings = read_holdings(self._node, self._loans.aave, owners, market, block)
        modes = {holding.mode for holding in holdings if holding} - {0}
        if self._market.read_modes_too(modes):
            market = self._market.at(block)
        counts, words, rules = self._read_rules(owners, block)
        self._prove(zip(owners, holdings, strict=True), market, block)
        trusted = self._agreed - self._differed
        for account, holding in zip(accounts, holdings, strict=True):
            fit = holding is not None and holding.combination in trusted
            self._held.put(account, holding or Holding(0, (), ()), fit)
        self._unread = due - frozenset(
            account for account, holding in zip(accounts, holdings, strict=True) if holding is not None
        )
        for account in self._unread:
            self._held.fit[account] = False
        self._write_rules(accounts, counts, words, rules)
        return market

    def _write_rules(
        self,
        accounts: Sequence[int],
        counts: Sequence[int],
        words: _Words,
        rules: Mapping[RuleKey, LoanRule | None],
    ) -> None:
        gone: set[RuleKey] = set()
        for account, count in zip(accounts, counts, strict=True):
            owner, thresholds = self._owners[account], self._loans.thresholds
            # Only a block that is taken back takes rules along.
            gone |= {RuleKey(thresholds, owner, n) for n in range(count, self._counts[account])}
            self._counts[account] = count
            self._unattended.pop(owner, None)
            if count > MOST_RULES:
                self._unattended[owner] = RuleKey(thresholds, owner, MOST_RULES)
        if gone:
            self._words = {key: each for key, each in self._words.items() if key not in gone}
            self._rules.keep(self._words)
        place = {self._owners[account]: account for account in accounts}
        for key, rule in rules.items():
            self._rules.put(key, place[key.owner], rule)
        self._words |= words
        assets = {asset for rule in rules.values() if rule for asset in (rule.collateral, rule.debt)}
        self._assets = tuple(sorted(assets.union(self._assets)))

    def _read_rules(
        self, owners: Sequence[Address], block: Block
    ) -> tuple[list[int], _Words, dict[RuleKey, LoanRule | None]]:
        thresholds = self._loans.thresholds
        calls = [Call(thresholds, loan_thresholds.RULE_COUNT.call(owner)) for owner in owners]
        counts = [
            loan_thresholds.RULE_COUNT.read(_answered(told, "rule_count"))[0]
            for told in ask_at_length(self._node, calls, block.hash)
        ]
        keys = [
            RuleKey(thresholds, owner, n)
            for owner, count in zip(owners, counts, strict=True)
            for n in range(min(count, MOST_RULES))
        ]
        told = ask_at_length(self._node, [loan_thresholds.words_call(key) for key in keys], block.hash)
        words = {key: _answered(each, "words_of") for key, each in zip(keys, told, strict=True)}
        sights = [
            Sight(key, rule, last_acted, None, owes_terms)
            for key, each in words.items()
            for rule, last_acted, owes_terms in (rule_of(each),)
        ]
        return counts, words, {sight.key: sight.rule for sight in self._loans.with_terms(sights, block)}

    # Proof

    def _prove(
        self, held: Iterable[tuple[Address, Holding | None]], market: LendingMarket, block: Block
    ) -> None:
        """Compare one account of each combination that never was with Aave's own word."""
        known = self._agreed | self._differed
        new: dict[tuple[int, int], tuple[Address, Holding]] = {}
        for owner, holding in held:
            if holding is None or not holding.is_whole or holding.combination in known:
                continue
            if worth(market, holding) is not None:
                new.setdefault(holding.combination, (owner, holding))
        calls = account_calls(self._loans.aave, [owner for owner, _ in new.values()])
        answers = ask_at_length(self._node, calls, block.hash)
        for (combination, (_, holding)), told in zip(new.items(), answers, strict=True):
            agrees = worth(market, holding) == account_of(told)
            (self._agreed if agrees else self._differed).add(combination)

    def _settle(self, combination: tuple[int, int], agrees: bool) -> None:
        """Believe the sums of every account of a combination from now on, or leave them to Aave."""
        (self._agreed if agrees else self._differed).add(combination)
        for account in range(len(self._owners)):
            if account not in self._unread and self._held.of(account).combination == combination:
                self._held.fit[account] = agrees and self._held.whole[account]

    def _to_compare(self) -> list[int]:
        """The next few accounts whose turn it is."""
        count = len(self._owners)
        first, self._compared_until = self._compared_until, (self._compared_until + COMPARED) % count
        return [(first + n) % count for n in range(min(COMPARED, count))]

    def _comparison(self, accounts: Sequence[int]) -> list[Call]:
        """What the chain has of some accounts and of their rules; the answers are for `_differing`."""
        owners = [self._owners[account] for account in accounts]
        return [
            *account_calls(self._loans.aave, owners),
            *(Call(self._loans.thresholds, loan_thresholds.RULE_COUNT.call(owner)) for owner in owners),
            *(loan_thresholds.words_call(key) for key in self._first_keys(owners)),
        ]

    def _first_keys(self, owners: Sequence[Address]) -> list[RuleKey]:
        return [RuleKey(self._loans.thresholds, owner, 0) for owner in owners]

    def _differing(self, market: LendingMarket, accounts: Sequence[int], proof: Any) -> list[int]:
        """Which of some accounts are not held as the chain has them."""
        told = read_together(proof, 3 * len(accounts))
        many = len(accounts)
        differing = []
        for n, account in enumerate(accounts):
            if account in self._unread:
                continue
            holding, theirs = self._held.of(account), account_of(told[n])
            loan = worth(market, holding) if holding.is_whole else None
            if loan is not None and not self._held.fit[account]:
                # None of its combination could be valued before, or none agreed.
                if holding.combination not in self._differed:
                    self._settle(holding.combination, agrees=loan == theirs)
                loan = None
            key = RuleKey(self._loans.thresholds, self._owners[account], 0)
            count = loan_thresholds.RULE_COUNT.read(_answered(told[many + n], "rule_count"))[0]
            words = self._words.get(key, bytes(96))
            if (
                (loan is not None and loan != theirs)
                or count != self._counts[account]
                or words != told[2 * many + n]
            ):
                differing.append(account)
        return differing


def _topic(owner: Address) -> str:
    return "0x" + 24 * "0" + owner[2:].lower()


def _answered(answer: bytes | None, name: str) -> bytes:
    if answer is None:
        raise Blind(f"chain: {name} reverted")
    return answer
