"""`keeper web` and `keeper run --web` as an operator meets them: processes that say where they stand, and end well."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeper.settings import Settings
from tests.watch.conftest import SECRET, Asker, Kept

Start = Callable[..., tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts a command of keeper; what it says on standard error is in the file."""
    processes = []

    def begin(*arguments: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        said = tmp_path / "stderr"
        command = [sys.executable, "-m", "keeper.cli", *arguments, "--config", str(tmp_path / "keeper.toml")]
        with said.open("wb") as err, (tmp_path / "stdout").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment})
        processes.append(process)
        return process, said

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def where(said: Path) -> str:
    """The address the dashboard says it is at."""
    give_up_at = time.monotonic() + 30
    while not (found := re.search(r"the dashboard is at (http://\S+?),?\s", said.read_text())):
        assert time.monotonic() < give_up_at, said.read_text()
        time.sleep(0.05)
    return found[1]


def test_run__with_the_dashboard__keeps_and_shows_its_own_balance_before_it_ever_sent(
    start: Start, tmp_path: Path, world: object
) -> None:
    process, said = start("run", "--web-at", "127.0.0.1:0", "--may-pause")
    state = Asker(where(said)).until(lambda state: state["block"] and state["balances"])
    assert state["balances"][0]["ether"].startswith("10000.") or state["balances"][0]["ether"].startswith(
        "9999."
    )
    assert state["flights"] == []
    assert state["may_pause"] is True
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert SECRET not in said.read_text() + (tmp_path / "stdout").read_text()


def test_web__beside_a_keeper__shows_its_journal_until_it_is_told_to_stop(start: Start, kept: Kept) -> None:
    process, said = start("web", "127.0.0.1:0")
    asker = Asker(where(said))
    kept.turn()
    assert len(asker.until(lambda state: state["positions"])["positions"]) == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert "Traceback" not in said.read_text()


def test_web__without_a_token_given__names_the_file_that_holds_one(start: Start, settings: Settings) -> None:
    _, said = start("web", "127.0.0.1:0", KEEPER_WEB_TOKEN="")
    url = where(said)
    path = settings.journal.path.with_name("keeper.db.token")
    assert f"and its token in {path}" in said.read_text()
    token = path.read_text()
    assert token not in said.read_text()
    assert Asker(url, token).ask("/api/state").status == 200
    assert Asker(url).ask("/api/state").status == 401


def test_web__for_other_machines__warns_that_it_is_plain_http(start: Start) -> None:
    _, said = start("web", "0.0.0.0:0")
    where(said)
    assert "put a proxy with TLS before it" in said.read_text()


def test_web__without_its_extra__is_one_sentence_that_names_it(settings: Settings, tmp_path: Path) -> None:
    code = "import sys; sys.modules['starlette'] = None; from keeper.cli import main; main()"
    command = [sys.executable, "-c", code, "web", "--config", str(tmp_path / "keeper.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "web: starlette is not installed; install the extra `web`\n"
