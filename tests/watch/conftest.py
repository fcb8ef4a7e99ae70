"""A keeper on the devnet, its journal, and the dashboard that shows it on a free port."""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from keeper.app import open_keeper
from keeper.devnet.world import World
from keeper.settings import Settings
from keeper.turn import Keeper, Turn
from keeper.watch.access import TOKEN
from keeper.watch.serve import serving
from tests.conftest import KEEPER_KEY, SetRule, Watching

SECRET = "the dashboard's token, in these tests"
PATIENCE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)


@pytest.fixture
def settings(world: World, watching: Watching) -> Settings:
    """Of a keeper that holds the rules of the owner and the twin."""
    return watching(world.thresholds, (world.roles.owner, world.roles.twin))


@dataclass(frozen=True, slots=True)
class Kept:
    """A keeper that takes its turns when it is told to."""

    keeper: Keeper
    world: World
    journal: Path

    def turn(self) -> Turn:
        """One turn at the head."""
        return self.keeper.turn(self.keeper.node.head())

    def live(self, blocks: int) -> None:
        """As many blocks, a turn at each."""
        for _ in range(blocks):
            self.world.mine()
            self.turn()

    def tamper(self, statement: str, *values: str) -> None:
        """What somebody who can make tokens or reasons speak would like the journal to hold."""
        with closing(sqlite3.connect(self.journal)) as db:
            changed = db.execute(statement, values).rowcount
            db.commit()
        assert changed > 0


@pytest.fixture
def kept(world: World, settings: Settings, set_rule: SetRule) -> Iterator[Kept]:
    """A keeper of two loans, the owner's well within its band and the twin's too."""
    for who, health in ((world.roles.owner, 2.0), (world.roles.twin, 1.8)):
        world.open_loan(who, 100, health=health)
        set_rule(who)
    with open_keeper(settings, dry_run=False) as keeper:
        yield Kept(keeper, world, settings.journal.path)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the dashboard."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks the dashboard, with a token or without."""

    url: str
    token: str | None = SECRET

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, **query: Any
    ) -> Told:
        """One question."""
        given = {"Authorization": f"Bearer {self.token}"} if self.token is not None else {}
        asked = f"{path}?{urlencode(query)}" if query else path
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)) as connection:
            connection.request(method, asked, headers={**given, **(headers or {})})
            answer = connection.getresponse()
            return Told(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def until(self, done: Callable[[Any], Any]) -> Any:
        """The state, once it is as wanted."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not done(state := self.ask("/api/state").json):
            assert time.monotonic() < give_up_at, state
            time.sleep(0.05)
        return state


@contextmanager
def shown(settings: Settings, may_pause: bool = False) -> Iterator[Asker]:
    """The dashboard of some settings."""
    with serving(settings, "127.0.0.1:0", may_pause) as standing:
        yield Asker(standing.url)


@pytest.fixture
def dashboard(settings: Settings) -> Iterator[Asker]:
    """Of the keeper's journal, asked with the token."""
    with shown(settings) as asker:
        yield asker
