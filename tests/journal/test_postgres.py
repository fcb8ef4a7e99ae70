"""Several keepers on one real PostgreSQL: one leads, and one that was paused gets no nonce when it comes back."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess

import psycopg
import pytest
from sqlalchemy import text

from keeper.domain.errors import JournalBroken, Standby, Superseded
from keeper.domain.flights import State, Step
from keeper.domain.verdicts import Kind, Verdict
from keeper.journal import postgres
from keeper.journal.journal import Journal, Reader
from keeper.journal.places import place_of
from tests.journal.flights_kept import CHAIN, KEEPER, OWNER, attempt, block, intent
from tests.journal.standby import stand_by
from tests.postgres import NewDatabase

SOON = 5.0
"""How long a keeper may be gone before another has taken over, in seconds."""
APART = multiprocessing.get_context("spawn")


class Peer:
    """A keeper in a process of its own, and what it has told."""

    def __init__(self, url: str, name: str) -> None:
        self._ear, mouth = APART.Pipe(duplex=False)
        self.process: BaseProcess = APART.Process(target=stand_by, args=(url, name, mouth))
        self.process.start()
        mouth.close()
        self.nonces: list[int] = []
        self.ends: list[str] = []

    def hear(self, seconds: float, wanted: str) -> float:
        """Listen until it says this, and tell how long that took."""
        begun = time.monotonic()
        while self._ear.poll(max(0.0, begun + seconds - time.monotonic())):
            what, told = self._ear.recv()
            if what == "nonce":
                self.nonces.append(told)
            elif what in ("superseded", "broken"):
                self.ends.append(told)
            if what == wanted:
                return time.monotonic() - begun
        raise AssertionError(f"it did not say {wanted!r} within {seconds} s")

    def drain(self) -> None:
        """Hear all it has said so far."""
        with suppress(AssertionError, EOFError):
            self.hear(0.0, "nothing")

    def signal(self, sign: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, sign)

    def end(self) -> None:
        self.signal(signal.SIGKILL) if self.process.is_alive() else None
        self.process.join()
        self._ear.close()


@pytest.fixture
def peers() -> Iterator[Callable[[str, str], Peer]]:
    started: list[Peer] = []

    def start(url: str, name: str) -> Peer:
        started.append(Peer(url, name))
        return started[-1]

    yield start
    for peer in started:
        peer.end()


def given(url: str) -> list[int]:
    """Every nonce in the journal, in the order of their intents."""
    with Reader(url) as reader:
        return [flight.nonce for flight in reader.actions()]


def epoch(url: str) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute("SELECT epoch FROM lease").fetchone() or (0,)
        return int(found)


def test_a_second_keeper__while_the_first_leads__stands_by_and_leads_at_once_when_it_leaves(
    new_database: NewDatabase,
) -> None:
    url = new_database()
    with Journal(url) as first:
        assert first.leads
        first.open_intent(intent("one"), CHAIN, KEEPER, 7, attempt(1))
        for _ in range(2):
            with pytest.raises(Standby, match=f"is written by another keeper .*process {os.getpid()}"):
                Journal(url)
        with Reader(url) as reader:
            assert reader.top_nonce(CHAIN, KEEPER) == 7
    assert not first.leads
    with Journal(url) as second:
        assert second.top_nonce(CHAIN, KEEPER) == 7
        assert epoch(url) == 2


def test_a_keeper__that_works_longer_than_the_lease__keeps_it(new_database: NewDatabase) -> None:
    url = new_database()
    with Journal(url) as first:
        until = time.monotonic() + postgres.TTL_SECONDS + 1
        while time.monotonic() < until:
            assert first.leads
            with pytest.raises(Standby):
                Journal(url)
            time.sleep(0.2)
        first.write_turn(block(10), [])


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_keeper__killed_or_paused__is_succeeded_in_time_and_comes_back_to_no_nonce(
    new_database: NewDatabase, peers: Callable[[str, str], Peer], sign: signal.Signals
) -> None:
    url = new_database()
    leader = peers(url, "leader")
    leader.hear(30.0, "nonce")
    heir = peers(url, "heir")
    heir.hear(30.0, "stands by")
    leader.signal(sign)
    gone_at = time.monotonic()
    heir.hear(30.0, "leads")
    taken = time.monotonic() - gone_at
    print(f"takeover after {sign.name}: {taken:.2f} s")
    assert taken < SOON
    heir.hear(10.0, "nonce")
    before = given(url)
    if sign == signal.SIGSTOP:
        leader.signal(signal.SIGCONT)
        leader.hear(10.0, "superseded")
        assert "took over with epoch 2, and this keeper's was 1" in leader.ends[-1]
        leader.process.join(timeout=10)
    heir.drain()
    leader.drain()
    nonces = given(url)
    assert nonces == list(range(len(nonces))), "none twice, none left out"
    assert len(nonces) >= len(before)
    with Reader(url) as reader:
        flown = [flight.intent.id.partition(",")[0] for flight in reader.actions()]
    assert flown == sorted(flown, reverse=True), "all of the leader's come before all of the heir's"
    assert heir.process.is_alive()


def test_a_keeper__paused_in_the_midst_of_a_transaction__does_not_hold_off_its_successor(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 3600.0)  # it falls silent at once
    url = new_database()
    first = Journal(url)
    with pytest.raises(JournalBroken), first._transaction() as db:
        db.execute(text("SELECT 1"))
        begun = time.monotonic()
        heir: Journal | None = None
        while heir is None:
            assert time.monotonic() - begun < SOON
            with suppress(JournalBroken):
                heir = Journal(url)
        db.execute(text("SELECT 1"))
    with pytest.raises(Superseded):
        first.open_intent(intent(), CHAIN, KEEPER, 0, attempt(1))
    first.close()
    heir.open_intent(intent(), CHAIN, KEEPER, 0, attempt(1))
    heir.close()


def test_every_writing__of_a_keeper_that_was_succeeded__is_refused_and_changes_nothing(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 3600.0)
    url = new_database()
    stale = Journal(url)
    stale.open_intent(intent("one"), CHAIN, KEEPER, 0, attempt(1))
    time.sleep(postgres.TTL_SECONDS + 0.2)
    assert not stale.leads
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 0.5)
    with Journal(url) as heir:
        for write in (
            lambda: stale.open_intent(intent("two"), CHAIN, KEEPER, 1, attempt(2)),
            lambda: stale.add_attempt("one", attempt(3)),
            lambda: stale.record("one", Step(11, State.FINAL, "send: done", None)),
            lambda: stale.write_turn(block(10), []),
            lambda: stale.latch("gas", 1, "breaker: too much"),
            lambda: stale.prune(10),
            stale.flights,
        ):
            with pytest.raises(Superseded, match="took over with epoch 2"):
                write()
        (flight,) = heir.flights()
        assert (flight.state, len(flight.attempts), heir.last_turn(), heir.latches()) == (
            State.SIGNED,
            1,
            None,
            (),
        )
        stale.close()
        heir.record("one", Step(11, State.FINAL, "send: done", None))


def test_the_session_of_the_lease__cut_by_the_server__is_dialled_anew_and_the_lease_kept(
    new_database: NewDatabase,
) -> None:
    url = new_database()
    with Journal(url) as journal:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(JournalBroken, match="did not answer"):
            journal.write_turn(block(10), [])
        time.sleep(postgres.TTL_SECONDS + 0.5)
        assert journal.leads
        assert journal.write_turn(block(10), [])
        assert epoch(url) == 1


def test_two_keepers__that_meet_on_an_empty_database__found_it_once(
    new_database: NewDatabase, peers: Callable[[str, str], Peer]
) -> None:
    url = new_database()
    both = [peers(url, "one"), peers(url, "two")]
    deadline = time.monotonic() + 30
    while not any(peer.nonces for peer in both):
        assert time.monotonic() < deadline
        for peer in both:
            peer.drain()
        time.sleep(0.05)
    assert all(peer.process.is_alive() for peer in both)
    assert epoch(url) == 1


def test_a_database__of_something_else__is_refused_and_left_alone(new_database: NewDatabase) -> None:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE diary (day text)")
    for opening in (Journal, Reader):
        with pytest.raises(JournalBroken, match="is not a keeper's journal"):
            opening(url)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert found == [("diary",)]


def test_a_server__that_is_not_there__is_one_sentence_without_the_password() -> None:
    with pytest.raises(
        JournalBroken, match="journal: postgresql://127.0.0.1/keeper did not answer"
    ) as caught:
        Journal("postgresql://keeper:hunter2@127.0.0.1:9/keeper")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(place_of("postgresql://keeper:hunter2@127.0.0.1:9/keeper"))


def test_a_strangers_words__with_what_no_database_can_hold__are_written_down_all_the_same(
    new_database: NewDatabase,
) -> None:
    why = "rule: \x00 and \ud800"
    judged = Verdict(intent().plan.key, Kind.BLIND, why, intent().plan.after)
    with Journal(new_database()) as journal:
        journal.write_turn(block(10), [judged], "note \x00")
        page = journal.verdicts(OWNER)
        assert page is not None
        assert page.verdicts[0].why == "rule: \N{REPLACEMENT CHARACTER} and ?"


def test_a_reader__beside_the_writer__cannot_write(new_database: NewDatabase) -> None:
    url = new_database()
    with Journal(url), Reader(url) as reader:
        with pytest.raises(JournalBroken, match="read-only"), reader._transaction() as db:
            db.execute(text("UPDATE lease SET epoch = 99"))
        assert epoch(url) == 1
