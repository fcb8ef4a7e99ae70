"""The journal: what goes in comes out, is there after a crash, and a broken file is one clear sentence."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from keeper.domain.errors import JournalBroken, Misconfigured, Unsafe
from keeper.domain.flights import Lately, Purpose, State, Step
from keeper.domain.loans import health_measure
from keeper.domain.plans import WITNESS
from keeper.domain.rules import RuleKey
from keeper.domain.units import NO_DEBT, WAD
from keeper.domain.verdicts import Kind, Verdict
from keeper.journal.journal import OLDEST, Journal, Reader, reset
from keeper.journal.tables import VERSION
from tests.journal.flights_kept import (
    CHAIN,
    KEEPER,
    OWNER,
    RECEIPT,
    STRANGER,
    THRESHOLDS,
    attempt,
    block,
    intent,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keeper.db"


@pytest.fixture(params=["file", "server"])
def journal(path: Path, request: pytest.FixtureRequest) -> Iterator[Journal]:
    """The same journal in either place: every test that takes it holds for both."""
    url = path if request.param == "file" else request.getfixturevalue("new_database")()
    with Journal(url) as opened:
        yield opened


def test_a_journals_file__once_open__logs_ahead_and_waits_for_the_disk_at_every_commit(path: Path) -> None:
    with Journal(path) as journal:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        held = [journal._connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
        assert held == ["wal", 2, 1]
        assert path.with_name("keeper.db-wal").exists()


def test_a_journals_file__as_it_is_made__is_its_owners_alone(path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Journal(path):
            made = [path, *(path.with_name(f"keeper.db-{part}") for part in ("wal", "shm"))]
            assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o600] * 3
    finally:
        os.umask(before)


def test_a_flight__written_step_by_step__is_read_back_whole(journal: Journal) -> None:
    opened = journal.open_intent(intent(), CHAIN, KEEPER, 7, attempt(1))
    assert journal.flights(CHAIN, KEEPER) == (opened,)
    assert (opened.state, opened.nonce, opened.attempts) == (State.SIGNED, 7, (attempt(1),))

    journal.record("one", Step(10, State.BROADCAST, "send: the node holds it", None), sent_block=10)
    journal.add_attempt("one", attempt(2, Purpose.CANCEL))
    (sent,) = journal.flights()
    assert (sent.state, sent.sent_block, sent.attempts) == (
        State.BROADCAST,
        10,
        (attempt(1), attempt(2, Purpose.CANCEL)),
    )
    assert sent.intent == intent()

    journal.record("one", Step(11, State.INCLUDED, "send: in a block", RECEIPT))
    (included,) = journal.flights()
    assert included.receipt == RECEIPT
    assert included.receipt.gas_cost == 473_267 * 2**70

    journal.record("one", Step(90, State.FINAL, "send: done", RECEIPT))
    assert journal.flights() == ()
    (done,) = journal.actions(OWNER)
    assert (done.state, done.why, done.receipt, done.sent_block) == (State.FINAL, "send: done", RECEIPT, 10)
    assert [step.state for step in journal.story("one")] == [
        State.SIGNED,
        State.BROADCAST,
        State.INCLUDED,
        State.FINAL,
    ]
    assert journal.actions(STRANGER) == ()


def test_a_nonce__held_by_an_intent__is_not_given_twice(journal: Journal) -> None:
    journal.open_intent(intent("one"), CHAIN, KEEPER, 7, attempt(1))
    with pytest.raises(Unsafe, match="nonce 7"):
        journal.open_intent(intent("two"), CHAIN, KEEPER, 7, attempt(1))
    assert [flight.intent.id for flight in journal.actions()] == ["one"], (
        "the refused intent left nothing behind"
    )
    journal.open_intent(intent("two"), CHAIN, STRANGER, 7, attempt(1))
    journal.open_intent(intent("three"), 1, KEEPER, 7, attempt(1))


def test_an_intent__opened_again__is_refused(journal: Journal) -> None:
    journal.open_intent(intent("one"), CHAIN, KEEPER, 7, attempt(1))
    with pytest.raises(Unsafe, match="intent one"):
        journal.open_intent(intent("one"), CHAIN, KEEPER, 8, attempt(1))
    assert journal.top_nonce(CHAIN, KEEPER) == 7


def test_a_nonce__of_an_abandoned_intent__may_be_taken_again(journal: Journal) -> None:
    assert journal.top_nonce(CHAIN, KEEPER) is None
    journal.open_intent(intent("one"), CHAIN, KEEPER, 7, attempt(1))
    journal.record("one", Step(10, State.ABANDONED, "send: refused, so its nonce is given back", None))
    assert journal.top_nonce(CHAIN, KEEPER) is None
    journal.open_intent(intent("two"), CHAIN, KEEPER, 7, attempt(1))
    assert [(flight.intent.id, flight.state) for flight in journal.actions()] == [
        ("one", State.ABANDONED),
        ("two", State.SIGNED),
    ]


def test_an_attempt__of_bytes_already_held__is_refused(journal: Journal) -> None:
    journal.open_intent(intent("one"), CHAIN, KEEPER, 7, attempt(1))
    with pytest.raises(JournalBroken, match="UNIQUE|unique"):
        journal.add_attempt("one", attempt(1))
    with pytest.raises(JournalBroken, match="FOREIGN KEY|foreign key"):
        journal.add_attempt("nobody's", attempt(3))


def test_a_turn__written_twice__is_written_once(journal: Journal) -> None:
    verdicts = [
        Verdict(
            RuleKey(THRESHOLDS, OWNER, 1),
            Kind.WITHIN,
            "judge: the loan owes nothing",
            health_measure(NO_DEBT),
        ),
        Verdict(
            RuleKey(THRESHOLDS, OWNER, 0), Kind.BLIND, "chain: the price is 3 h old", health_measure(None)
        ),
        Verdict(
            RuleKey(THRESHOLDS, STRANGER, 0),
            Kind.BREACHED,
            "judge: 1.0900 is below 1.1500",
            health_measure(WAD * 109 // 100),
        ),
    ]
    assert journal.last_turn() is None
    assert journal.write_turn(block(10), verdicts, "turn: 12 ms")
    assert not journal.write_turn(block(10), [])
    assert journal.last_turn() == block(10)
    page = journal.verdicts(OWNER)
    assert page is not None
    assert (page.block, page.note) == (block(10), "turn: 12 ms")
    assert page.verdicts == (verdicts[1], verdicts[0])
    assert page.verdicts[1].measure == health_measure(NO_DEBT)


def test_a_turn__of_a_block_that_was_undone__is_kept_beside_its_successor(journal: Journal) -> None:
    first = Verdict(RuleKey(THRESHOLDS, OWNER, 0), Kind.BREACHED, "judge: below", health_measure(WAD))
    second = Verdict(RuleKey(THRESHOLDS, OWNER, 0), Kind.WITHIN, "judge: within", health_measure(WAD * 2))
    journal.write_turn(block(10, salt=1), [first])
    journal.write_turn(block(10, salt=2), [second])
    page = journal.verdicts(OWNER, 10)
    assert page is not None
    assert page.verdicts == (second,)
    assert page.rivals == (block(10, salt=1).hash,)


def test_a_page__of_a_block_without_a_turn__is_the_turn_before(journal: Journal) -> None:
    journal.write_turn(block(10), [])
    journal.write_turn(block(20), [])
    assert journal.verdicts(OWNER, 9) is None
    for asked, found in ((10, 10), (19, 10), (20, 20), (10**9, 20), (None, 20)):
        page = journal.verdicts(OWNER, asked)
        assert page is not None
        assert page.block.number == found


def test_a_page__around_a_flight__tells_what_was_decided_under_way_and_later(journal: Journal) -> None:
    for number in (9, 10, 11, 12, 13):
        journal.write_turn(block(number), [])
    journal.open_intent(intent("one", block(10)), CHAIN, KEEPER, 7, attempt(1))
    journal.record("one", Step(12, State.FINAL, "send: done", RECEIPT))

    def told(number: int) -> tuple[int, int, bool]:
        page = journal.verdicts(OWNER, number)
        assert page is not None
        return len(page.flights), len(page.open), page.later is not None

    assert [told(number) for number in (9, 10, 11, 12, 13)] == [
        (0, 0, True),
        (1, 0, False),
        (0, 1, False),
        (0, 0, False),
        (0, 0, False),
    ]


def test_pruning__spares_turns_in_which_something_was_decided(journal: Journal) -> None:
    verdict = Verdict(RuleKey(THRESHOLDS, OWNER, 0), Kind.WITHIN, "judge: within", health_measure(WAD))
    for number in (9, 10, 11):
        journal.write_turn(block(number), [verdict])
    journal.open_intent(intent("one", block(10)), CHAIN, KEEPER, 7, attempt(1))
    assert journal.prune(before=11) == 1
    assert journal.verdicts(OWNER, 9) is None
    page = journal.verdicts(OWNER, 10)
    assert page is not None
    assert page.verdicts == (verdict,)


def test_pruning__forgets_flights_long_over_and_never_the_last_nonce_nor_what_is_open(
    journal: Journal,
) -> None:
    for number in range(6):
        at = block(100 + number)
        journal.write_turn(at, [])
        journal.open_intent(intent(f"{number}", at), CHAIN, KEEPER, number, attempt(number))
        if number != 2:
            journal.record(f"{number}", Step(200, State.FINAL, "send: done", RECEIPT))
    journal.open_intent(intent("another's", block(100)), CHAIN, STRANGER, 7, attempt(7))
    journal.record("another's", Step(200, State.ABANDONED, "send: refused", None))
    old = intent("4", block(104)).deadline
    assert journal.prune(before=1, ended_before=0) == 0
    assert len(journal.actions()) == 7
    journal.prune(before=1_000, ended_before=old)
    assert [flight.intent.id for flight in journal.actions()] == ["2", "4", "5", "another's"]
    journal.prune(before=1_000, ended_before=2**40)
    assert [flight.intent.id for flight in journal.actions()] == ["2", "5", "another's"]
    assert journal.top_nonce(CHAIN, KEEPER) == 5
    page = journal.verdicts(OWNER, 105)
    assert page is not None
    page = journal.verdicts(OWNER, 101)
    assert page is not None
    assert page.block == block(100), "and with a flight goes its turn"
    opened = journal.open_intent(intent("next", block(106)), CHAIN, KEEPER, 6, attempt(8))
    assert journal.actions()[-1] == opened


def test_what_an_action_lost__is_kept_by_the_block_it_is_in_and_forgotten_with_its_flight(
    journal: Journal,
) -> None:
    for number in range(2):
        journal.open_intent(intent(f"{number}", block(100)), CHAIN, KEEPER, number, attempt(number))
        journal.record(f"{number}", Step(200, State.FINAL, "send: done", RECEIPT))
    journal.weigh("0", "0xaa", 12)
    journal.weigh("0", "0xbb", None)
    journal.weigh("1", "0xaa", 7)
    assert journal.tolls(["0", "1", "2"]) == {"0": ("0xbb", None), "1": ("0xaa", 7)}
    journal.prune(before=1, ended_before=2**40)
    assert journal.tolls(["0", "1"]) == {"1": ("0xaa", 7)}


def test_what_was_done_lately__for_an_owner__is_how_often_until_when_and_how_many_reverted_in_a_row(
    journal: Journal,
) -> None:
    def write(name: str, number: int, purpose: Purpose = Purpose.ACT, succeeded: bool | None = None) -> None:
        planned = intent(name, block(number), STRANGER if name.startswith("other") else OWNER)
        action = WITNESS if name.startswith("witness") else "deleverage"
        planned = replace(planned, plan=replace(planned.plan, action=action))
        journal.open_intent(planned, CHAIN, KEEPER, number, replace(attempt(number), purpose=purpose))
        if succeeded is not None:
            receipt = replace(RECEIPT, hash=attempt(number).hash, succeeded=succeeded)
            journal.record(name, Step(number, State.INCLUDED, "receipt: so", receipt))

    write("before", 1, succeeded=False)
    write("reverted", 2, succeeded=False)
    assert journal.lately(1) == {OWNER: Lately(1, 2, 1)}
    write("acted", 3, succeeded=True)
    assert journal.lately(1) == {OWNER: Lately(2, 3, 0)}
    write("reverted again", 4, succeeded=False)
    write("witness", 5, succeeded=False)
    write("cancelled", 6, Purpose.CANCEL, succeeded=True)
    write("under way", 7)
    write("other", 8)
    assert journal.lately(1) == {OWNER: Lately(5, 7, 2), STRANGER: Lately(1, 8, 0)}


def test_a_breaker__that_was_reset__counts_only_what_was_opened_since(journal: Journal) -> None:
    for number in range(3):
        journal.open_intent(intent(f"{number}", block(number)), CHAIN, KEEPER, number, attempt(number))
    late = intent("1", block(1)).deadline

    def counted(name: str, since: int = 0, newest: int = 100) -> list[str]:
        found = journal.unforgiven(["gas", "reverts"], since, newest)
        return [flight.intent.id for flight in found[name]]

    assert counted("gas") == ["0", "1", "2"]
    assert counted("gas", since=late, newest=0) == ["2"]
    assert counted("gas", since=late, newest=2) == ["1", "2"]
    assert journal.latch("gas", 2, "breaker: enough")
    assert not journal.latch("gas", 3, "breaker: enough again")
    assert [latch.block for latch in journal.latches()] == [2]
    with pytest.raises(Unsafe, match="keeper resume gas"):
        journal.open_intent(intent("3"), CHAIN, KEEPER, 3, attempt(3))
    with journal._transaction() as db:
        db.execute(text("UPDATE breaker SET forgiven = 3"))
    journal.open_intent(intent("3"), CHAIN, KEEPER, 3, attempt(3))
    assert counted("gas") == ["3"]
    assert counted("reverts") == ["0", "1", "2", "3"]


def test_a_journal__of_one_chain__is_refused_on_another(journal: Journal) -> None:
    assert journal.chain() is None
    journal.bind(CHAIN, "0xaa")
    journal.bind(CHAIN, "0xaa")
    assert journal.chain() == (CHAIN, "0xaa")
    for chain_id, genesis in ((1, "0xaa"), (CHAIN, "0xbb")):
        with pytest.raises(Misconfigured, match="belongs to chain 31337 that began with 0xaa"):
            journal.bind(chain_id, genesis)


def test_a_second_keeper__on_the_same_file__is_refused_until_the_first_is_gone(path: Path) -> None:
    first = Journal(path)
    with pytest.raises(JournalBroken, match=f"already written by process {os.getpid()}"):
        Journal(f"sqlite:///{path}")
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(JournalBroken, match="already written"):
        Journal(link)
    first.close()
    Journal(path).close()


def test_a_killed_keeper__holds_no_lock_and_lost_nothing_it_was_told_is_written(path: Path) -> None:
    source = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_journal as t
        journal = t.Journal({str(path)!r})
        journal.write_turn(t.block(10), [])
        journal.open_intent(t.intent(), t.CHAIN, t.KEEPER, 7, t.attempt(1))
        os.kill(os.getpid(), 9)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with Journal(path) as journal:
        assert journal.last_turn() == block(10)
        assert journal.flights()[0].attempts == (attempt(1),)


def test_a_reader__beside_the_writer__sees_every_commit_and_writes_nothing(path: Path) -> None:
    with Journal(path) as journal, Reader(path) as reader, Reader(f"sqlite:///{path}") as another:
        assert reader.last_turn() is None
        journal.write_turn(block(10), [])
        assert reader.last_turn() == another.last_turn() == block(10)
        journal.open_intent(intent(), CHAIN, KEEPER, 7, attempt(1))
        assert reader.actions() == journal.actions()
        assert not hasattr(reader, "write_turn")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.connection.driver_connection.execute("DELETE FROM turn")  # type: ignore[union-attr]
    with Reader(path) as alone:
        assert alone.last_turn() == block(10)


def test_a_reader__without_a_journal__says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalBroken, match=r"there is none at .*absent\.db"):
        Reader(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()
    (tmp_path / "empty.db").touch()
    with pytest.raises(JournalBroken, match="no keeper has opened it yet"):
        Reader(tmp_path / "empty.db")


def test_a_file_of_something_else__is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipe (dish TEXT)")
    other.close()
    for opening in (Journal, Reader):
        with pytest.raises(JournalBroken, match="not a keeper's journal"):
            opening(path)
    path.write_text("dear diary, " * 500)
    for opening in (Journal, Reader):
        with pytest.raises(JournalBroken, match="damaged or not a journal"):
            opening(path)
    assert path.read_text().startswith("dear diary")


@pytest.mark.parametrize(("version", "age"), [(VERSION + 1, "a newer"), (OLDEST - 1, "too old a")])
def test_a_journal_of_another_version__is_refused(path: Path, version: int, age: str) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE about SET value = ? WHERE name = 'version'", (str(version),))
    file.close()
    for opening in (Journal, Reader):
        with pytest.raises(JournalBroken, match=f"written by {age} keeper .*version {version}"):
            opening(path)


def test_a_damaged_journal__when_opened__is_refused_in_one_sentence(path: Path) -> None:
    with Journal(path) as journal:
        for number in range(40):
            name = f"intent {number}"
            signed = replace(attempt(1), hash=f"0x{number:064x}")
            journal.open_intent(intent(name), CHAIN, KEEPER, number, signed)
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(JournalBroken, match="damaged or not a journal") as caught:
        Journal(path)
    assert "\n" not in str(caught.value).strip()
    path.write_bytes(content[:5000])
    with pytest.raises(JournalBroken):
        Journal(path)


@pytest.mark.parametrize(
    "url", ["postgresql://localhost", "mysql://localhost/keeper", "sqlite://", "sqlite:///:memory:", "://"]
)
def test_a_journal__neither_in_a_file_nor_in_a_database__is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="journal: "):
        Journal(url)


def test_a_journal__in_a_folder_that_is_not_there__is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalBroken, match="cannot be written"):
        Journal(tmp_path / "absent" / "keeper.db")


def test_a_journal__that_may_not_be_written__is_refused(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="keeper-journal-"))
    path = folder / "keeper.db"
    Journal(path).close()
    source = f"""
        import os, sys
        from keeper.domain.errors import JournalBroken
        from keeper.journal.journal import Journal
        Journal({str(tmp_path / "loads-what-is-loaded-late.db")!r}).close()
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            Journal({str(path)!r})
        except JournalBroken as error:
            sys.exit(str(error))
    """
    path.with_name(path.name + ".lock").chmod(0o666)
    path.chmod(0o444)
    folder.chmod(0o777)
    command = [sys.executable, "-c", textwrap.dedent(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    shutil.rmtree(folder)
    assert "cannot be written" in ended.stderr, ended.stderr


def test_a_journals_file__opened_a_second_time_by_one_process__leaves_the_first_its_locks(path: Path) -> None:
    """Else another process would think itself alone, and take the log away from under the first."""
    alone = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('pragma journal_mode = delete')"
    with Journal(path) as journal:
        journal.latch("gas", 7, "breaker: enough")
        assert [latch.name for latch in reset(path, ["gas"])] == ["gas"]
        asked = subprocess.run(
            [sys.executable, "-c", alone, str(path)], capture_output=True, text=True, check=False
        )
        assert "database is locked" in asked.stderr
        assert journal.latches() == ()


def test_a_full_disk__at_a_write__is_refused_and_what_was_written_stays(path: Path) -> None:
    with Journal(path) as journal:
        journal.write_turn(block(10), [])
    source = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_journal as t
        journal = t.Journal({str(path)!r})
        t.fill_up({path.stat().st_size + 200_000})
        opened = 0
        try:
            for n in range(1000):
                journal.open_intent(t.intent(f"intent {{n}}"), t.CHAIN, t.KEEPER, n, t.attempt(1))
                opened += 1
        except t.JournalBroken as error:
            assert len(journal.flights()) == opened, "nothing half-written"
            sys.exit(f"{{opened}} {{error}}")
    """
    command = [sys.executable, "-c", textwrap.dedent(source)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "nothing more could be written" in ended.stderr, ended.stderr
    with Journal(path) as journal:
        assert len(journal.flights()) == int(ended.stderr.split()[0]) > 0


def fill_up(size: int) -> None:
    """Let no file of this process grow past `size` bytes, which is how a full disk looks to a program."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
