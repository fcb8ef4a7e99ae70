"""What must hold after every fault, whatever it was; the letters are those of docs/faults.md."""

from __future__ import annotations

from keeper.domain.flights import Flight, Purpose, State
from keeper.journal.journal import Journal
from tests.send.conftest import Stage
from tests.send.flights_given import LIMITS


def hold(stage: Stage) -> None:
    """I1 to I4 and I7 of a stage whose intents each count one number; I5 is the contracts', I6 the tests' own."""
    flights = stage.journal.actions()
    _at_most_once(stage, flights)
    _ended_or_told_why(flights)
    _no_hole(stage, flights)
    _within_the_ceiling(flights)
    _told_again(stage.journal, flights)


def counted(flight: Flight) -> int:
    """The number an intent is to count."""
    return int.from_bytes(flight.intent.call.data, "big")


def _at_most_once(stage: Stage, flights: tuple[Flight, ...]) -> None:
    """I1: no intent has acted twice, and no number was counted by more intents than acted."""
    numbers = {counted(flight) for flight in flights}
    for number in numbers:
        acting = [f for f in flights if counted(f) == number and f.state is not State.ABANDONED]
        assert stage.count(number) <= len(acting), f"I1: {number} was counted too often"
        done = [f for f in acting if f.state is State.FINAL]
        assert stage.count(number) >= len(done), f"I1: {number} is said to be done and is not"


def _ended_or_told_why(flights: tuple[Flight, ...]) -> None:
    """I2: whatever has not ended, or ended without acting, has its reason."""
    for flight in flights:
        assert flight.why.partition(": ")[2], f"I2: {flight.intent.id} has no reason"


def _no_hole(stage: Stage, flights: tuple[Flight, ...]) -> None:
    """I3: every nonce from the first to the last is one flight's, or was used by others on the chain."""
    held = sorted(flight.nonce for flight in flights if flight.state is not State.ABANDONED)
    assert len(set(held)) == len(held), "I3: a nonce is held twice"
    if held:
        missing = set(range(held[0], held[-1])) - set(held)
        assert all(nonce < stage.nonces() for nonce in missing), f"I3: nobody uses {missing}"


def _within_the_ceiling(flights: tuple[Flight, ...]) -> None:
    """I4: no bid above the ceiling, nor any action so near to it that it could not be cancelled."""
    for flight in flights:
        for attempt in flight.attempts:
            ceiling = LIMITS.action_fee_wei if attempt.purpose is Purpose.ACT else LIMITS.max_fee_wei
            assert attempt.fees.tip <= attempt.fees.max_fee <= ceiling, "I4: a bid is too high"
        if flight.receipt is not None:
            assert flight.receipt.gas_price <= LIMITS.max_fee_wei, "I4: too much was paid"


def _told_again(journal: Journal, flights: tuple[Flight, ...]) -> None:
    """I7: the story of each flight, read from the start, ends where the flight stands."""
    for flight in flights:
        last = journal.story(flight.intent.id)[-1]
        assert (last.state, last.why, last.receipt) == (flight.state, flight.why, flight.receipt), "I7"
