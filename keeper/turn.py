"""One turn, on one page: what the keeper does when a block has come.

    head ─▶ follow ─▶ observe and judge ─▶ guard ─▶ draft ─▶ rehearse ─▶ intent ─▶ send ─▶ settle
            receipts  Verdicts, breaches   why not   Plan     Rehearsal   durable            journal

Every read is pinned to the block's hash. What goes wrong with one position is that position's verdict, what goes wrong
with one contract is the turn's trouble, and the others are still attended. What a position is, and what is done about
it, each kind says for itself behind `keeper/positions/port.py`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.chain.ether import Ether
from keeper.chain.node import Node
from keeper.chain.rehearse import rehearse
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Refused, Unsafe
from keeper.domain.flights import Change, Lately, State
from keeper.domain.foresight import Foreseen
from keeper.domain.plans import Intent, Rehearsal, no_dearer
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address, mul_div_up
from keeper.domain.verdicts import Kind, Verdict
from keeper.foresight import Lookout
from keeper.guard import rests, why_not
from keeper.journal.journal import Journal
from keeper.latches import Latches
from keeper.positions.port import UNHURRIED, Breach, Draft, Positions, Seen
from keeper.send.sender import Sender

_BLOCKS_BETWEEN_PRUNINGS = 1_000
_FAIR_BLOCKS = 7_200


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The operator's own: wei per gas, seconds, and percent of the rehearsed gas.

    `most_gas` bounds one action's gas, `actions_per_owner` how often an owner is acted for within a day of Ethereum's
    blocks; `keep_blocks` is how long quiet turns are remembered, `keep_seconds` how long flights are; `estimates_gas`
    asks the node for the gas of a call instead of measuring it.
    """

    action_fee_wei: int
    deadline_seconds: int
    gas_percent: int
    most_gas: int
    actions_per_owner: int
    keep_blocks: int
    estimates_gas: bool = False
    keep_seconds: int = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn saw, decided and learnt; `intents` were sent, or in a dry run only rehearsed.

    `trouble` says what could not be attended at all, `tripped` which breakers were latched. What is `foreseen` is told
    now and then.
    """

    block: Block
    verdicts: tuple[Verdict, ...]
    intents: tuple[Intent, ...]
    changes: tuple[Change, ...]
    trouble: tuple[str, ...] = ()
    tripped: tuple[str, ...] = ()
    foreseen: Foreseen | None = None


@dataclass(frozen=True, slots=True)
class Keeper:
    """The ports a turn works through; without a `sender` it does everything but sign.

    Without `ether` an action is worth whatever the operator's limits allow.
    """

    node: Node
    watched: tuple[Positions, ...]
    journal: Journal
    sender: Sender | None
    limits: TurnLimits
    latches: Latches
    ether: Ether | None = None
    lookout: Lookout | None = None

    def turn(self, block: Block) -> Turn:
        """Follow what was sent, judge every watched rule at `block`, act on the breached ones, write it all down."""
        changes = self.sender.follow(block) if self.sender else ()
        attended: list[Seen] = []
        instead: dict[RuleKey, Verdict] = {}
        trouble: list[str] = []
        for positions in self.watched:
            try:
                attended.append(positions.observe(block))
            except Blind as error:
                trouble.append(str(error))
        breaches = [breach for seen in attended for breach in seen.breaches]
        trouble += [said for seen in attended for said in seen.said]

        intents: list[Intent] = []
        lately = self.journal.lately(block.number - _FAIR_BLOCKS) if breaches else {}
        stopped = self.latches.why_stopped() if breaches else None
        for breach in _fairly(breaches, lately):
            key = breach.verdict.key
            try:
                if stopped is not None:
                    raise Unsafe(stopped)
                self._guard(breach, block, lately.get(key.owner, Lately()))
                intent = self._decide(breach, block)
                if self.sender:
                    self._send(intent, block)
                intents.append(intent)
            except Refused as error:
                kind = Kind.BLIND if isinstance(error, Blind) else Kind.BARRED
                instead[key] = replace(breach.verdict, kind=kind, why=str(error))
        verdicts = _each_once(attended, instead)
        note = "; ".join(trouble if self.sender else ["dry run: nothing is signed", *trouble])
        self.journal.write_turn(block, verdicts, note)
        if block.number % _BLOCKS_BETWEEN_PRUNINGS == 0:
            self.journal.prune(
                block.number - self.limits.keep_blocks, block.timestamp - self.limits.keep_seconds
            )
        tripped: tuple[str, ...] = ()
        if self.sender:
            try:
                changes += self.sender.settle(block)
                tripped = self.latches.watch(block, flew=bool(changes or intents))
            except Blind as error:
                trouble.append(str(error))  # what is in a block stays there: the next turn asks again
        foreseen = self.lookout.look(block) if self.lookout else None
        return Turn(block, verdicts, tuple(intents), changes, tuple(trouble), tripped, foreseen)

    def _send(self, intent: Intent, block: Block) -> None:
        assert self.sender is not None
        flight = self.sender.launch(intent, block)
        if flight.state is State.ABANDONED:
            raise Unsafe(flight.why)

    def _guard(self, breach: Breach, block: Block, lately: Lately) -> None:
        """`Unsafe` with the first reason of the operator's own why nothing is sent for this rule now."""
        waiting = self.sender.waiting(block) if self.sender else None
        reason = why_not(breach.keeper, block, self._actor(breach), self.limits.action_fee_wei, waiting)
        if reason is None and lately.actions >= self.limits.actions_per_owner:
            reason = f"operator: {lately.actions} actions for this owner in {_FAIR_BLOCKS} blocks, which is the limit"
        if reason is None:
            reason = rests(lately, block.number)
        if reason is None and self.sender:
            reason = self.latches.why_doubted(block, breach.verdict.key)
        if reason is not None:
            raise Unsafe(reason)

    def _decide(self, breach: Breach, block: Block) -> Intent:
        """A rehearsed intent for a breached rule; `Refused`, with the reason, when nothing is to be sent."""
        deadline = block.timestamp + self.limits.deadline_seconds
        draft, rehearsal = self._rehearsed(breach.draft(deadline), self._actor(breach), block)
        gas = rehearsal.gas
        if gas > self.limits.most_gas:
            raise Unsafe(f"gas: the action would use {gas}, above the limit of {self.limits.most_gas}")
        gas_limit = mul_div_up(gas, self.limits.gas_percent, 100)
        worth = self.ether.worth(draft.stake, block) if self.ether else None
        if draft.most_gas_price is not None:
            worth = no_dearer(worth, draft.most_gas_price, gas_limit)
        return Intent(
            id=secrets.token_hex(16),
            plan=draft.plan,
            call=draft.call,
            rehearsal=rehearsal,
            gas_limit=gas_limit,
            decided_block=block.number,
            decided_hash=block.hash,
            deadline=deadline,
            why=breach.verdict.why,
            worth=worth,
        )

    def _rehearsed(self, draft: Draft, actor: Address, block: Block) -> tuple[Draft, Rehearsal]:
        """The draft as the chain bears it out, or the one to be made in its place, and what came of it."""
        try:
            gas, returned = rehearse(
                self.node, draft.call, actor, block.hash, estimate=self.limits.estimates_gas
            )
            return draft, Rehearsal(*draft.outcome(returned), gas)
        except Unsafe:
            if draft.otherwise is None:
                raise
        return self._rehearsed(draft.otherwise(), actor, block)

    def _actor(self, breach: Breach) -> Address:
        return self.sender.address if self.sender else breach.keeper


def _each_once(attended: Sequence[Seen], instead: Mapping[RuleKey, Verdict]) -> tuple[Verdict, ...]:
    """Every verdict, or what came of acting on it; of a contract watched twice the last word counts."""
    verdicts = {verdict.key: verdict for seen in attended for verdict in seen.verdicts}
    return tuple({**verdicts, **instead}.values())


def _fairly(breaches: Sequence[Breach], lately: Mapping[Address, Lately]) -> list[Breach]:
    """Nearest to harm first, but an owner acted for lately after those who were not, and one rule of each in a round.

    Else one owner whose rule stays breached, by a tiny step or on purpose, would hold the only nonce for ever, and one
    with many rules that nothing comes of all the time there is. What can be liquidated goes before all that cannot.
    """
    rounds: Counter[tuple[bool, Address]] = Counter()
    places: list[tuple[bool, int, int, int]] = []
    nearest = sorted(breaches, key=lambda breach: breach.nearness)
    for breach in nearest:
        owner, unhurried = breach.verdict.key.owner, breach.nearness >= UNHURRIED
        acted_last = lately.get(owner, Lately()).newest
        places.append((unhurried, acted_last, rounds[unhurried, owner], breach.nearness))
        rounds[unhurried, owner] += 1
    return [breach for _, breach in sorted(zip(places, nearest, strict=True), key=lambda placed: placed[0])]
