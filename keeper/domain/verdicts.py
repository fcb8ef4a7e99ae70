"""What a rule says of a position at one block, always with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from keeper.domain.rules import RuleKey
from keeper.domain.units import decimal_text


class Kind(IntEnum):
    """The four verdicts, numbered as the contracts number them."""

    WITHIN = 0
    BREACHED = 1
    BARRED = 2
    BLIND = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """What a kind of rule measures of a position, under its own name: `value` in units of 10 ** -`decimals`.

    None is a measure that could not be taken, and a value equal to `endless` stands for no bound at all.
    """

    name: str
    value: int | None
    decimals: int
    endless: int | None = None

    @property
    def text(self) -> str | None:
        """For people: at most four decimals, rounded towards the lower; `∞` without bound; None where there is none."""
        if self.value is None:
            return None
        return "∞" if self.value == self.endless else decimal_text(self.value, self.decimals, 4)

    def __str__(self) -> str:
        return f"{self.name} {self.text or 'unknown'}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement and its reason, `room: sentence`."""

    key: RuleKey
    kind: Kind
    why: str
    measure: Measure
