"""The play's figures, and the journal's reasons for them."""

from __future__ import annotations

from itertools import product

from keeper.demo.baskets import GUARDED, BasketPair
from keeper.demo.loans import LoanPair
from keeper.demo.play import Play
from keeper.demo.process import KeeperProcess
from keeper.demo.ranges import RangePair
from keeper.domain.rules import RuleKey
from keeper.domain.units import decimal_text
from keeper.domain.verdicts import Kind
from keeper.journal.journal import Page, Reader
from keeper.report.record import Reason, Record, Terms


def record_of(
    play: Play,
    keeper: KeeperProcess,
    loans: LoanPair,
    ranges: RangePair,
    baskets: BasketPair,
    terms: Terms,
    max_move_bps: int,
    journal: Reader,
) -> Record:
    """The play's figures, and the journal's reasons for them."""
    guarded, twin = loans.sides()
    return Record(
        title="",
        sources=(),
        owner=play.world.roles.owner,
        max_move_bps=max_move_bps,
        terms=terms,
        hours=tuple(loans.hours),
        acts=loans.acts(journal),
        seizures=tuple(loans.seizures),
        reasons=_reasons(play, keeper, journal),
        guarded=guarded,
        twin=twin,
        failed=play.failed,
        failed_gas=play.failed_gas,
        turns=keeper.turns,
        quiet=keeper.quiet,
        late=play.late,
        blocks=play.blocks,
        wall_s=0.0,
        ranges=ranges.story(journal),
        baskets=baskets.story(journal),
    )


def _reasons(play: Play, keeper: KeeperProcess, journal: Reader) -> tuple[Reason, ...]:
    """What the journal says of every turn that was not quiet."""
    found: list[Reason] = []
    owners = (play.world.roles.owner, GUARDED)
    for block, owner in product(keeper.noted, owners):
        told = journal.verdicts(owner, block)
        if told is None or told.block.number != block:
            continue
        for verdict in told.verdicts:
            done = _done(told, verdict.key)
            if verdict.kind is Kind.WITHIN and not done:
                continue
            found.append(
                Reason(
                    block=block,
                    time=told.block.timestamp,
                    verdict=verdict.kind.name.lower(),
                    measure=str(verdict.measure),
                    why=verdict.why,
                    done=done,
                )
            )
    return tuple(found)


def _done(told: Page, key: RuleKey) -> str:
    for flight in told.flights:
        if flight.intent.plan.key == key:
            moves = ", ".join(
                f"{move.verb} {decimal_text(move.amount, move.asset.decimals, 4)} {move.asset.symbol}"
                for move in flight.intent.rehearsal.moves
            )
            return f"{moves}; {flight.state}: {flight.why}"
    return ""
