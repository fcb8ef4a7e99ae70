"""Rules and accounts by the thousand, in as few questions as the node allows, and every number Aave's own.

A lens does Aave's sums in a third of the time that Aave takes, since it asks once for what all accounts share. The sums
are believed of accounts with the same reserves in use and the same e-mode once they gave, to the digit, what Aave gave
for one of them, and in every reading some are compared again. Where they ever differed Aave is asked instead.

Assumes: two accounts with the same reserves in use and the same e-mode are valued by the same sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.reads import ask_together, call_question, returned_by
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, NodeRefused
from keeper.domain.loans import Sight
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.protocols import aave_v3, lenses, loan_thresholds

_FEWEST_ROWS: Final = 16
_BETWEEN_COMPARISONS: Final = 64
_NOT_READ: Final = 0
_BY_AAVE: Final = 1
# Aave takes three times the gas of the sums.
_ROWS_FOR_AAVE: Final = 4

Rows = list[tuple[Sight, int]]
_Make = Callable[[Sequence[RuleKey]], Call]


class Accounts:
    """What stands under the keys of one thresholds contract; with `NOBODY` for it, accounts without rules."""

    def __init__(self, node: Node, thresholds: Address, aave: Address) -> None:
        self._node = node
        self._thresholds = thresholds
        self._aave = aave
        self.since_3_6: Final = _has_bitmaps(node, aave)
        self._most = lenses.MOST_ROWS
        self._readings = 0
        self._agreed: set[int] = set()
        self._differed: set[int] = set()

    def sights(self, keys: Sequence[RuleKey], block: Block) -> list[Sight]:
        """The rules and accounts of `keys` at `block`, in their order."""
        return self.read(keys, block, self._node.ask_each(self.questions(keys, block)))

    def questions(self, keys: Sequence[RuleKey], block: Block) -> list[Question]:
        """What to ask first, perhaps together with other things; the answers, refusals among them, are for `read`."""
        return [
            call_question(self._sums(chunk), block.hash, "LoanLens") for chunk in _chunks(keys, self._most)
        ]

    def read(self, keys: Sequence[RuleKey], block: Block, answers: Sequence[Any]) -> list[Sight]:
        """The sights in the answers to `questions`, and in those to whatever they leave to be asked."""
        rows: Rows = []
        for chunk, answer in zip(list(_chunks(keys, self._most)), answers, strict=True):
            told = _told(chunk, answer)
            if told is None:
                self._most = max(min(self._most, len(chunk)) // 4, _FEWEST_ROWS)
                told = self._in_smaller(self._sums, chunk, block)
            else:
                self._learn(told)
            rows += told
        self._readings += 1
        self._prove(rows, block)
        doubted = [sight.key for sight, how in rows if how != _BY_AAVE and how not in self._agreed]
        anew = {sight.key: sight for sight in self._by_aave(doubted, block)}
        return [anew.get(sight.key, sight) for sight, _ in rows]

    def _learn(self, rows: Rows) -> None:
        """What the accounts say of our sums that Aave valued as well."""
        first, every = self._compared(len(rows))
        for _, how in rows[first::every]:
            if how == _NOT_READ:
                continue
            if how & 1:
                self._agreed.add(how)
                continue
            if how | 1 in self._agreed:
                self._agreed.clear()  # something is no longer as it was: each combination has to agree anew
            self._differed.add(how | 1)

    def _prove(self, rows: Rows, block: Block) -> None:
        """Compare one account of each combination that never was."""
        known = self._agreed | self._differed | {_BY_AAVE}
        new: dict[int, Sight] = {}
        for sight, how in rows:
            if how & 1 and how not in known:
                new.setdefault(how, sight)
        by_aave = self._by_aave([sight.key for sight in new.values()], block)
        for (how, by_sums), sight in zip(new.items(), by_aave, strict=True):
            (self._agreed if by_sums.loan == sight.loan else self._differed).add(how)

    def _compared(self, count: int) -> tuple[int, int]:
        """The first of so many accounts to be compared in this reading, and how far it is from each to the next."""
        every = min(_BETWEEN_COMPARISONS, count)
        return self._readings % every, every

    def _sums(self, keys: Sequence[RuleKey]) -> Call:
        return lenses.value_call(
            self._thresholds, self._aave, keys, self.since_3_6, *self._compared(len(keys))
        )

    def _reads(self, keys: Sequence[RuleKey]) -> Call:
        return lenses.read_call(self._thresholds, self._aave, keys)

    def _by_aave(self, keys: Sequence[RuleKey], block: Block) -> list[Sight]:
        """Aave's own word; an account that it cannot value among many is asked about alone, in case the gas ran out."""
        sights: list[Sight] = []
        for chunk in _chunks(keys, max(self._most // _ROWS_FOR_AAVE, _FEWEST_ROWS)):
            rows = self._asked(self._reads, chunk, block)
            alone = self._without_lens([sight.key for sight, how in rows if how == _NOT_READ], block)
            anew = {sight.key: sight for sight in alone}
            sights += [anew.get(sight.key, sight) for sight, _ in rows]
        return sights

    def _asked(self, call: _Make, keys: Sequence[RuleKey], block: Block) -> Rows:
        (answer,) = self._node.ask_each([call_question(call(keys), block.hash, "LoanLens")])
        told = _told(keys, answer)
        return self._in_smaller(call, keys, block) if told is None else told

    def _in_smaller(self, call: _Make, keys: Sequence[RuleKey], block: Block) -> Rows:
        """The rows of what the node refused to tell of so many at once."""
        if len(keys) <= _FEWEST_ROWS:
            return [(sight, _BY_AAVE) for sight in self._without_lens(keys, block)]
        parts = _chunks(keys, max(len(keys) // 4, _FEWEST_ROWS))
        return [row for part in parts for row in self._asked(call, part, block)]

    def _without_lens(self, keys: Sequence[RuleKey], block: Block) -> list[Sight]:
        calls = [
            call
            for key in keys
            for call in (
                Call(self._thresholds, loan_thresholds.WORDS_OF.call(key.owner, key.id)),
                Call(self._aave, aave_v3.GET_USER_ACCOUNT_DATA.call(key.owner)),
            )
        ]
        answers = ask_together(self._node, calls, block.hash)
        sights = []
        for key, words, account in zip(keys, answers[::2], answers[1::2], strict=True):
            if self._thresholds != NOBODY and not words:
                raise Blind("chain: words_of reverted")
            sights.append(lenses.sight_of(key, words or bytes(96), account))
        return sights


def _told(keys: Sequence[RuleKey], answer: Any) -> Rows | None:
    """The rows in an answer, None when the node refused it or lends no code."""
    try:
        returned = returned_by(answer)
    except NodeRefused as refusal:
        if refusal.is_about_rate:
            raise
        return None
    return lenses.read_rows(keys, returned) if returned else None


def _chunks(keys: Sequence[RuleKey], most: int) -> Iterator[Sequence[RuleKey]]:
    return (keys[at : at + most] for at in range(0, len(keys), most))


def _has_bitmaps(node: Node, aave: Address) -> bool:
    """Whether an e-mode is a bitmap of reserves, as it is from 3.2 on."""
    call = aave_v3.GET_EMODE_BITMAP.call(0)
    try:
        return len(node.ask_bytes("eth_call", {"to": aave, "data": "0x" + call.hex()}, "latest")) > 0
    except NodeRefused as refusal:
        if refusal.is_about_rate:
            raise
        return False
