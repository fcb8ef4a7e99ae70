"""Two whole keepers that share one journal on a real PostgreSQL: each acts on its own rules, and alone on all."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eth_account import Account

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import State
from keeper.domain.units import Address
from keeper.journal.journal import Reader
from keeper.settings import Settings, read_settings
from keeper.shards import require_keys_apart
from tests.conftest import KEEPER_KEY, SetRule
from tests.postgres import NewDatabase
from tests.test_cli import Running, actions, config, pending

KEYS = {"east": KEEPER_KEY, "west": "0x" + "b1" * 32}
PASSWORD = "a password of no worth"
ADDRESSES = {name: Account.from_key(key).address for name, key in KEYS.items()}
SOON = 5.0


@pytest.fixture
def shards(world: World, tmp_path: Path) -> str:
    """Two shards as keeper.toml has them, each with a key that has gas money and one owner who is pinned to it."""
    written = ""
    owners = {"east": world.roles.owner, "west": world.roles.twin}
    for name, key in KEYS.items():
        world.node.ask("anvil_setBalance", ADDRESSES[name], hex(10**20))
        kept = tmp_path / f"{name}.json"
        kept.write_text(json.dumps(Account.encrypt(key, PASSWORD, kdf="pbkdf2", iterations=2)))
        kept.chmod(0o600)
        written += (
            f'[[shards]]\nname = "{name}"\nkey = {{ keystore = "{kept}" }}\nowners = ["{owners[name]}"]\n'
        )
    return written


@pytest.fixture
def start(
    world: World, tmp_path: Path, shards: str, new_database: NewDatabase
) -> Iterator[Callable[[str], Running]]:
    """Starts a keeper of the shared journal, whose address is the fixture's `url`."""
    url, started = new_database(), []

    def one_more(name: str) -> Running:
        folder = tmp_path / name
        folder.mkdir()
        path = config(world, folder, extra=f'[journal]\nurl = "{url}"\n{shards}')
        started.append(Running(path, KEEPER_PASSWORD=PASSWORD))
        return started[-1]

    yield one_more
    for process in started:
        process.process.send_signal(signal.SIGCONT)
        process.end(signal.SIGKILL)


def journal_of(kept: Running) -> str:
    return read_settings(kept.errors.with_name("keeper.toml")).journal.place


def turned(kept: Running) -> list[str]:
    """The shards of every turn it has taken."""
    return [json.loads(line)["shard"] for line in kept.turns.read_text().splitlines()]


def goes_on(world: World, kept: Running) -> set[str]:
    """For which shards it takes turns now."""
    before = len(turned(kept))
    world.mine()
    time.sleep(1.0)
    return set(turned(kept)[before:])


def shared_evenly(world: World, start: Callable[[str], Running]) -> dict[str, Running]:
    """Two keepers, by the shard that each has: the first had both until the second came."""
    first = start("first")
    first.wait_until(lambda: set(turned(first)) == set(KEYS))
    second = start("second")
    second.wait_until(lambda: world.mine() or turned(second))
    first.wait_until(lambda: len(goes_on(world, first)) == 1)
    (its,) = goes_on(world, second)
    (others,) = goes_on(world, first)
    assert {its, others} == set(KEYS)
    return {its: second, others: first}


def flown(url: str) -> list[tuple[Address, Address, State]]:
    """Owner, sender and state of every flight."""
    with Reader(url) as reader:
        return [(each.intent.plan.key.owner, each.sender, each.state) for each in reader.actions()]


def test_two_keepers__that_share_a_journal__act_each_on_its_own_rules_with_its_shards_key(
    world: World, set_rule: SetRule, start: Callable[[str], Running]
) -> None:
    holders = shared_evenly(world, start)
    owners = {"east": world.roles.owner, "west": world.roles.twin}
    for name, owner in owners.items():
        world.open_loan(owner, 100, health=1.3)
        set_rule(owner, keeper=ADDRESSES[name])
    for name, kept in holders.items():
        kept.wait_until(lambda: actions(world) == 2)
        kept.wait_until(lambda kept=kept: '"included"' in kept.turns.read_text())
        judged = {
            verdict["owner"]
            for line in kept.turns.read_text().splitlines()
            if (turn := json.loads(line))["shard"] == name
            for verdict in turn["verdicts"]
        }
        assert judged == {owners[name]}
    url = journal_of(holders["east"])
    assert sorted(flown(url)) == sorted((owners[name], ADDRESSES[name], State.INCLUDED) for name in KEYS)
    with Reader(url) as reader:
        for owner in owners.values():
            page = reader.verdicts(owner)
            assert page is not None
            assert [verdict.key.owner for verdict in page.verdicts] == [owner], "one turn, written by both"
    for kept in holders.values():
        assert kept.end() == 0, kept.errors.read_text()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_keeper__whose_sharer_is_gone__takes_its_rules_over_in_time_and_nothing_is_done_twice(
    world: World, set_rule: SetRule, start: Callable[[str], Running], sign: signal.Signals
) -> None:
    holders = shared_evenly(world, start)
    url, heir, gone = journal_of(holders["east"]), holders["east"], holders["west"]
    twin = world.roles.twin
    world.automine(False)
    had = len(turned(heir))
    gone_at = time.monotonic()
    gone.process.send_signal(sign)
    heir.wait_until(lambda: "west" in turned(heir)[had:])
    taken = time.monotonic() - gone_at
    print(f"takeover of a shard after {sign.name}: {taken:.2f} s")
    assert taken < SOON
    world.open_loan(twin, 100, health=1.3)
    set_rule(twin, keeper=ADDRESSES["west"])
    world.mine()
    if sign == signal.SIGSTOP:
        gone.process.send_signal(signal.SIGCONT)  # and it sees the breach as soon as the heir does
    heir.wait_until(lambda: pending(world) == 1)
    world.mine()
    heir.wait_until(lambda: '"included"' in heir.turns.read_text() + gone.turns.read_text())
    if sign == signal.SIGSTOP:
        gone.wait_until(lambda: "took over share west of " in gone.errors.read_text())
        assert "with epoch" in gone.errors.read_text()
        assert gone.process.poll() is None, "it shares again"
    assert (actions(world), pending(world)) == (1, 0)
    assert flown(url) == [(twin, ADDRESSES["west"], State.INCLUDED)]


def settings_of(
    folder: Path, shards: str, journal: str = 'url = "postgresql://keeper@db.example/keeper"'
) -> Settings:
    path = folder / "keeper.toml"
    owners = ", ".join(f'"0x{n:040x}"' for n in range(1, 201))
    path.write_text(
        f'[chain]\nid = 1\nurl = "http://127.0.0.1:1"\n[journal]\n{journal}\n'
        f'[[watch]]\nthresholds = "0x{7:040x}"\nowners = [{owners}]\n{shards}'
    )
    return read_settings(path)


def shards_named(*names: str, more: str = "") -> str:
    return "".join(
        f'[[shards]]\nname = "{name}"\nkey = {{ keystore = "{name}.json" }}\n{more}' for name in names
    )


def test_owners__among_shards__are_each_in_one_and_one_more_shard_moves_few(tmp_path: Path) -> None:
    three = settings_of(tmp_path, shards_named("a", "b", "c"))
    parts = {shard.name: three.of_shard(shard) for shard in three.shards}
    owners = [owner for part in parts.values() for watch in part.watch for owner in watch.owners]
    assert sorted(owners) == sorted(three.watch[0].owners)
    assert all(len(part.watch[0].owners) > 40 for part in parts.values())
    assert [part.key.keystore for part in parts.values()] == [tmp_path / f"{name}.json" for name in "abc"]
    four = settings_of(tmp_path, shards_named("d", "c", "b", "a"))
    moved = [owner for owner in owners if three.shard_of(owner) != four.shard_of(owner)]
    assert 20 < len(moved) < 80
    assert {four.shard_of(owner) for owner in moved} == {"d"}
    assert three.among != four.among == settings_of(tmp_path, shards_named("a", "b", "c", "d")).among


@pytest.mark.parametrize(
    ("shards", "journal", "said"),
    [
        (
            shards_named("a"),
            'path = "keeper.db"',
            "shards: need journal.url, a PostgreSQL; a file is written by one keeper",
        ),
        (shards_named("a", "a"), None, "two shards have one name"),
        (shards_named("writer"), None, "writer is the name of a journal that is not shared"),
        (shards_named("a", "b", more=f'owners = ["0x{1:040x}"]\n'), None, "an owner is in two shards"),
        (shards_named("a") + '[key]\nkeystore = "k"\n', None, "each shard has its own key"),
        ('[[shards]]\nname = "a"\nkey = {}\n', None, "each shard signs with its own"),
    ],
)
def test_shards__that_cannot_be__are_refused_in_a_sentence(
    tmp_path: Path, shards: str, journal: str | None, said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        settings_of(tmp_path, shards, **({"journal": journal} if journal else {}))


def test_shards__of_one_key__are_refused() -> None:
    with pytest.raises(Misconfigured, match="east and west both sign as 0x1"):
        require_keys_apart({"east": Address("0x1"), "west": Address("0x1")})
