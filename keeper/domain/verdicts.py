"""What a rule says of a position at one block, always with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from keeper.domain.loans import RuleKey


class Kind(IntEnum):
    """The four verdicts, numbered as the contracts number them."""

    WITHIN = 0
    BREACHED = 1
    BARRED = 2
    BLIND = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement and its reason, `room: sentence`; `health` in WAD, 0 when it could not be read."""

    key: RuleKey
    kind: Kind
    why: str
    health: int
