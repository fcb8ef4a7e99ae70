"""docs/how-to: every block typed as it stands, beside a devnet whose owner has a loan, tokens and a position."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.app import open_keeper
from keeper.cli import cli
from keeper.devnet.world import World
from keeper.rules.writing import read_rule
from keeper.settings import read_settings
from tests.conftest import KEEPER_KEY
from tests.rules.conftest import open_range
from tests.rules.test_rule_command import sent_by
from tests.send import doubles
from tests.send.doubles import Double
from tests.send.flights_given import KEEPER
from tests.test_cli import config

__all__ = ["open_range"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
WORTH_A_LOOK = ("lint", "doctor", "look")


class Reader:
    """Somebody who follows a page: what the blocks name in general is what there is here."""

    def __init__(self, world: World, named: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.named = named
        self.monkeypatch = monkeypatch

    def follow(self, kind: str, title: str, block: str) -> None:
        """Do what a block of this kind asks for."""
        for written, here in self.named.items():
            block = block.replace(written, here)
        {"sh": self.type, "toml": self.keep, "json": self.read, "python": self.put}[kind](title, block)

    def type(self, _: str, block: str) -> None:
        """Each line a command of the keeper's; the owner's wallet signs what it prints for one."""
        for line in block.splitlines():
            program, *words = shlex.split(line)
            assert program == "keeper"
            into = Path(words[words.index(">") + 1]) if ">" in words else None
            words = words[: words.index(">")] if into else words
            done = CliRunner().invoke(cli, words)
            allowed = (0, 3) if {*words[:2]} & {*WORTH_A_LOOK} else (0,)
            assert done.exit_code in allowed, f"{line}\n{done.output}\n{done.exception!r}"
            if into:
                into.write_text(done.stdout)
            if words[0] == "rule" and words[1] in ("set", "clear"):
                told = json.loads(done.stdout)
                calls = told.get("calls") or told["transactions"]
                sent_by(self.world, {"from": self.world.roles.owner, "calls": calls})

    def keep(self, title: str, block: str) -> None:
        """A file, which is read as what it is."""
        path = Path("shown.toml" if title == "keeper.toml" else title)
        path.write_text(block)
        if title == "keeper.toml":
            read_settings(path)
        else:
            read_rule(path, {})

    def read(self, _: str, block: str) -> None:
        """Something for another program."""
        assert json.loads(block)

    def put(self, title: str, block: str) -> None:
        """A module in its place, and what of it is a test is run."""
        name = title.removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        self.monkeypatch.setitem(sys.modules, name, module)
        exec(compile(block, title, "exec", dont_inherit=True), module.__dict__)
        tests = [test for name, test in vars(module).items() if name.startswith("test_")]
        assert bool(tests) == title.startswith("tests/")
        for test in tests:
            test()


@pytest.fixture
def reader(
    world: World,
    open_range: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    owner = world.roles.owner
    world.open_loan(owner, 100, health=2)
    position = open_range()
    world.give("WETH", owner, 10)
    world.give("USDC", owner, 20_000)
    more = "".join(
        f'[[watch]]\nkind = "{kind}"\nthresholds = "{at}"\nowners = ["{owner}"]\n'
        for kind, at in (("ranges", world.range_thresholds), ("baskets", world.basket_thresholds))
    )
    (tmp_path / ".keeper").mkdir()
    with open_keeper(read_settings(config(world, tmp_path / ".keeper", extra=more)), dry_run=True):
        pass  # it has run before, so that there is a journal
    with ExitStack() as stack:
        signer, kms = Double(), Double()
        stack.enter_context(doubles.web3signer(signer, tmp_path))
        stack.enter_context(doubles.aws_kms(kms))
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", doubles.AWS_ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", doubles.AWS_SECRET)
        named = {
            "token_id = 7": f"token_id = {position}",
            "http://127.0.0.1:8545": world.node.url,
            "--loans THRESHOLDS": f"--loans {world.thresholds}",
            "--address ACCOUNT": f"--address {KEEPER}",
            "https://signer.example:9000": signer.url,
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab": doubles.AWS_KEY,
        }
        yield Reader(world, named, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to__followed_as_it_stands__does_what_it_says(page: Path, reader: Reader) -> None:
    text = page.read_text(encoding="utf-8")
    blocks: list[Any] = BLOCK.findall(text)
    assert len(blocks) == text.count("```") // 2 > 0
    for kind, title, block in blocks:
        reader.follow(kind, title, block)
