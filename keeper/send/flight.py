"""What to do next about one flight: a pure function of its journal entry and of what the chain shows.

Nothing here asks, signs, sends or looks at a clock. `Seen` is one look at the chain, taken at one head.

Assumes: an attempt is identified by its hash alone, so that whatever was mined is known by what it is and not by what
was wanted; and that the contract refuses an action after `Intent.deadline`, so that cancelling then loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.flights import Attempt, Fees, Flight, Purpose, Receipt, State
from keeper.send.fees import SendLimits, gwei_text, patience, replacement_fees, urgency

PUBLIC: Final = "public"
"""The door that is every endpoint's pool; all others are relays, by name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chain showed of one flight.

    `now` is the head's timestamp. `receipt` is of any attempt, and in the canonical chain; `unread` when the node
    refused to say. `mined` counts the nonces used at the head. `known` says the node holds or has mined the newest
    attempt. `consumer` is the hash of whatever used this nonce in a final block, when there is such a block and the
    node could name it.
    """

    head: int
    now: int
    base_fee: int
    final: int
    mined: int
    receipt: Receipt | None = None
    unread: bool = False
    known: bool = False
    nonce_final: bool = False
    consumer: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing; `why` is worth writing down when it is new, and `alarm` when a person should know."""

    state: State
    why: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """A block holds it; not final."""

    receipt: Receipt
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over, and nothing can reopen it."""

    state: State
    receipt: Receipt | None
    why: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Resend:
    """Broadcast the newest attempt again, byte for byte; `lost` starts the wait for it anew."""

    attempt: Attempt
    why: str
    lost: bool = False
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Replace:
    """Sign the same nonce again with higher fees, for the same call or to cancel it, and broadcast that.

    `known` as in `Seen`: what cannot be replaced after all is at least not left unsent.
    """

    purpose: Purpose
    fees: Fees
    why: str
    known: bool


Action = Wait | Include | Finish | Resend | Replace


def next_action(flight: Flight, seen: Seen, limits: SendLimits, restarted: bool = False) -> Action:
    """The one thing to do now about a flight that has not ended; a keeper just `restarted` first repeats itself."""
    if seen.receipt is not None:
        return _mined(flight, seen.receipt, min(seen.final, seen.head))
    if seen.unread:
        return Wait(flight.state, f"send: the node could not say whether nonce {flight.nonce} was mined")
    if seen.mined > flight.nonce:
        return _spent(flight, seen)
    return _unmined(flight, flight.newest, seen, limits, restarted)


def _mined(flight: Flight, receipt: Receipt, final: int) -> Action:
    """Attribution by what was mined: a cancelled flight whose action won the race has acted."""
    cancelled = flight.attempt(receipt.hash).purpose is Purpose.CANCEL
    if receipt.block > final:
        what = "cancelled" if cancelled else "done" if receipt.succeeded else "reverted"
        return Include(receipt, f"send: {what} in block {receipt.block}, which is not final yet")
    if cancelled:
        return Finish(State.CANCELLED, receipt, f"send: cancelled in block {receipt.block}")
    if not receipt.succeeded:
        why = f"send: reverted in block {receipt.block}, using {receipt.gas_used} gas"
        return Finish(State.REVERTED_FINAL, receipt, why, alarm=True)
    return Finish(State.FINAL, receipt, f"send: done in block {receipt.block}")


def _spent(flight: Flight, seen: Seen) -> Action:
    """The nonce is used and none of our hashes has a receipt: somebody else holds the key, or the node lags."""
    ours = {attempt.hash for attempt in flight.attempts}
    if seen.nonce_final and seen.consumer is None:
        why = (
            f"send: nonce {flight.nonce} is used in a final block, none of our receipts is there, and this node "
            "cannot show what used it; ask one that keeps older state"
        )
        return Wait(State.BROADCAST, why, alarm=True)
    if seen.nonce_final and seen.consumer not in ours:
        why = f"send: nonce {flight.nonce} was used by {seen.consumer}: the key is in use elsewhere"
        return Finish(State.REPLACED, None, why, alarm=True)
    why = f"send: nonce {flight.nonce} is used, though by none of ours that the node can show"
    return Wait(State.BROADCAST, why, alarm=True)


def _unmined(flight: Flight, newest: Attempt, seen: Seen, limits: SendLimits, restarted: bool) -> Action:
    if seen.now > flight.intent.deadline and newest.purpose is Purpose.ACT:
        return _late(flight, newest, seen, limits)
    if flight.state is State.INCLUDED:
        why = f"send: a reorganisation took it out of its block by block {seen.head}; the same bytes go out again"
        return Resend(newest, why, lost=True)
    if flight.state is State.SIGNED or flight.sent_block is None:
        return Resend(newest, "send: signed and perhaps never sent; the same bytes go out", lost=True)
    if restarted and not seen.known:
        why = "send: the node does not hold it after a restart; the same bytes go out again"
        return Resend(newest, why, lost=True)
    acts = newest.purpose is Purpose.ACT
    pressing = urgency(flight.intent.deadline - seen.now, limits) if acts else 0
    waited = seen.head - flight.sent_block
    if seen.mined == flight.nonce and waited >= patience(pressing, limits):
        ceiling = limits.ceiling(flight.intent) if acts else limits.max_fee_wei
        return _stuck(newest, seen, limits.tip_wei << pressing, ceiling, waited)
    if is_private(newest):
        return _hidden(newest, seen)
    if seen.known:
        return Wait(State.BROADCAST, flight.why)
    return Resend(newest, "send: the node does not hold it any more; the same bytes go out again")


def is_private(attempt: Attempt) -> bool:
    """Whether its bytes have left by relays alone."""
    return bool(attempt.doors) and PUBLIC not in attempt.doors


def _hidden(newest: Attempt, seen: Seen) -> Action:
    """Only a block tells what became of it: a relay may drop what it took, and so is given it again."""
    if seen.known:
        why = f"send: given to {', '.join(newest.doors)} alone, and the node's pool holds it: somebody told others"
        return Wait(State.BROADCAST, why, alarm=True)
    return Resend(newest, f"send: given to {', '.join(newest.doors)} alone, and again with every block")


def _late(flight: Flight, newest: Attempt, seen: Seen, limits: SendLimits) -> Action:
    why = f"send: not mined by its deadline, {flight.intent.deadline} by the chain's clock"
    fees = replacement_fees(newest.fees, seen.base_fee, limits.tip_wei, limits.max_fee_wei)
    if fees is None:
        return _hold(newest, seen, f"{why}; cancelling would exceed the fee ceiling")
    return Replace(Purpose.CANCEL, fees, why, seen.known)


def _stuck(newest: Attempt, seen: Seen, tip: int, ceiling: int, waited: int) -> Action:
    bid = gwei_text(newest.fees.max_fee)
    fees = replacement_fees(newest.fees, seen.base_fee, tip, ceiling)
    if fees is None:
        why = f"send: not mined at {bid} gwei, and a replacement would exceed {gwei_text(ceiling)} gwei"
        return _hold(newest, seen, why)
    why = f"send: not mined in {waited} blocks at {bid} gwei, replaced at {gwei_text(fees.max_fee)} gwei"
    return Replace(newest.purpose, fees, why, seen.known)


def _hold(newest: Attempt, seen: Seen, why: str) -> Action:
    """It cannot be replaced, but never falls silent: what a node has dropped is sent again."""
    if seen.known:
        return Wait(State.BROADCAST, why, alarm=True)
    return Resend(newest, why, alarm=True)
