"""`keeper init`: what is answered is proven before it is written, and whatever fails leaves the folder as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from typer.testing import CliRunner

from keeper import app, init
from keeper.app import connect, watched
from keeper.cli import cli
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.domain.errors import KeeperError, Misconfigured
from keeper.init import Ask, Said, begin
from keeper.send.gcp_kms import gcp_kms_signer
from keeper.settings import Settings, read_settings
from tests.chain.test_deployed import as_known
from tests.send import doubles
from tests.send.doubles import Double
from tests.send.flights_given import KEEPER
from tests.test_cli import NOWHERE, keeper, one_sentence


@pytest.fixture(autouse=True)
def _no_url_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEEPER_RPC_URL", raising=False)


def flags(world: World) -> list[str]:
    return [
        "--url", world.node.url, "--chain", str(world.chain_id), "--loans", world.thresholds,
        "--ranges", world.range_thresholds, "--owner", world.roles.owner, "--owner", world.roles.twin.lower(),
    ]  # fmt: skip


def answering(*answers: str) -> tuple[Ask, list[str]]:
    """A person who gives these answers, and what they were asked."""
    ready: Iterator[str] = iter(answers)
    questions: list[str] = []

    def ask(question: str, default: str) -> str:
        questions.append(question)
        return next(ready) or default

    return ask, questions


def test_init__by_flags__writes_what_a_keeper_can_be_started_with(world: World, tmp_path: Path) -> None:
    path = tmp_path / "keeper.toml"
    done = keeper("init", *flags(world), "--yes", "--out", path)
    assert done.returncode == 0, done.stderr
    assert f"next: keeper doctor --config {path}" in done.stdout
    settings = read_settings(path)
    assert [(watch.kind, watch.thresholds) for watch in settings.watch] == [
        ("loans", world.thresholds),
        ("ranges", world.range_thresholds),
    ]
    assert {watch.owners for watch in settings.watch} == {(world.roles.owner, world.roles.twin)}
    assert len(watched(settings, connect(settings))) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["keeper.toml"]
    assert path.stat().st_mode & 0o077 == 0, "an address of a node may hold a secret"
    before = path.read_bytes()
    assert "is there already; --force" in one_sentence(
        keeper("init", *flags(world), "--yes", "--out", path), 2
    )
    assert path.read_bytes() == before


def test_init__asking__asks_again_what_does_not_hold(world: World, tmp_path: Path) -> None:
    keystore = tmp_path / "key.json"
    keystore.write_text(json.dumps(Account.encrypt("0x" + "11" * 32, "open", iterations=2)))
    said: list[str] = []
    ask, questions = answering(
        "ftp://nowhere", NOWHERE, world.node.url, "5", "", "", "",
        world.weth.token, world.roles.owner, world.thresholds, "", "",
        "0x12", f"{world.roles.owner}, {world.roles.owner.lower()}", "none.json", "key.json",
    )  # fmt: skip
    settings = begin(tmp_path / "keeper.toml", Said(), ask, said.append)
    assert settings.chain.id == world.chain_id
    assert settings.key.keystore == keystore
    assert settings.watch[0].owners == (world.roles.owner,)
    assert len(questions) == 16
    assert [sentence.partition(":")[0] for sentence in said] == [
        "init", "node", "init", "contract", "contract", "init", "init", "init"
    ]  # fmt: skip
    assert f"there is no code at {world.roles.owner}" in said[4]


def test_init__with_json__prints_what_it_wrote_and_nothing_else(world: World, tmp_path: Path) -> None:
    path = tmp_path / "keeper.toml"
    done = CliRunner().invoke(cli, ["init", *flags(world), "--yes", "--json", "--out", str(path)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "file": str(path),
        "chain": world.chain_id,
        "watch": [
            {"kind": "loans", "thresholds": world.thresholds},
            {"kind": "ranges", "thresholds": world.range_thresholds},
        ],
    }
    assert path.is_file()


def test_init__where_something_does_not_hold__writes_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "keeper.toml"
    loans = {"loans": world.thresholds}
    good = Said([world.node.url], str(world.chain_id), None, loans, [world.roles.owner])
    changes: list[tuple[dict[str, Any], str]] = [
        ({"urls": [NOWHERE]}, "node: "),
        ({"urls": []}, "init: --url is not said"),
        ({"chain": "1"}, "init: the node is on chain 31337, and 1 is meant"),
        ({"chain": None}, "init: --chain is not said"),
        ({"contracts": {}}, "init: no contract is named, by --baskets, --loans, --ranges"),
        ({"contracts": {"ranges": world.thresholds}}, "is not a RangeThresholds contract"),
        ({"contracts": {"loans": world.roles.owner}}, "there is no code at"),
        ({"owners": []}, "init: --owner is not said"),
        ({"owners": [world.roles.owner[:-1] + "z"]}, "is not a 20-byte address"),
        ({"heads": "http://127.0.0.1"}, "chain.heads: is neither ws"),
        ({"keystore": "keeper.toml"}, "init: keeper.toml cannot be read"),
    ]
    for wrong, wanted in changes:
        with pytest.raises(KeeperError) as caught:
            begin(path, replace(good, **wrong), None, print)
        assert wanted in str(caught.value)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(Misconfigured, match="cannot be written"):
        begin(tmp_path / "absent" / "keeper.toml", good, None, print)


def test_init__with_the_node_in_the_environment__keeps_it_out_of_the_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_RPC_URL", world.node.url)
    contracts = {"baskets": world.basket_thresholds}
    said = Said(chain=str(world.chain_id), contracts=contracts, owners=[world.roles.owner])
    settings: Settings = begin(tmp_path / "keeper.toml", said, None, print)
    assert settings.chain.url == world.node.url
    assert world.node.url not in (tmp_path / "keeper.toml").read_text()


def test_init__of_a_chain_by_its_name__proves_what_is_known_to_stand_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    path, contracts = tmp_path / "keeper.toml", {"loans": world.thresholds}
    asked = Said([world.node.url], "arbitrum", None, contracts, [world.roles.owner])
    with pytest.raises(Misconfigured, match="init: the node is on chain 31337, and arbitrum is meant"):
        begin(path, asked, None, said.append)
    with pytest.raises(Misconfigured, match="arbitrun is no chain's name; did you mean arbitrum?"):
        begin(path, replace(asked, chain="arbitrun"), None, said.append)
    with Anvil(chain_id=42161) as empty, pytest.raises(Misconfigured, match="this is not Arbitrum One"):
        begin(path, replace(asked, urls=[empty.url]), None, said.append)
    assert list(tmp_path.iterdir()) == []
    known = replace(as_known(world), pool=world.aave.pool)
    monkeypatch.setattr(init, "deployments", lambda: {"devnet": known})
    monkeypatch.setattr(init, "deployed_on", {world.chain_id: known}.get)
    begin(path, replace(asked, chain="Devnet"), None, said.append)
    assert said == [
        f"init: Aave's pool {world.aave.pool} and Uniswap's factory {world.uniswap.factory} stand on the devnet"
    ]


def test_init__with_a_key_elsewhere__has_it_sign_before_it_writes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = tmp_path / "keeper.toml", list[str]()
    contracts, owners = {"loans": world.thresholds}, [world.roles.owner]
    asked = Said([world.node.url], str(world.chain_id), None, contracts, owners)
    double = Double()
    with doubles.web3signer(double, tmp_path):
        elsewhere: dict[str, str | None] = {
            "remote": double.url, "address": KEEPER,
            "certificate": "client.pem", "private_key": "client.key", "authority": "ca.pem",
        }  # fmt: skip
        key = begin(path, replace(asked, elsewhere=elsewhere), None, said.append).key
        assert key.remote is not None
        assert (key.remote.url, key.remote.authority, key.address) == (
            double.url,
            tmp_path / "ca.pem",
            KEEPER,
        )
        assert said[-1] == f"init: {KEEPER} signs, and has shown that it does"
        answers = ("", "", "", double.url, KEEPER, "client.pem", "client.key", "ca.pem")
        ask, questions = answering(*answers)
        begin(path, replace(asked, heads=None), ask, said.append, force=True)
        assert "signer's address" in questions[-5], questions
        assert read_settings(path).key == key
        double.fault = "another key"
        before = path.read_bytes()
        with pytest.raises(KeeperError):
            begin(path, replace(asked, elsewhere=elsewhere), None, said.append, force=True)
        assert path.read_bytes() == before
        with pytest.raises(Misconfigured, match="one key signs, and --remote and --keystore are named"):
            begin(path, replace(asked, elsewhere=elsewhere, keystore="k"), None, said.append, force=True)
        unsaid = {**elsewhere, "address": None}
        with pytest.raises(Misconfigured, match="init: --address is not said"):
            begin(path, replace(asked, elsewhere=unsaid), None, said.append, force=True)
    kms = Double()
    with doubles.aws_kms(kms):
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", doubles.AWS_ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", doubles.AWS_SECRET)
        at_aws = replace(asked, elsewhere={"aws_kms": doubles.AWS_KEY})
        assert begin(path, at_aws, None, said.append, force=True).key.aws_kms == doubles.AWS_KEY
        at_aws = replace(asked, elsewhere={"aws_kms": doubles.AWS_KEY, "address": world.roles.owner})
        with pytest.raises(Misconfigured, match=f"the key is {KEEPER}'s"):
            begin(path, at_aws, None, said.append, force=True)
    google = Double()
    with doubles.gcp_kms(google, tmp_path):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setattr(app, "gcp_kms_signer", partial(gcp_kms_signer, endpoint=google.url))
        at_gcp = replace(asked, elsewhere={"gcp_kms": doubles.GCP_VERSION, "address": KEEPER})
        key = begin(path, at_gcp, None, said.append, force=True).key
        assert (key.gcp_kms, key.address) == (doubles.GCP_VERSION, KEEPER)
        assert said[-1] == f"init: {KEEPER} signs, and has shown that it does"
    at_gcp = replace(asked, elsewhere={"gcp_kms": "projects/p/keyRings/r"})
    with pytest.raises(Misconfigured, match="key.gcp_kms: is not projects/"):
        begin(path, at_gcp, None, said.append, force=True)
