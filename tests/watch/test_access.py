"""Who may look: one token, counted attempts, sessions that end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keeper.domain.errors import Misconfigured
from keeper.watch.access import SESSION_SECONDS, TOKEN, Access, Answer, token_beside

RIGHT = "right" * 6
OWNER, STRANGER = "127.0.0.1", "10.0.0.9"


class Clock:
    """A time that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token__right_or_wrong__is_granted_or_not() -> None:
    access = Access(RIGHT)
    assert access.show(RIGHT, OWNER) is Answer.GRANTED
    for wrong in ("", RIGHT[:-1], RIGHT + "t", "wrong" * 6, "\udce4"):
        assert Access(RIGHT).show(wrong, OWNER) is Answer.WRONG


def test_a_token__guessed_five_times__is_not_looked_at_for_a_minute() -> None:
    clock = Clock()
    access = Access(RIGHT, clock)
    assert [access.show("wrong", STRANGER) for _ in range(5)] == [Answer.WRONG] * 5
    assert access.show(RIGHT, STRANGER) is Answer.TOO_OFTEN
    assert access.show(RIGHT, OWNER) is Answer.GRANTED
    clock.now += 61
    assert access.show(RIGHT, STRANGER) is Answer.GRANTED


def test_a_token__guessed_from_many_addresses__is_looked_at_sixty_times_a_minute_in_all() -> None:
    access = Access(RIGHT, Clock())
    answers = [access.show("wrong", f"10.0.{n}.1") for n in range(61)]
    assert answers == [Answer.WRONG] * 60 + [Answer.TOO_OFTEN]


def test_a_session__until_it_is_ended_or_old__is_known() -> None:
    clock = Clock()
    access = Access(RIGHT, clock)
    first, second = access.open_session(), access.open_session()
    assert first != second
    assert access.has_session(first)
    assert not access.has_session(first + "x")
    assert not access.has_session("")
    access.end_session(first)
    assert (access.has_session(first), access.has_session(second)) == (False, True)
    clock.now += SESSION_SECONDS
    assert not access.has_session(second)


def test_sessions__more_than_sixty_four__end_the_oldest() -> None:
    access = Access(RIGHT)
    names = [access.open_session() for _ in range(65)]
    assert [access.has_session(name) for name in names] == [False] + [True] * 64


def test_the_tokens_file__made_once__is_its_owners_alone_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN)
    token, path = token_beside(tmp_path / "keeper.db")
    assert path == tmp_path / "keeper.db.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 40
    assert token_beside(tmp_path / "keeper.db") == (token, path)


def test_the_tokens_file__that_others_can_read__is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN)
    _, path = token_beside(tmp_path / "keeper.db")
    assert path is not None
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="can be read by others"):
        token_beside(tmp_path / "keeper.db")


def test_a_token__short_or_nowhere_to_be_kept__is_refused_in_one_sentence_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "hunter2")
    with pytest.raises(Misconfigured, match="has 7 characters, and at least 24") as refused:
        token_beside(tmp_path / "keeper.db")
    assert "hunter2" not in str(refused.value)
    monkeypatch.delenv(TOKEN)
    with pytest.raises(Misconfigured, match="cannot be used"):
        token_beside(tmp_path / "nowhere" / "keeper.db")
    (tmp_path / "empty.db.token").touch(0o600)
    with pytest.raises(Misconfigured, match="holds 0 characters"):
        token_beside(tmp_path / "empty.db")
