"""Two whole keepers that share one journal on a real PostgreSQL: each acts on its own rules, and alone on all."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from keeper import shards as shards_room
from keeper.devnet.world import World
from keeper.doctor import Grade, examine
from keeper.domain.errors import Misconfigured, NodeUnreachable
from keeper.domain.flights import State, Step
from keeper.domain.units import Address
from keeper.journal.journal import Journal, Reader
from keeper.journal.roll import Roll
from keeper.journal.shares import Share, Sight
from keeper.settings import Settings, read_settings
from keeper.shards import require_keys_apart
from tests.conftest import KEEPER_KEY, SetRule
from tests.journal.flights_kept import attempt, intent
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
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def start(world: World, tmp_path: Path, shards: str, url: str) -> Iterator[Callable[[str], Running]]:
    """Starts a keeper of the journal they share."""
    started = []

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


def turned(kept: Running) -> list[str]:
    """The shards of every turn it has taken."""
    return [json.loads(line)["shard"] for line in kept.turns.read_text().splitlines()]


def holders(world: World, keepers: tuple[Running, ...]) -> dict[str, Running]:
    """By shard, who has taken a turn for it at a new block; none while one of the two has not."""
    world.mine()
    newest = world.node.head().number
    found: dict[str, Running] = {}

    def all_told() -> bool:
        for kept in keepers:
            for line in kept.turns.read_text().splitlines():
                turn = json.loads(line)
                if turn["block"] >= newest:
                    found[turn["shard"]] = kept
        return set(found) == set(KEYS)

    keepers[0].wait_until(all_told)
    return found


def shared_evenly(world: World, keepers: tuple[Running, Running]) -> dict[str, Running]:
    """By shard, who has it, once each of the two has one."""
    keepers[0].wait_until(lambda: len(set(map(id, holders(world, keepers).values()))) == 2)
    return holders(world, keepers)


def flown(url: str) -> list[tuple[Address, Address, State]]:
    """Owner, sender and state of every flight."""
    with Reader(url) as reader:
        return [(each.intent.plan.key.owner, each.sender, each.state) for each in reader.actions()]


@pytest.fixture
def keepers(start: Callable[[str], Running]) -> tuple[Running, Running]:
    return start("first"), start("second")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_keepers__that_share_a_journal__act_each_on_its_own_and_one_that_is_gone_is_stood_in_for_in_time(
    world: World, set_rule: SetRule, url: str, keepers: tuple[Running, Running], sign: signal.Signals
) -> None:
    owners = {"east": world.roles.owner, "west": world.roles.twin}
    have = shared_evenly(world, keepers)
    heir, gone = have["east"], have["west"]
    world.open_loan(owners["east"], 100, health=1.3)
    set_rule(owners["east"], keeper=ADDRESSES["east"])
    heir.wait_until(lambda: '"included"' in heir.turns.read_text())
    assert not any(json.loads(line)["sent"] for line in gone.turns.read_text().splitlines())

    world.automine(False)
    had = len(turned(heir))
    gone_at = time.monotonic()
    gone.process.send_signal(sign)
    heir.wait_until(lambda: "west" in turned(heir)[had:])
    taken = time.monotonic() - gone_at
    print(f"takeover of a shard after {sign.name}: {taken:.2f} s")
    assert taken < SOON

    world.open_loan(owners["west"], 100, health=1.3)
    set_rule(owners["west"], keeper=ADDRESSES["west"])
    world.mine()
    if sign == signal.SIGSTOP:
        gone.process.send_signal(signal.SIGCONT)  # and it sees the breach as soon as the heir does
    heir.wait_until(lambda: pending(world) == 1)
    world.mine()
    heir.wait_until(lambda: acted(url) == 2)
    assert (actions(world), pending(world)) == (2, 0)
    assert flown(url) == [(owners[name], ADDRESSES[name], State.INCLUDED) for name in KEYS]
    with Reader(url) as reader:
        for owner in owners.values():
            page = reader.verdicts(owner)
            assert page is not None
            assert {verdict.key.owner for verdict in page.verdicts} == {owner}
    if sign == signal.SIGSTOP:
        gone.wait_until(lambda: "took over share west of " in gone.errors.read_text())
        assert set(shared_evenly(world, keepers)) == set(KEYS), "it shares again"
    assert heir.end() == 0, heir.errors.read_text()


def test_a_keeper__that_gets_no_share__says_why_and_takes_all_once_it_may(
    url: str, start: Callable[[str], Running]
) -> None:
    with Journal(url, Share("north", "north")):
        kept = start("otherwise")
        kept.wait_until(lambda: "is shared otherwise than these settings say" in kept.errors.read_text())
    kept.wait_until(lambda: set(turned(kept)) == set(KEYS))
    assert kept.end() == 0
    among = read_settings(kept.errors.with_name("keeper.toml")).among
    with Journal(url, Share("east", among)), Journal(url, Share("west", among)):
        kept = start("idle")
        kept.wait_until(lambda: "every shard is held by another keeper (east by " in kept.errors.read_text())
        assert kept.errors.read_text().count("\n") == 1
        assert turned(kept) == []
    kept.wait_until(lambda: set(turned(kept)) == set(KEYS))
    assert kept.end() == 0


def acted(url: str) -> int:
    return sum(state is State.INCLUDED for _, _, state in flown(url))


def test_the_doctor__of_shards__tells_each_key_and_the_rules_that_name_another_s(
    world: World,
    set_rule: SetRule,
    shards: str,
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEEPER_PASSWORD", PASSWORD)
    world.open_loan(world.roles.owner, 100, health=2.0)
    world.open_loan(world.roles.twin, 100, health=2.0)
    set_rule(world.roles.owner, keeper=ADDRESSES["west"])
    set_rule(world.roles.owner, id=1, keeper=world.roles.stranger)
    set_rule(world.roles.twin)
    path = config(world, tmp_path, extra=f'[journal]\nurl = "{new_database()}"\n{shards}')
    said = {(each.subject, each.grade, each.said, each.next) for each in examine(read_settings(path), path)}
    for name, address in ADDRESSES.items():
        assert ("key", Grade.GOOD, f"key: {address} signs for shard {name}", "") in said
    assert ("shards", Grade.GOOD, "shards: east 1 owner, west 1 owner", "") in said
    east, owner = ADDRESSES["east"], world.roles.owner
    told = f"and shard east, which its owner is in, signs as {east}"
    assert {each for each in said if each[0] == "rule"} == {
        (
            "rule",
            Grade.POOR,
            f"loan rule 0 of {owner}: rule: another keeper is named, {ADDRESSES['west']}, {told}",
            f"name {owner} in the owners of shard west",
        ),
        (
            "rule",
            Grade.POOR,
            f"loan rule 1 of {owner}: rule: another keeper is named, {world.roles.stranger}, {told}",
            f"have its owner name {east}, or no keeper",
        ),
    }
    assert ("rules", Grade.GOOD, "rules: 1 of 3 can be acted on", "") in said


def test_the_doctor__of_a_journal_shared_otherwise__says_so_while_a_flight_is_under_way(
    world: World, shards: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_PASSWORD", PASSWORD)
    path = config(world, tmp_path, extra=f'[journal]\nurl = "{url}"\n{shards}')
    with Journal(url, Share("north", "north")) as journal:
        journal.open_intent(intent(), world.chain_id, ADDRESSES["east"], 0, attempt(1))
        (found,) = [each for each in examine(read_settings(path), path) if "shared otherwise" in each.said]
        assert (found.subject, found.grade) == ("journal", Grade.BAD)
        journal.record(intent().id, Step(11, State.CANCELLED, "send: done", None))
        assert not any("shared otherwise" in each.said for each in examine(read_settings(path), path))


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
        (shards_named("a", "a"), None, "toml: two shards have one name, a"),
        (shards_named("writer"), None, "writer is the name of a journal that is not shared"),
        (
            shards_named("a", "b", more=f'owners = ["0x{1:040x}"]\n'),
            None,
            f"an owner is in two shards, 0x{1:040x}",
        ),
        (shards_named("a") + '[key]\nkeystore = "k"\n', None, "each shard has its own key"),
        ('[[shards]]\nname = "a"\nkey = {}\n', None, "each shard signs with its own"),
    ],
)
def test_shards__that_cannot_be__are_refused_in_a_sentence(
    tmp_path: Path, shards: str, journal: str | None, said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        settings_of(tmp_path, shards, **({"journal": journal} if journal else {}))


def test_the_doctor__of_a_shard_without_its_key_or_its_owner__says_whose_it_is(tmp_path: Path) -> None:
    stranger, watched = f"0x{0x999:040x}", f"0x{1:040x}"
    shards = shards_named("a", more=f'owners = ["{watched}", "{stranger}"]\n')
    settings = settings_of(tmp_path, shards, 'url = "postgresql://keeper@127.0.0.1:1/keeper"')
    said = {(each.subject, each.grade): each.said for each in examine(settings, tmp_path / "keeper.toml")}
    assert said["shards", Grade.GOOD] == "shards: a 200 owners"
    assert said["shards", Grade.POOR] == f"shards: a names {stranger}, whom no watch has"
    assert said["key", Grade.BAD].startswith("shard a: ")


def test_shards__of_one_key__are_refused() -> None:
    with pytest.raises(Misconfigured, match="east and west both sign as 0x1"):
        require_keys_apart({"east": Address("0x1"), "west": Address("0x1")})


def test_a_keeper__that_cannot_act_for_a_shard__tries_what_is_free_and_is_left_nothing_for_longer_each_time(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, share = new_database(), Share("east", "east")
    now, tried, is_blind = [0.0], list[float](), [True]

    @contextmanager
    def leading(*_: object) -> Iterator[None]:
        tried.append(now[0])
        if is_blind[0]:
            raise NodeUnreachable("node: gone")
        yield

    monkeypatch.setattr(shards_room, "leading", leading)
    monkeypatch.setattr(shards_room, "attend", lambda *_: None)
    monkeypatch.setattr(shards_room, "time", SimpleNamespace(monotonic=lambda: now[0]))
    part: Any = SimpleNamespace(settings=None, ready=None, share=share, beside=frozenset())
    quiet = shards_room.Listener(lambda _: None, lambda _: None, lambda _: None)
    holding = shards_room._Holding({"east": part}, {"east": quiet})
    holding.ever = True
    able: list[bool] = []
    with Journal(url, share), Roll(url) as mine:
        for second in range(16):
            now[0] = float(second)
            holding.follow(Sight("me", frozenset({"me"}), {}))
            holding.end()
            holding.bury()
            able.append(holding.is_able)
            assert (mine.sign(holding.is_able).there != set()) == able[-1]
    assert tried == [0, 2, 4, 6, 8, 10, 12, 14]
    assert not any(able)
    now[0] = 16.0 + 2**8
    assert holding.is_able
    holding.follow(Sight("me", frozenset({"me"}), {}))
    holding.end()
    holding.bury()
    assert not holding.is_able
    is_blind[0], now[0] = False, now[0] + 2
    holding.follow(Sight("me", frozenset({"me"}), {}))
    holding.end()
    holding.bury()
    assert holding.is_able, "as soon as it can act for it"
