"""The play's figures, and the journal's reasons for them."""

from __future__ import annotations

from keeper.demo.play import DOLLAR, ETHER, Deed, Play, equity, health_of
from keeper.domain.units import WAD, Address
from keeper.journal.journal import Page, Reader
from keeper.report.record import Act, Cost, Reason, Record, Side, Terms


def record_of(play: Play, terms: Terms, max_move_bps: int, journal: Reader) -> Record:
    """The play's figures, and the journal's reasons for them."""
    assert play.first is not None
    assert play.last is not None
    sides = []
    for at in (0, 1):
        own = [seized for seized in play.seizures if seized.guarded == (at == 0)]
        sides.append(
            Side(
                liquidations=len(own),
                min_health=health_of(play.lowest[at]),
                equity_start=equity(play.first[at]),
                equity_end=equity(play.last[at]),
                penalty=sum(seized.penalty for seized in own),
            )
        )
    return Record(
        title="",
        sources=(),
        owner=play.world.roles.owner,
        max_move_bps=max_move_bps,
        terms=terms,
        hours=tuple(play.hours),
        acts=_acts(play.deeds, journal, play.world.roles.owner),
        seizures=tuple(play.seizures),
        reasons=_reasons(play, journal),
        guarded=sides[0],
        twin=sides[1],
        failed=play.failed,
        failed_gas=play.failed_gas,
        turns=play.keeper.turns,
        quiet=play.keeper.quiet,
        late=play.late,
        blocks=play.blocks,
        wall_s=0.0,
    )


def _acts(deeds: list[Deed], journal: Reader, owner: Address) -> tuple[Act, ...]:
    intents = {sent.hash: flight.intent for flight in journal.actions(owner) for sent in flight.attempts}
    acts = []
    for deed in deeds:
        intent = intents[deed.tx]
        fee = deed.sold / ETHER * deed.usd * intent.plan.move("sell").fee / 10**6
        acts.append(
            Act(
                block=deed.block,
                time=deed.time,
                price=deed.usd,
                repaid=deed.repaid / DOLLAR,
                sold=deed.sold / ETHER,
                health_before=deed.before / WAD,
                health_after=deed.after / WAD,
                cost=Cost(fee=fee, slippage=deed.lost - fee, gas=deed.gas_cost / ETHER * deed.usd),
                why=intent.why,
                tx=deed.tx,
            )
        )
    return tuple(acts)


def _reasons(play: Play, journal: Reader) -> tuple[Reason, ...]:
    """What the journal says of every turn that was not quiet."""
    found: list[Reason] = []
    for block in play.keeper.noted:
        told = journal.verdicts(play.world.roles.owner, block)
        if told is None or told.block.number != block:
            continue
        for verdict in told.verdicts:
            found.append(
                Reason(
                    block=block,
                    time=told.block.timestamp,
                    verdict=verdict.kind.name.lower(),
                    health=verdict.measure.text or "unknown",
                    why=verdict.why,
                    done=_done(told, verdict.key.id),
                )
            )
    return tuple(found)


def _done(told: Page, rule: int) -> str:
    for flight in told.flights:
        if flight.intent.plan.key.id == rule:
            repay, sell = (flight.intent.rehearsal.move(verb).amount for verb in ("repay", "sell"))
            planned = f"repay {repay / DOLLAR:,.2f} USDC by selling {sell / ETHER:,.4f} ETH"
            return f"{planned}; {flight.state}: {flight.why}"
    return ""
