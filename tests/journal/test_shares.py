"""A journal that several keepers share: a lease for each share, writers in turn, and one way to share it at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import psycopg
import pytest

from keeper.domain.errors import KeeperError, Misconfigured, Standby, Superseded, Unsafe
from keeper.domain.flights import State, Step
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind, Verdict
from keeper.journal import postgres, roll
from keeper.journal.journal import Journal, Reader
from keeper.journal.roll import Roll
from keeper.journal.shares import Share, Sight, to_give_up, to_take
from tests.journal.flights_kept import CHAIN, KEEPER, OWNER, attempt, block, intent
from tests.postgres import NewDatabase

EAST, WEST = Share("east", "east west"), Share("west", "east west")
WESTERN = Address("0x" + "5e" * 20)
STRANGER = Address("0x" + "57" * 20)


def fall_silent(url: str, name: str) -> None:
    """What the server sees of a keeper that has shown no sign of life for long."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE lease SET beat = beat - interval '1 hour' WHERE name = %s", [name])


def judged(owner: Address) -> Verdict:
    planned = intent().plan
    return Verdict(replace(planned.key, owner=owner), Kind.WITHIN, "health: within", planned.after)


def test_two_shares__of_one_journal__are_written_by_two_keepers_and_read_as_one(
    new_database: NewDatabase,
) -> None:
    url = new_database()
    with Journal(url, EAST) as east, Journal(url, WEST) as west:
        for journal in (east, west):
            journal.bind(CHAIN, "0x" + "ab" * 32)
        for _ in range(2):
            with pytest.raises(Standby, match="share west of .* is written by another keeper"):
                Journal(url, WEST)
        east.open_intent(intent("one"), CHAIN, KEEPER, 0, attempt(1))
        west.open_intent(intent("two"), CHAIN, WESTERN, 0, attempt(2))
        assert (east.top_nonce(CHAIN, KEEPER), west.top_nonce(CHAIN, WESTERN)) == (0, 0)
        assert [flight.intent.id for flight in west.flights(CHAIN, WESTERN)] == ["two"]
        assert east.write_turn(block(10), [judged(OWNER)], "east was blind")
        assert west.write_turn(block(10), [judged(STRANGER)], "west was not")
        assert not west.write_turn(block(10), [judged(STRANGER)], "west again")
        assert east.write_turn(block(11), [judged(OWNER)])
        with Reader(url) as reader:
            found = {owner: reader.verdicts(owner) for owner in (OWNER, STRANGER)}
        assert {owner: page and page.block.number for owner, page in found.items()} == {
            OWNER: 11,
            STRANGER: 10,
        }
        page = found[STRANGER]
        assert page is not None
        assert (page.note, page.rivals) == ("east was blind; west was not", ())
        assert west.latch("gas", 11, "breaker: enough")
        assert not east.latch("gas", 11, "breaker: enough")
        with pytest.raises(Unsafe, match="enough"):
            east.open_intent(intent("three"), CHAIN, KEEPER, 1, attempt(3))


def test_writers__of_two_shares_at_once__take_turns_and_none_is_refused(new_database: NewDatabase) -> None:
    url = new_database()
    failed: list[KeeperError] = []

    def write(share: Share, sender: Address) -> None:
        try:
            with Journal(url, share) as journal:
                for number in range(30):
                    name = f"{share.name} {number}"
                    journal.open_intent(intent(name), CHAIN, sender, number, attempt(1))
                    journal.write_turn(block(number), [judged(sender)])
                    journal.mark_final(number, block(number).hash)
        except KeeperError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=both) for both in ((EAST, KEEPER), (WEST, WESTERN))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Reader(url) as reader:
        nonces = Counter((flight.sender, flight.nonce) for flight in reader.actions())
        assert nonces == {(sender, number): 1 for sender in (KEEPER, WESTERN) for number in range(30)}
        assert reader.final() is not None
        for owner, number in product((KEEPER, WESTERN), range(30)):
            page = reader.verdicts(owner, number)
            assert page is not None
            assert (page.block, len(page.verdicts)) == (block(number), 1)


def test_a_keeper__that_was_succeeded_in_one_share__gets_no_nonce_in_it_and_keeps_its_other(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database()
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 3600.0)
    stale = Journal(url, WEST)
    with Journal(url, EAST) as other:
        fall_silent(url, "west")
        with Journal(url, WEST) as heir:
            for write in (
                lambda: stale.open_intent(intent("one"), CHAIN, WESTERN, 0, attempt(1)),
                lambda: stale.add_attempt("one", attempt(3)),
                lambda: stale.write_turn(block(10), []),
            ):
                with pytest.raises(
                    Superseded, match="took over share west of .* with epoch 2, and this keeper's was 1"
                ):
                    write()
            assert (heir.flights(), heir.last_turn()) == ((), None)
            other.open_intent(intent("one"), CHAIN, KEEPER, 0, attempt(1))
            heir.open_intent(intent("two"), CHAIN, WESTERN, 0, attempt(2))
    stale.close()


@pytest.mark.parametrize("otherwise", [None, Share("east", "east"), Share("north", "east north")], ids=str)
def test_a_journal__shared_in_one_way__is_shared_in_another_only_when_nobody_and_nothing_is_under_way(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, otherwise: Share | None
) -> None:
    url = new_database()
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 3600.0)
    for before, after in ((EAST, otherwise), (otherwise, EAST)):
        name = str(before)
        stale = Journal(url, before)
        stale.open_intent(intent(name), CHAIN, KEEPER, len(name), attempt(1))
        with pytest.raises(
            Standby, match="is shared otherwise than these settings say, by another keeper .*process"
        ):
            Journal(url, after)
        fall_silent(url, before.name if before else "writer")
        with pytest.raises(Misconfigured, match="has 1 flight under way; run with the shards as they were"):
            Journal(url, after)
        with Journal(url, before) as heir:
            heir.record(name, Step(11, State.CANCELLED, "send: done", None))
        paused = Journal(url, before)
        paused._right.release()  # as one whose lease has lapsed, and that knows nothing of it
        with Journal(url, after) as new:
            new.open_intent(intent(f"{name} and then"), CHAIN, KEEPER, len(name) + 1, attempt(1))
            for late in (stale, paused):
                with pytest.raises(Superseded):
                    late.open_intent(intent("late"), CHAIN, KEEPER, 2_000, attempt(1))
            new.record(f"{name} and then", Step(11, State.CANCELLED, "send: done", None))
        stale.close()
        paused.close()


def test_a_journal__whose_last_writer_fell_silent_in_the_midst_of_a_write__is_not_shared_otherwise_over_its_flight(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database()
    monkeypatch.setattr(postgres, "_BEAT_SECONDS", 3600.0)
    refused: list[KeeperError] = []

    def share_otherwise() -> None:
        try:
            Journal(url).close()
        except KeeperError as error:
            refused.append(error)

    with psycopg.connect(url) as slow, psycopg.connect(url, autocommit=True) as watching:

        def waiting(count: int) -> None:
            asked = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            asked += "WHERE NOT granted AND datname = current_database()"
            give_up_at = time.monotonic() + 4.0
            while watching.execute(asked).fetchone() != (count,):
                assert time.monotonic() < give_up_at
                time.sleep(0.01)

        stale = Journal(url, EAST)
        fall_silent(url, "east")
        slow.execute("LOCK TABLE outcome IN EXCLUSIVE MODE")
        writes = [
            threading.Thread(target=stale.open_intent, args=(intent(), CHAIN, KEEPER, 0, attempt(1))),
            threading.Thread(target=share_otherwise),
        ]
        for count, write in enumerate(writes, 1):
            write.start()
            waiting(count)
        slow.commit()
        for write in writes:
            write.join()
    (error,) = refused
    assert "has 1 flight under way" in str(error)
    with Reader(url) as reader:
        assert ([flight.nonce for flight in reader.flights()], reader.among()) == ([0], EAST.among)
    stale.close()


def test_a_shared_journal__that_an_older_keeper_still_writes__is_brought_up_to_date_only_after_it(
    new_database: NewDatabase,
) -> None:
    url = new_database()
    with Journal(url, EAST) as older:
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE peer")
            connection.execute("UPDATE about SET value = '4' WHERE name = 'version'")
        with pytest.raises(Standby, match="is written by an older keeper .*process .*; standing by"):
            Journal(url, WEST)
        older.open_intent(intent("one"), CHAIN, KEEPER, 0, attempt(1))
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT to_regclass('peer')").fetchone() == (None,)
    with Journal(url, WEST) as newer, Roll(url) as mine:
        assert [flight.nonce for flight in newer.flights()] == [0]
        assert dict(mine.sign().held) == {"west": mine.sign().me}


def test_a_share__of_a_file__is_refused_in_a_sentence(tmp_path: Path) -> None:
    said = "keeper.db is a file, which one keeper writes; shards need a PostgreSQL"
    with pytest.raises(Misconfigured, match=said):
        Journal(tmp_path / "keeper.db", EAST)
    with pytest.raises(Misconfigured, match=said):
        Roll(tmp_path / "keeper.db")
    assert list(tmp_path.iterdir()) == []


def test_a_roll__before_and_after_the_tables_are_there__tells_who_is_there_and_who_has_what(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database()
    with Roll(url) as mine:
        sight = mine.sign()
        assert (sight.there, dict(sight.held)) == ({sight.me}, {})
        with Journal(url, EAST):
            assert dict(mine.sign().held) == {"east": sight.me}
            monkeypatch.setattr(roll, "this_process", lambda: "another")
            with Roll(url) as other:
                assert other.sign().there == mine.sign().there == {sight.me, "another"}
            assert mine.sign().there == {sight.me}
            Roll(url).sign()
            time.sleep(roll.PRESENT_SECONDS + 0.1)
            assert mine.sign().there == {sight.me}
        assert dict(mine.sign().held) == {}


class Keepers:
    """Keepers that follow the two rules, one after the other, on leases that need no database."""

    def __init__(self, count: int) -> None:
        self.shares = [f"share {n}" for n in range(count)]
        self.mine: dict[str, list[str]] = {}

    def sight(self, me: str) -> Sight:
        held = {name: who for who, names in self.mine.items() for name in names}
        return Sight(me, frozenset(self.mine), held)

    def settle(self) -> int:
        """Until nothing changes any more; how many shares have moved."""
        moved = 0
        for _ in range(100):
            changed = 0
            for who, mine in self.mine.items():
                for name in to_take(self.sight(who), self.shares, mine, overdue=False):
                    mine.append(name)
                    changed += 1
            if len(self.sight("").held) == len(self.shares):
                for who, mine in self.mine.items():
                    leave = to_give_up(self.sight(who), mine)
                    if leave is not None:
                        mine.remove(leave)
                        changed += 1
                        break
            if not changed:
                return moved
            moved += changed
        raise AssertionError(f"it never settles: {self.mine}")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16])
def test_keepers__that_come_and_go__have_all_shares_as_evenly_as_can_be(count: int) -> None:
    keepers = Keepers(count)
    for name in ("one", "two", "three", "four"):
        keepers.mine[name] = []
        keepers.settle()
        even(keepers)
    for gone in ("two", "one", "four"):
        kept = {name: set(mine) for name, mine in keepers.mine.items() if name != gone}
        del keepers.mine[gone]
        keepers.settle()
        even(keepers)
        for name, mine in kept.items():
            assert mine <= set(keepers.mine[name]), "who stays loses nothing by another's going"


def even(keepers: Keepers) -> None:
    held = Counter(name for mine in keepers.mine.values() for name in mine)
    assert held == Counter(keepers.shares)
    counts = [len(mine) for mine in keepers.mine.values()]
    assert max(counts) - min(counts) <= 1


def test_what_is_free__while_another_has_fewer__is_left_to_it_until_it_is_overdue() -> None:
    sight = Sight("me", frozenset({"me", "idle"}), {"a": "me"})
    assert to_take(sight, ["a", "b", "c"], ["a"], overdue=False) == ()
    assert to_take(sight, ["a", "b", "c"], ["a"], overdue=True) == ("b", "c")
    assert to_give_up(sight, ["a"]) is None
    assert to_give_up(sight, ["a", "b"]) == "b"
