"""The loop about the turns: what nobody foresaw costs one of them, and is told."""

from __future__ import annotations

import logging
import threading

import pytest

from keeper.app import run
from keeper.devnet.world import World
from keeper.domain.blocks import Block
from keeper.domain.errors import KeeperError
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Seen
from keeper.settings import Settings
from keeper.turn import Turn
from tests.conftest import SetRule, Watching

SECRET = "https://rpc.example/v3/secret-key"


class Enough(BaseException):
    """The test has seen what it wants."""


@pytest.fixture
def settings(world: World, watching: Watching) -> Settings:
    return watching(world.thresholds, (world.roles.owner,))


def run_until_a_turn(settings: Settings, trouble: list[KeeperError]) -> list[Turn]:
    """The turns until one is whole; in a thread of its own, where `run` leaves the signals alone."""
    turns: list[Turn] = []

    def on_turn(turn: Turn) -> None:
        turns.append(turn)
        raise Enough

    def attend() -> None:
        with pytest.raises(Enough):
            run(settings, False, on_turn, trouble.append)

    attending = threading.Thread(target=attend)
    attending.start()
    attending.join(timeout=60)
    assert not attending.is_alive()
    return turns


def test_a_fault_of_ours__within_a_turn__is_told_logged_without_values_and_survived(
    world: World,
    set_rule: SetRule,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    observe = LoanPositions.observe
    faults: list[Exception] = [ValueError(f"could not read {SECRET}"), RecursionError(SECRET)]

    def faulty(self: LoanPositions, block: Block) -> Seen:
        if faults:
            raise faults.pop(0)
        return observe(self, block)

    monkeypatch.setattr(LoanPositions, "observe", faulty)
    trouble: list[KeeperError] = []
    with caplog.at_level(logging.ERROR, logger="keeper.app"):
        (turn,) = run_until_a_turn(settings, trouble)
    assert len(turn.intents) == 1, "the same head was attended again, and what was due was done"
    told = [str(each) for each in trouble]
    assert [said.split(" that ")[0] for said in told] == [
        "keeper: this turn ended in a ValueError",
        "keeper: this turn ended in a RecursionError",
    ]
    assert "turn.py" in caplog.text
    assert "in faulty" in caplog.text
    assert SECRET not in caplog.text + "".join(told)
