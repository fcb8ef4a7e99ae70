"""The commands as a person or a script meets them: exit codes, one sentence for what is wrong, no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.core import TyperGroup as Group
from typer.main import get_command
from typer.testing import CliRunner

from keeper.cli import cli, told
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.domain.errors import JournalBroken, KeeperError, Misconfigured
from keeper.journal.journal import Journal, Reader
from tests.conftest import KEEPER_KEY, SetRule
from tests.faults.proxy import Hang, proxied

NOWHERE = "http://127.0.0.1:9"


def config(world: World, folder: Path, **changes: Any) -> Path:
    """A keeper.toml for the world; `changes` replace its values."""
    said = {
        "id": world.chain_id,
        "url": world.node.url,
        "heads": world.node.url.replace("http", "ws"),
        "thresholds": world.thresholds,
        "owners": [world.roles.owner, world.roles.twin],
        "extra": "",
    } | changes
    path = folder / "keeper.toml"
    path.write_text(
        f"""
[chain]
id = {said["id"]}
url = "{said["url"]}"
heads = "{said["heads"]}"
poll_seconds = 0.2
[[watch]]
thresholds = "{said["thresholds"]}"
owners = {json.dumps(said["owners"])}
{said["extra"]}
"""
    )
    return path


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "KEEPER_KEY": KEEPER_KEY, "COLUMNS": "200", **changes}


def keeper(*arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "keeper.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment(**changes)
    )


def one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr.strip()


def wrote_nothing(folder: Path) -> bool:
    """Whether a start that was refused left no journal, half-written or whole, nor a lock on one."""
    return list(folder.glob("keeper.db*")) == []


class Running:
    """A `keeper run --json` in its own process."""

    def __init__(self, config: Path, **changes: str) -> None:
        self.errors = config.with_name("stderr")
        self.turns = config.with_name("stdout")
        command = [sys.executable, "-m", "keeper.cli", "run", "--json", "--config", str(config)]
        with self.errors.open("a") as err, self.turns.open("a") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=environment(**changes))

    def wait_until(self, done: Any, seconds: float = 60.0) -> None:
        """Poll until `done()` is true, or fail with what the keeper said."""
        give_up_at = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < give_up_at, self.errors.read_text() + self.turns.read_text()[-2000:]
            time.sleep(0.02)

    def end(self, sign: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return self.process.wait(timeout=20)


@pytest.fixture
def running(world: World, tmp_path: Path) -> Iterator[Any]:
    processes: list[Running] = []

    def start(path: Path | None = None, **changes: str) -> Running:
        processes.append(Running(path or config(world, tmp_path), **changes))
        return processes[-1]

    yield start
    for each in processes:
        each.end(signal.SIGKILL)


def actions(world: World) -> int:
    """How often a rule was acted on, as the chain's events tell."""
    logs = world.node.ask(
        "eth_getLogs", {"address": world.thresholds, "fromBlock": "0x0", "toBlock": "latest"}
    )
    return sum(len(log["topics"]) == 4 for log in logs)


def pending(world: World) -> int:
    return int(world.node.ask("txpool_status")["pending"], 16)


def seen(world: World, folder: Path) -> bool:
    """Whether a turn was written for the newest block."""
    path = folder / "keeper.db"
    try:
        with Reader(path) as journal:
            last = journal.last_turn()
    except JournalBroken:
        return False  # not there yet
    return last is not None and last.number == world.node.head().number


def test_run__a_breach__is_acted_on_once_and_explained(
    world: World, set_rule: SetRule, running: Any, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner)
    decided = world.node.head().number
    kept = running()
    kept.wait_until(lambda: actions(world) == 1)
    kept.wait_until(lambda: seen(world, tmp_path))
    assert kept.end() == 0
    assert kept.errors.read_text() == ""

    told = keeper("explain", owner, "--block", str(decided), "--config", tmp_path / "keeper.toml", "--json")
    page = json.loads(told.stdout)
    assert page["verdicts"][0]["why"] == "health: below the floor"
    assert page["decided"][0]["receipt"]["succeeded"] is True
    then = keeper("explain", owner, "--block", str(decided), "--config", tmp_path / "keeper.toml").stdout
    assert "under way" not in then

    newest = keeper("explain", owner, "--config", tmp_path / "keeper.toml").stdout
    now, _, before = newest.partition("the last block before it")
    assert "loan rule 0 within" in now
    assert f"block {decided} 0x" in before
    assert "loan rule 0 breached" in before
    assert before.count("decided here: repay") == 1
    assert "repay" not in now


@pytest.mark.parametrize(
    "step", ["after_sign", "after_intent", "after_send", "after_broadcast", "after_included"]
)
def test_run__killed_at_any_step_and_restarted__acts_exactly_once(
    world: World, set_rule: SetRule, running: Any, tmp_path: Path, step: str
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    first = running(KEEPER_CRASH_AT=step)
    if step == "after_included":
        first.wait_until(lambda: pending(world) == 1)
        world.mine()
    assert first.process.wait(timeout=20) == 137

    second = running()
    second.wait_until(lambda: pending(world) == 1 or actions(world) == 1)
    world.mine()
    second.wait_until(lambda: actions(world) == 1 and seen(world, tmp_path))
    for _ in range(3):
        world.mine(blocks=40)
        second.wait_until(lambda: seen(world, tmp_path))
    assert second.end() == 0
    assert actions(world) == 1
    assert int(world.node.ask("eth_getTransactionCount", world.roles.keeper, "latest"), 16) == 1
    with Reader(tmp_path / "keeper.db") as journal:
        assert all(flight.state.ended for flight in journal.actions())


def test_run__a_node_that_goes_down__is_told_and_attended_again_when_it_is_back(
    world: World, running: Any, tmp_path: Path
) -> None:
    with Anvil(fork_url=world.node.url) as node:
        here = world.through(node.url)
        path = config(here, tmp_path)
        kept = running(path)
        kept.wait_until(lambda: seen(here, tmp_path))
    kept.wait_until(lambda: "gave no answer" in kept.errors.read_text())
    with Anvil(fork_url=world.node.url, port=int(node.url.rpartition(":")[2])):
        here.mine(blocks=3)
        kept.wait_until(lambda: seen(here, tmp_path))
        assert kept.end() == 0
    assert "Traceback" not in kept.errors.read_text()


@pytest.mark.parametrize("silent", ["*", "eth_call"], ids=["at_the_head", "in_the_midst_of_a_turn"])
def test_run__a_node_that_hangs__ends_the_tick_at_its_deadline_and_the_next_is_taken(
    world: World, set_rule: SetRule, running: Any, tmp_path: Path, silent: str
) -> None:
    world.open_loan(world.roles.owner, 100, health=2)
    set_rule(world.roles.owner)
    with proxied(world.node.url) as (proxy, url):
        path = config(world, tmp_path, url=url, heads="")
        # Without the tick's own deadline each question would wait for as long as this whole test may take.
        path.write_text(
            path.read_text().replace("[chain]", "[chain]\ntimeout_seconds = 120\nturn_seconds = 1.5")
        )
        kept = running(path)
        kept.wait_until(lambda: seen(world, tmp_path))
        proxy.on(silent, Hang(120))
        world.mine()
        asked = len(proxy.asked)
        kept.wait_until(lambda: len(proxy.asked) > asked)
        began = time.monotonic()
        kept.wait_until(lambda: "gave no answer" in kept.errors.read_text() + kept.turns.read_text(), 30)
        assert time.monotonic() - began >= 1.0, "it was given its time"
        proxy.heal()
        world.mine()
        kept.wait_until(
            lambda: seen(world, tmp_path) and '"trouble": []' in kept.turns.read_text()[-2000:], 30
        )
        assert kept.end() == 0
    assert "Traceback" not in kept.errors.read_text()


def test_run__no_node__is_one_sentence_and_exit_1(world: World, tmp_path: Path) -> None:
    said = one_sentence(keeper("run", "--config", config(world, tmp_path, url=NOWHERE)), 1)
    path = tmp_path / "keeper.toml"
    assert said == (
        "node: http://127.0.0.1:9 gave no answer to eth_chainId (ConnectionRefusedError); "
        f"next: keeper doctor --config {path}"
    )
    assert wrote_nothing(tmp_path)


def test_run__the_wrong_chain__is_one_sentence_and_exit_2(world: World, tmp_path: Path) -> None:
    said = one_sentence(keeper("run", "--config", config(world, tmp_path, id=1)), 2)
    assert "is on chain 31337, and the settings say 1; next: keeper doctor" in said
    assert wrote_nothing(tmp_path)


def test_run__no_contract_at_the_address__is_one_sentence_and_exit_2(world: World, tmp_path: Path) -> None:
    path = config(world, tmp_path, thresholds=world.roles.stranger)
    assert "there is no code at" in one_sentence(keeper("run", "--config", path), 2)
    assert wrote_nothing(tmp_path)


def test_run__another_contract_at_the_address__is_one_sentence_and_exit_2(
    world: World, tmp_path: Path
) -> None:
    path = config(world, tmp_path, thresholds=world.weth.token)
    assert "is not a LoanThresholds contract" in one_sentence(keeper("run", "--config", path), 2)
    assert wrote_nothing(tmp_path)


def test_run__no_key__is_one_sentence_and_exit_2(world: World, tmp_path: Path) -> None:
    said = one_sentence(keeper("run", "--config", config(world, tmp_path), KEEPER_KEY=""), 2)
    assert "KEEPER_KEY is not set" in said
    assert wrote_nothing(tmp_path)


def test_run__a_wrong_password__is_one_sentence_that_does_not_hold_it(world: World, tmp_path: Path) -> None:
    keystore = Account.encrypt(KEEPER_KEY, "right", kdf="pbkdf2", iterations=1000)
    (tmp_path / "key.json").write_text(json.dumps(keystore))
    path = config(world, tmp_path, extra='[key]\nkeystore = "key.json"')
    said = one_sentence(keeper("run", "--config", path, KEEPER_PASSWORD="hunter2"), 2)
    assert "hunter2" not in said
    assert "password" in said
    assert wrote_nothing(tmp_path)


def test_run__a_malformed_configuration__is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "keeper.toml").write_text("[chain]\nid = 'one'\n")
    said = one_sentence(keeper("run", "--config", tmp_path / "keeper.toml"), 2)
    assert "chain.id: " in said
    assert wrote_nothing(tmp_path)


def test_look__a_breach__exits_3_and_a_loan_within_its_band_exits_0(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner)
    path = config(world, tmp_path)
    breached = keeper("look", "--config", path, "--json")
    (position,) = json.loads(breached.stdout)["positions"]
    assert (breached.returncode, position["verdict"], position["floor"]) == (3, "breached", "1.4000")
    world.set_price("WETH", 4000)
    within = keeper("look", "--config", path)
    assert (within.returncode, "within" in within.stdout) == (0, True)


def test_look__a_rule_that_could_not_act__says_so_while_there_is_time(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    world.open_loan(world.roles.owner, 100, health=2)
    set_rule(world.roles.owner, allowance=0)
    shown = keeper("look", "--config", config(world, tmp_path))
    assert "allowance: the owner has granted none of the aToken" in shown.stdout


def test_explain__an_owner_never_judged__exits_4(
    world: World, set_rule: SetRule, running: Any, tmp_path: Path
) -> None:
    kept = running()
    kept.wait_until(lambda: seen(world, tmp_path))
    kept.end()
    said = one_sentence(keeper("explain", world.roles.stranger, "--config", tmp_path / "keeper.toml"), 4)
    assert said.startswith("journal: no verdict on 0x")


def test_explain__no_journal__is_one_sentence(world: World, tmp_path: Path) -> None:
    one_sentence(keeper("explain", world.roles.owner, "--config", config(world, tmp_path)), 1)


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["run"], Misconfigured("key: none"), "key: none; next: keeper run --help"),
        (["run", "-c", "a b"], Misconfigured("chain: no"), "chain: no; next: keeper doctor --config 'a b'"),
        (["doctor"], Misconfigured("chain: no"), "chain: no; next: keeper doctor --help"),
        (["rule", "set", "0x"], Misconfigured("rule: no"), "rule: no; next: keeper rule set --help"),
        (
            ["look"],
            Misconfigured("settings: none; `keeper init` writes one"),
            "settings: none; `keeper init` writes one",
        ),
    ],
)
def test_an_error__that_names_no_command__is_told_with_the_next_one(
    words: list[str], error: KeeperError, said: str
) -> None:
    assert told(error, words) == said


def commands(command: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Every command under this one, by the words that call it."""
    if not isinstance(command, Group):
        yield " ".join(above), command
        return
    for name, each in command.commands.items():
        yield from commands(each, *above, name)


PRINTS_NO_TABLES = {
    "web": "it serves, and prints nothing but where",
    "rule set": "it prints a wallet's calls, which are JSON already",
    "rule clear": "likewise",
}


def test_every_command__that_prints__takes_json() -> None:
    found = dict(commands(get_command(cli)))
    assert len(found) > 20
    silent = {name for name, each in found.items() if not any("--json" in said.opts for said in each.params)}
    assert silent == set(PRINTS_NO_TABLES)


def test_pause_and_resume__with_json__print_one_value_each(world: World, tmp_path: Path) -> None:
    path = config(world, tmp_path)
    with Journal(tmp_path / "keeper.db") as journal:
        journal.bind(world.chain_id, world.node.block(0).hash)

    def answered(*arguments: str) -> Any:
        done = CliRunner().invoke(cli, [*arguments, "--json", "--config", str(path)])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    paused = answered("pause", "moving")
    assert (paused["name"], paused["new"]) == ("pause", True)
    assert paused["why"] == "pause: a person asked for it (moving)"
    assert answered("pause", "again")["new"] is False
    assert answered("resume", "pause") == {
        "reset": [{name: paused[name] for name in ("name", "block", "why")}]
    }
    nothing = CliRunner().invoke(cli, ["resume", "--json", "--config", str(path)])
    assert (nothing.exit_code, nothing.stdout) == (4, "")
    assert nothing.stderr == "journal: nothing of the kind is latched; keeper doctor tells what is\n"


def test_version__asked_for__is_the_packages(tmp_path: Path) -> None:
    done = keeper("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"keeper {version('threshold-keeper')}")


@pytest.mark.parametrize("module", ["typer", "keeper.demo.stage"])
def test_an_interrupt__while_a_command_is_still_imported__ends_it_without_a_word(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background does not inherit\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv[1:] = ['demo']\n"
        "from keeper.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_explain__of_a_block_before_the_first__is_refused() -> None:
    done = keeper("explain", "0x" + "11" * 20, "--block", "-1")
    assert done.returncode == 2
    assert "Invalid value for '--block'" in done.stderr
