"""The transaction sender: one key, one nonce in flight, nothing broadcast that is not in the journal first.

The journal is the memory: each turn begins by reading it, so that a keeper which was killed goes on as if it had only
paused. What to do about a flight is decided in `flight.py`; here it is looked up, done and written down.

Assumes: this key sends for this journal alone. Use elsewhere is noticed, and raises an alarm, but cannot be prevented.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import (
    Ambiguous,
    Blind,
    JournalBroken,
    KeeperError,
    Misconfigured,
    NodeRefused,
    NodeUnreachable,
    Unsafe,
)
from keeper.domain.flights import Attempt, Change, Fees, Flight, Purpose, Receipt, State, Step
from keeper.domain.plans import Call, Intent
from keeper.domain.units import Address, mul_div_up
from keeper.journal.journal import Journal
from keeper.send.answers import Answer, Meaning
from keeper.send.doors import Doors, Relay, doors_now
from keeper.send.failpoints import Name, reach
from keeper.send.fees import SendLimits, first_fees
from keeper.send.flight import Action, Finish, Include, Replace, Resend, Wait, next_action
from keeper.send.look import Look
from keeper.send.own_words import prove_own_words
from keeper.send.signers import LocalSigner, Signer, Transaction, check_signed

TRANSFER_GAS = 21_000
"""What a transfer of nothing to oneself costs on Ethereum."""
_TRANSFER_MARGIN = (13, 10)
# No node talks the keeper into spending more on doing nothing.
_MOST_TRANSFER_GAS = 5_000_000


class Sender:
    """Sends for one key on one chain; every method may raise `JournalBroken`, and `Blind` when the node is silent.

    The flights of the keys `beside` it are others' to follow.
    """

    def __init__(
        self,
        node: Node,
        journal: Journal,
        signer: Signer,
        chain_id: int,
        limits: SendLimits,
        relays: Sequence[Relay] = (),
        beside: Collection[Address] = (),
    ) -> None:
        self._node = node
        self._journal = journal
        self._signer = signer
        self._chain_id = chain_id
        self._limits = limits
        self._beside = frozenset(beside)
        self._doors = Doors(node, relays)
        self._look = Look(node, signer.address, limits.final_depth)
        self._open: tuple[Flight, ...] = ()
        self._mined: tuple[Flight, ...] = ()
        self._held: tuple[Flight, ...] | None = None
        self._top_nonce: int | None = None
        self._news: tuple[Change, ...] = ()
        self._followed = ""

    @property
    def address(self) -> Address:
        """The account that sends and pays."""
        return self._signer.address

    def recover(self, head: Block) -> tuple[Change, ...]:
        """Reconcile journal and chain once, before anything else is asked of this object; what that changed.

        `Misconfigured` when node, journal and key do not belong together.
        """
        chain_id = self._look.chain_id()
        if chain_id != self._chain_id:
            raise Misconfigured(f"send: the node is on chain {chain_id}, not on chain {self._chain_id}")
        self._journal.bind(self._chain_id, self._node.block(0).hash)
        for flight in self._journal.flights():
            if flight.sender not in self._beside | {self._signer.address}:
                raise Misconfigured(
                    f"send: the journal holds nonce {flight.nonce} of {flight.sender}, which is {flight.state} and not "
                    f"over, and the key given is {self._signer.address}'s; run with the other key until it is"
                )
        self._news = self._advance(self._flights(), head, restarted=True)
        return self._news

    def follow(self, head: Block) -> tuple[Change, ...]:
        """Look at the flights not mined yet, do what is due about them, and say what changed; before acting.

        Where the chain has not simply grown by `head`, a flight may have left its block, and all are looked at.
        """
        flights = self._flights()
        grew = head.parent == self._followed
        self._followed = head.hash
        first = [flight for flight in flights if flight.state.awaiting or not grew]
        self._mined = tuple(flight for flight in flights if grew and not flight.state.awaiting)
        changes = self._advance(first, head)
        after = {change.flight.intent.id: change.flight for change in changes}
        self._open = tuple(after.get(flight.intent.id, flight) for flight in flights)
        news, self._news = self._news, ()
        return news + changes

    def settle(self, head: Block) -> tuple[Change, ...]:
        """The same of those `follow` left because they are in a block; it can wait until after acting."""
        changes = self._advance(self._mined, head)
        self._flights()  # while there is time
        return changes

    def busy(self) -> Flight | None:
        """The flight that awaits inclusion, behind which no other nonce may be taken."""
        return next((flight for flight in self._flights() if flight.state.awaiting), None)

    def waiting(self, at: Block) -> Flight | None:
        """The flight, as `follow` found it, whose effect the state of `at` cannot show: not mined, or mined later."""
        for flight in self._open:
            mined_later = flight.receipt is not None and flight.receipt.block > at.number
            if flight.state.awaiting or mined_later:
                return flight
        return None

    def launch(self, intent: Intent, head: Block) -> Flight:
        """Sign, journal, broadcast once; the flight as it then stands.

        A `Refused` means that nothing left this machine. Whatever goes wrong once bytes may be out is in the flight's
        state and reason, except that the journal itself failed: that is `Ambiguous`.
        """
        waiting = self.busy()
        if waiting is not None:
            raise Unsafe(f"send: nonce {waiting.nonce} awaits inclusion, and one is in flight at a time")
        self._held = None
        why = intent.worth.why if intent.worth else ""
        fees = first_fees(head.base_fee, self._limits, self._limits.ceiling(intent), why)
        nonce = self._next_nonce(intent.gas_limit * fees.max_fee)
        attempt = self._sign(intent, nonce, Purpose.ACT, fees, head)
        attempt = replace(attempt, doors=doors_now(Purpose.ACT, (), head, intent.deadline, self._limits))
        reach("after_sign")
        flight = self._journal.open_intent(intent, self._chain_id, self._signer.address, nonce, attempt)
        reach("after_intent")
        answer = self._doubted(self._doors.send(attempt, attempt.doors, head), attempt)
        reach("after_send")
        state = State.ABANDONED if answer.meaning is Meaning.REFUSED else State.BROADCAST
        flight = self._write(flight, state, _told(answer), head, sent_block=head.number, left=True)
        self._open = (*self._open, flight)
        reach("after_broadcast")
        return flight

    def _flights(self) -> tuple[Flight, ...]:
        """All that have not ended, as the journal has them: read anew after anything was written."""
        if self._held is None:
            self._top_nonce = self._journal.top_nonce(self._chain_id, self._signer.address)
            self._held = self._journal.flights(self._chain_id, self._signer.address)
        return self._held

    def _next_nonce(self, cost: int) -> int:
        """One more than the highest held, or the chain's count where nothing is; `Unsafe` when they contradict."""
        address = self._signer.address
        latest, pending, balance = self._look.account()
        if balance < cost:
            raise Unsafe(f"send: {address} holds {balance} wei, and the gas may cost {cost}")
        top = self._top_nonce
        nonce = latest if top is None else max(top + 1, latest)
        if nonce > latest:
            raise Unsafe(
                f"send: {address} has used {latest} nonces at this head and the journal {nonce}: a block was undone, "
                "or the node lags"
            )
        if pending > nonce:
            raise Unsafe(
                f"send: {pending - nonce} transactions of {address} are pending that the journal does not know: "
                "the key is in use elsewhere"
            )
        if top is not None and nonce > top + 1 and self._look.final_count() < nonce:
            raise Unsafe(
                f"send: nonces {top + 1} to {nonce - 1} of {address} were used elsewhere, in blocks not final yet"
            )
        return nonce

    def _advance(self, flights: Sequence[Flight], head: Block, restarted: bool = False) -> tuple[Change, ...]:
        if not flights:
            return ()
        seen = self._look.at(flights, head)
        changes: list[Change] = []
        for flight, sight in zip(flights, seen, strict=True):
            action = next_action(flight, sight, self._limits, restarted)
            after = self._do(flight, action, head)
            if after is not flight:
                alarm = isinstance(action, Wait | Finish | Resend) and action.alarm
                changes.append(Change(after, flight.state, alarm))
        return tuple(changes)

    def _do(self, flight: Flight, action: Action, head: Block) -> Flight:
        """The flight after the action: the same object when nothing about it changed."""
        match action:
            case Wait():
                receipt = flight.receipt if action.state is State.INCLUDED else None
                return self._write(flight, action.state, action.why, head, receipt)
            case Include():
                after = self._write(flight, State.INCLUDED, action.why, head, action.receipt)
                reach("after_included")
                return after
            case Finish():
                after = self._write(flight, action.state, action.why, head, action.receipt)
                reach("after_final")
                return after
            case Resend():
                return self._resend(flight, action, head)
            case Replace():
                return self._replace(flight, action, head)

    def _resend(self, flight: Flight, action: Resend, head: Block) -> Flight:
        attempt = action.attempt
        doors = doors_now(attempt.purpose, flight.attempts, head, flight.intent.deadline, self._limits)
        if attempt.doors and not set(doors) <= set(attempt.doors):
            attempt = replace(attempt, doors=tuple(dict.fromkeys((*attempt.doors, *doors))))
            self._held = None
            self._journal.open_doors(flight.intent.id, attempt.hash, attempt.doors)
            flight = replace(flight, attempts=(*flight.attempts[:-1], attempt))
            action = replace(
                action, why=f"send: among relays to no avail, and public from block {head.number} on"
            )
        answer = self._doors.send(attempt, doors, head)
        reach("after_send")
        why = action.why if answer.meaning is Meaning.TAKEN else f"{action.why} ({answer.text})"
        sent = head.number if action.lost else None
        return self._write(flight, State.BROADCAST, why, head, sent_block=sent, left=True)

    def _replace(self, flight: Flight, action: Replace, head: Block) -> Flight:
        if action.purpose is Purpose.ACT:
            prove_own_words(flight, self._signer.address)
            objection = self._rehearse(flight, head)
            if objection:
                return self._write(flight, State.BROADCAST, objection, head)
        names = _REPLACE_STEPS[action.purpose]
        try:
            attempt = self._sign(flight.intent, flight.nonce, action.purpose, action.fees, head)
        except Exception as error:  # noqa: BLE001 - whoever signs, the attempts already out are still followed
            why = f"send: not replaced by a higher bid: not signed ({type(error).__name__})"
            if action.known:
                return self._write(flight, State.BROADCAST, why, head)
            return self._resend(flight, Resend(flight.newest, why), head)
        doors = doors_now(action.purpose, flight.attempts, head, flight.intent.deadline, self._limits)
        attempt = replace(attempt, doors=doors)
        reach(names[0])
        self._held = None
        self._journal.add_attempt(flight.intent.id, attempt)
        reach(names[1])
        if action.purpose is Purpose.CANCEL:
            self._doors.forget(flight.attempts)
        answer = self._doors.send(attempt, doors, head)
        reach(names[2])
        why = action.why if answer.meaning is Meaning.TAKEN else f"{action.why} ({answer.text})"
        flight = replace(flight, attempts=(*flight.attempts, attempt))
        return self._write(flight, State.BROADCAST, why, head, sent_block=head.number, left=True)

    def _rehearse(self, flight: Flight, head: Block) -> str:
        """Why a higher bid for the same call should not go out; empty when it may."""
        call, gas = flight.intent.call, hex(flight.intent.gas_limit)
        fields = {"from": self._signer.address, "gas": gas}
        try:
            self._node.call(call.to, call.data, head.hash, **fields)
        except NodeRefused as refusal:
            return f"send: not replaced by a higher bid: the call would now fail ({refusal.message})"
        except NodeUnreachable:
            return "send: not replaced by a higher bid: the node did not answer whether the call still works"
        return ""

    def _sign(self, intent: Intent, nonce: int, purpose: Purpose, fees: Fees, head: Block) -> Attempt:
        if purpose is Purpose.ACT:
            call, gas = intent.call, intent.gas_limit
        else:
            call = Call(self._signer.address, b"")
            gas = self._transfer_gas()
        signed = self._signer.sign(Transaction(self._chain_id, nonce, fees, gas, call))
        if not isinstance(self._signer, LocalSigner):  # a key in this process is proven once, at the start
            check_signed(self._signer, signed)
        return Attempt(signed.hash, signed.raw, fees, purpose, head.number)

    def _transfer_gas(self) -> int:
        """What a transfer of nothing to oneself may use: more on chains that charge for their data, or for an account
        with code. A node that will not say costs no cancellation: the least is then tried.
        """
        own = self._signer.address
        try:
            estimate = self._node.ask_number("eth_estimateGas", {"from": own, "to": own}, "latest")
        except Blind:
            return TRANSFER_GAS
        if estimate <= TRANSFER_GAS:
            return TRANSFER_GAS
        return min(mul_div_up(estimate, *_TRANSFER_MARGIN), _MOST_TRANSFER_GAS)

    def _doubted(self, answer: Answer, attempt: Attempt) -> Answer:
        """Even a refusal beyond doubt is checked once: behind one address there may be several nodes."""
        if answer.meaning is not Meaning.REFUSED:
            return answer
        try:
            held = self._node.ask("eth_getTransactionByHash", attempt.hash)
        except KeeperError:
            return Answer(Meaning.OPEN, answer.text)
        return answer if held is None else Answer(Meaning.OPEN, answer.text)

    def _write(
        self,
        flight: Flight,
        state: State,
        why: str,
        head: Block,
        receipt: Receipt | None = None,
        sent_block: int | None = None,
        left: bool = False,
    ) -> Flight:
        """Journal where a flight stands, if that is news. `left` says that bytes went out just before."""
        sent = flight.sent_block if sent_block is None else sent_block
        after = replace(flight, state=state, why=why, receipt=receipt, sent_block=sent)
        if after == flight:
            return flight
        self._held = None
        try:
            self._journal.record(flight.intent.id, Step(head.number, state, why, receipt), sent_block)
        except JournalBroken as error:
            if left:
                raise Ambiguous(
                    f"send: nonce {flight.nonce} was sent, and that could not be written: {error}"
                ) from error
            raise
        return after


_REPLACE_STEPS: dict[Purpose, tuple[Name, Name, Name]] = {
    Purpose.ACT: ("after_bump_sign", "after_bump_attempt", "after_bump_send"),
    Purpose.CANCEL: ("after_cancel_sign", "after_cancel_attempt", "after_cancel_send"),
}


def _told(answer: Answer) -> str:
    match answer.meaning:
        case Meaning.TAKEN:
            return f"send: {answer.text or 'the node holds it'}"
        case Meaning.REFUSED:
            return f"send: refused, so its nonce is given back ({answer.text})"
        case _:
            return f"send: sent, and nobody knows yet what became of it ({answer.text})"
