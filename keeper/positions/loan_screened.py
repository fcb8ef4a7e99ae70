"""The verdicts of a screen: of most rules only that nothing is to be done, until somebody wants to read the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import exp
from typing import Final, overload

from keeper.chain.mirror import Mirrored
from keeper.domain.foresight import Horizon
from keeper.domain.loans import Loan, Sight, health_measure
from keeper.domain.rules import RuleKey
from keeper.domain.verdicts import Verdict
from keeper.judge.first_passage import farthest
from keeper.judge.freshness import blind_when_stale
from keeper.judge.loan_health import REASONS
from keeper.judge.loan_screen import DOUBT, screen
from keeper.judge.loan_worth import worth


class Verdicts(Sequence[Verdict]):
    """Verdicts that `made` makes when they are first read."""

    def __init__(self, made: Callable[[], tuple[Verdict, ...]]) -> None:
        self._made = made

    @cached_property
    def _all(self) -> tuple[Verdict, ...]:
        return self._made()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self._all)

    @overload
    def __getitem__(self, at: int) -> Verdict: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Verdict, ...]: ...
    def __getitem__(self, at: int | slice) -> Verdict | tuple[Verdict, ...]:
        return self._all[at]


_MOST_WITHIN_REACH: Final = 500
_HALVINGS: Final = 10


class Screened:
    """What the screen says of every mirrored rule; the mirror must not have gone on to another block."""

    def __init__(self, mirrored: Mirrored) -> None:
        self._mirrored: Final = mirrored
        self._codes: Final = screen(mirrored.rules, mirrored.held, mirrored.market, mirrored.block.timestamp)
        keys = mirrored.rules.keys
        self.doubtful: Final = tuple(keys[row] for row in (self._codes == DOUBT).nonzero()[0].tolist())
        """The rules that it cannot tell to be within."""

    def verdicts(self, exactly: Mapping[RuleKey, Verdict], max_price_age: int) -> tuple[Verdict, ...]:
        """The verdict on every rule: of those read from the chain that one, of the others the judge's own.

        Their measure, too, is what Aave would answer: from the mirrored shares, to the digit.
        """
        seen, codes = self._mirrored, self._codes.tolist()
        account = seen.rules.account.tolist()
        loans: dict[int, Loan | None] = {}
        is_stale = any(age is not None and age > max_price_age for age in seen.price_ages.values())
        verdicts = []
        for row, key in enumerate(seen.rules.keys):
            verdict = exactly.get(key)
            if verdict is None:
                holder = account[row]
                if holder not in loans:
                    loans[holder] = worth(seen.market, seen.held.of(holder))
                loan = loans[holder]
                kind, why = REASONS[codes[row]]
                verdict = Verdict(key, kind, why, health_measure(loan.health if loan else None))
                if is_stale:
                    sight = Sight(key, seen.rules.rules[row], 0, loan)
                    verdict = blind_when_stale(verdict, sight, seen.price_ages, max_price_age)
            verdicts.append(verdict)
        return tuple(verdicts)


def within_reach(mirrored: Mirrored, horizon: Horizon) -> tuple[RuleKey, ...]:
    """The rules that the screen cannot tell to be farther from an edge than the horizon reaches.

    Of too many the nearest: they are read one by one, and what they are read for takes but a few.
    """

    def within(distance: float) -> tuple[RuleKey, ...]:
        return Screened(replace(mirrored, rules=mirrored.rules.closer(exp(distance)))).doubtful

    near, far = 0.0, farthest(horizon, horizon.sigma)
    found = within(far)
    if len(found) <= _MOST_WITHIN_REACH:
        return found
    nearest: tuple[RuleKey, ...] = ()
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        found = within(middle)
        if len(found) > _MOST_WITHIN_REACH:
            far = middle
        else:
            near, nearest = middle, found
    return nearest
