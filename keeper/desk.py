"""What a person asks of a journal, and tells it, while a keeper goes on: neither chain nor key is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import is_address

from keeper.breakers import NAMES, PAUSE, pause_text
from keeper.domain.errors import Misconfigured
from keeper.journal.journal import Latch, Page, Reader, hold, reset
from keeper.protocols.methods import address
from keeper.settings import Settings


def pause(settings: Settings, reason: str) -> tuple[Latch, bool]:
    """Let no keeper of this journal send anything new until it is resumed; whether it went on until now."""
    return hold(settings.journal.place, PAUSE, pause_text(reason))


def resume(settings: Settings, breakers: Sequence[str]) -> tuple[Latch, ...]:
    """Reset the named breakers or the pause, or all; those that were latched. A running keeper sees it next turn."""
    known = (*NAMES, PAUSE)
    if unknown := sorted(set(breakers) - set(known)):
        raise Misconfigured(f"resume: there is no breaker {', '.join(unknown)}, only {', '.join(known)}")
    return reset(settings.journal.place, breakers)


@dataclass(frozen=True, slots=True)
class Explained:
    """The page asked for; where none was, `before` is the last one on which a rule was not within its band."""

    page: Page
    before: Page | None


def explain(settings: Settings, owner: str, block: int | None) -> Explained | None:
    """What the journal holds of an owner at a block, or at the newest turn; None when it never judged one of theirs."""
    if not is_address(owner):
        raise Misconfigured(f"explain: {owner} is not an address")
    who = address(owner)
    with Reader(settings.journal.place) as reader:
        page = reader.verdicts(who, block)
        stirred = reader.last_stirred(who) if block is None else None
        if page is None or not (page.verdicts or stirred):
            return None
        is_new = stirred is not None and stirred < page.block.number
        return Explained(page, reader.verdicts(who, stirred) if is_new else None)
