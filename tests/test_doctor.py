"""What the doctor finds before a start: each thing that is wrong is one sentence with the next command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from eth_account import Account

from keeper.desk import resume
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.doctor import Finding, Grade, examine
from keeper.domain.errors import Misconfigured
from keeper.domain.units import NOBODY
from keeper.journal.journal import Journal
from keeper.settings import read_settings
from tests.conftest import KEEPER_KEY, SetRule
from tests.faults.proxy import Drop, Rewrite, proxied
from tests.test_cli import NOWHERE, config, keeper

Examine = Callable[..., list[Finding]]


@pytest.fixture
def examined(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)

    def of(**changes: str) -> list[Finding]:
        path = config(world, tmp_path, **changes)
        return list(examine(read_settings(path), path))

    return of


def only(findings: list[Finding], grade: Grade) -> Finding:
    (found,) = [finding for finding in findings if finding.grade is grade]
    return found


def test_a_sound_keeper__is_found_so__and_nothing_is_made_or_sent(
    world: World, set_rule: SetRule, examined: Examine, tmp_path: Path
) -> None:
    world.open_loan(world.roles.owner, 100, health=2.0)
    set_rule(world.roles.owner)
    findings = examined()
    assert [finding.said for finding in findings if finding.grade is not Grade.GOOD] == []
    subjects = [finding.subject for finding in findings]
    assert subjects == [
        "endpoint", "quorum", "chain", "clock", "alerts", "key", "journal", "gas", "contract", "rules"
    ]  # fmt: skip
    assert not (tmp_path / "keeper.db").exists()
    assert all(": " in finding.said for finding in findings)


def test_an_allowance_that_is_missing__is_told_in_the_contract_s_words(
    world: World, set_rule: SetRule, examined: Examine
) -> None:
    world.open_loan(world.roles.owner, 100, health=2.0)
    set_rule(world.roles.owner, allowance=0)
    found = next(finding for finding in examined() if finding.subject == "rule")
    assert found.grade is Grade.POOR
    assert "allowance" in found.said
    next_ = f"keeper rule set {world.roles.owner} --kind loan --id 0 … --approve --config "
    assert found.next.startswith(next_)
    assert found.next.endswith("keeper.toml, for its owner to sign")


def test_an_endpoint_that_is_gone__is_poor_while_a_quorum_is_left_and_bad_when_not(
    world: World, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(world.node.url) as (proxy, url):
        monkeypatch.setenv("KEEPER_RPC_URL", f"{world.node.url} {url} {NOWHERE}")
        findings = examined()
        assert only([f for f in findings if f.subject == "endpoint"], Grade.POOR).said.startswith(
            f"node: {NOWHERE}"
        )
        assert next(f for f in findings if f.subject == "quorum").grade is Grade.GOOD
        proxy.on("*", Drop())
        findings = examined()
    (quorum,) = [f for f in findings if f.subject == "quorum"]
    assert (quorum.grade, quorum.said) == (
        Grade.BAD,
        "chain: 1 of 3 endpoints can be used, and 2 must agree",
    )
    assert quorum.next == "name more endpoints in chain.urls, or lower chain.quorum"


def test_an_endpoint_on_another_chain__is_bad(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    with Anvil(chain_id=5) as other:
        monkeypatch.setenv("KEEPER_RPC_URL", other.url)
        findings = examined()
    assert "is on chain 5" in only(findings, Grade.BAD).said


def test_one_endpoint_that_is_gone__is_told_once_and_no_quorum_is_spoken_of(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_RPC_URL", NOWHERE)
    findings = examined()
    gone = only(findings, Grade.BAD)
    assert gone.said.startswith(f"node: {NOWHERE}")
    assert [finding for finding in findings if "quorum" in finding.next] == []
    assert [finding.subject for finding in findings] == ["endpoint", "alerts", "key", "journal"]


def test_whom_it_tells__is_told_and_an_address_that_cannot_be_read_is_bad(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for urls, grade, said in (
        ("", Grade.GOOD, "alerts: the keeper itself tells nobody"),
        ("json://127.0.0.1/ json://127.0.0.2/", Grade.GOOD, "alerts: by 2 channels in turn"),
        ("nonsense://x:secret@y", Grade.BAD, "alerts: address 1 of 1 is none that apprise can read"),
    ):
        monkeypatch.setenv("KEEPER_ALERT_URLS", urls)
        (found,) = [each for each in examined() if each.subject == "alerts"]
        assert (found.grade, found.said) == (grade, said)


def test_a_relay__that_answers_or_is_gone__is_told(world: World, examined: Examine, tmp_path: Path) -> None:
    path = config(world, tmp_path)
    text = path.read_text(encoding="utf-8")
    for url, grade in ((world.node.url, Grade.GOOD), (NOWHERE, Grade.POOR)):
        path.write_text(f'{text}\n[[relays]]\nname = "hush"\nurl = "{url}"\n', encoding="utf-8")
        (found,) = [each for each in examine(read_settings(path), path) if each.subject == "relay"]
        assert found.grade is grade
        assert found.said.startswith("relay hush: ")


def test_a_clock_behind_the_chain__is_told(
    world: World, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(world.node.url) as (proxy, url):
        late = lambda header: {**header, "timestamp": hex(2**33)}  # noqa: E731
        proxy.on("eth_getBlockByNumber", Rewrite(late))
        monkeypatch.setenv("KEEPER_RPC_URL", url)
        (found,) = [f for f in examined() if f.subject == "clock"]
    assert found.grade is Grade.POOR, "a devnet's clock is its own"
    assert "ahead of this machine's clock" in found.said
    assert found.next == "timedatectl set-ntp true"


def test_a_keystore__that_others_can_read__is_bad_and_the_command_mends_it(
    examined: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "keystore.json"
    store.write_text(json.dumps(Account.encrypt(KEEPER_KEY, "open", iterations=2)))
    store.chmod(0o644)
    monkeypatch.setenv("KEEPER_PASSWORD", "open")
    extra = f'[key]\nkeystore = "{store}"'
    found = only([f for f in examined(extra=extra) if f.subject == "key"], Grade.BAD)
    assert found.next == f"chmod 600 {store}"
    store.chmod(0o600)
    assert [f.grade for f in examined(extra=extra) if f.subject == "key"] == [Grade.GOOD]
    monkeypatch.setenv("KEEPER_PASSWORD", "wrong")
    found = only([f for f in examined(extra=extra) if f.subject == "key"], Grade.BAD)
    assert "does not open" in found.said
    assert found.next == "export KEEPER_PASSWORD=…, the one that keystore.json was made with"
    monkeypatch.delenv("KEEPER_PASSWORD")
    assert next(f for f in examined(extra=extra) if f.subject == "key").next == "export KEEPER_PASSWORD=…"
    store.unlink()
    monkeypatch.setenv("KEEPER_PASSWORD", "open")
    found = only([f for f in examined(extra=extra) if f.subject == "key"], Grade.BAD)
    assert found.next == f"ls -l {store}, or name another in key.keystore"


@pytest.mark.parametrize(
    ("key", "said", "next_"),
    [
        (
            'aws_kms = "alias/keeper"',
            "KMS does not show the key: Endpoint",
            "aws kms get-public-key --key-id alias",
        ),
        (
            'gcp_kms = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"',
            "Google Cloud KMS cannot be reached: DefaultCredentialsError",
            "gcloud kms keys versions get-public-key projects/p/",
        ),
        (
            f'address = "{NOBODY}"\n[key.remote]\nurl = "http://127.0.0.1:9"',
            "the signer at 127.0.0.1 did not sign: ConnectionRefusedError",
            "curl --cert",
        ),
        (
            f'address = "{NOBODY}"\n[key.remote]\nurl = "http://signer.example"',
            "key.remote.url must be https://",
            "edit key.remote.url",
        ),
    ],
)
def test_a_key_elsewhere__out_of_reach__is_bad_with_what_to_ask_it(
    examined: Examine, monkeypatch: pytest.MonkeyPatch, key: str, said: str, next_: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/account.json")
    found = only([f for f in examined(extra=f"[key]\n{key}\n") if f.subject == "key"], Grade.BAD)
    assert said in found.said
    assert found.next.startswith(next_)


def test_a_certificate_s_key__that_others_can_read__is_bad(examined: Examine, tmp_path: Path) -> None:
    paper = tmp_path / "client.key"
    paper.write_text("a key")
    paper.chmod(0o640)
    remote = f'[key]\naddress = "{NOBODY}"\n[key.remote]\nurl = "http://127.0.0.1:9"\n'
    files = f'certificate = "{paper}"\nprivate_key = "{paper}"\n'
    found = [f for f in examined(extra=remote + files) if f.subject == "key"]
    assert found[0].next == f"chmod 600 {paper}"


def test_no_gas_money__is_told_with_how_much_and_to_whom(world: World, examined: Examine) -> None:
    world.node.ask("anvil_setBalance", world.roles.keeper, "0x1")
    (found,) = [f for f in examined() if f.subject == "gas"]
    assert found.grade is Grade.BAD
    assert found.next.endswith(f"ETH to {world.roles.keeper}")


def test_a_journal__that_cannot_be_used__is_told(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "keeper.db").write_text("dear diary")
    found = only([f for f in examined() if f.subject == "journal"], Grade.BAD)
    assert "damaged or not a journal" in found.said
    found = only(
        [f for f in examined(extra='[journal]\npath = "absent/keeper.db"') if f.subject == "journal"],
        Grade.BAD,
    )
    assert "cannot be written" in found.said
    found = only(
        [f for f in examined(extra=f'[journal]\npath = "{tmp_path}"') if f.subject == "journal"], Grade.BAD
    )
    assert (found.said, found.next) == (
        f"journal: {tmp_path} is a folder",
        "name a file in journal.path",
    )
    found = only(
        [
            f
            for f in examined(extra='[journal]\nurl = "postgresql://keeper@127.0.0.1:9/keeper"')
            if f.subject == "journal"
        ],
        Grade.BAD,
    )
    assert found.next == "see that the server answers there, and that journal.url names it"


def test_a_devnet_that_stands_still__is_good_and_nothing_is_to_be_done(
    world: World, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(world.node.url) as (proxy, url):
        old = lambda header: {**header, "timestamp": hex(1)}  # noqa: E731
        proxy.on("eth_getBlockByNumber", Rewrite(old))
        monkeypatch.setenv("KEEPER_RPC_URL", url)
        (found,) = [f for f in examined() if f.subject == "clock"]
    assert (found.grade, found.next) == (Grade.GOOD, "")
    assert "stands still" not in found.said


def test_doctor_and_resume__at_the_command_line__tell_a_latched_breaker_and_reset_it(
    world: World, tmp_path: Path
) -> None:
    path = config(world, tmp_path)
    with Journal(tmp_path / "keeper.db") as journal:
        journal.latch("gas", 7, "breaker: enough")
        done = keeper("doctor", "--json", "--config", path)  # beside a keeper that writes
        assert done.returncode == 1, done.stderr
        found = next(each for each in json.loads(done.stdout)["findings"] if each["subject"] == "breaker")
        assert (found["grade"], found["next"]) == ("bad", "keeper resume gas")
        settings = read_settings(path)
        with pytest.raises(Misconfigured, match="there is no breaker nothing"):
            resume(settings, ["nothing"])
        assert resume(settings, ["reverts"]) == ()
        done = keeper("resume", "gas", "--config", path)
        assert (done.returncode, done.stdout) == (
            0,
            "reset gas, which was latched at block 7: breaker: enough\n",
        )
        assert journal.latches() == ()
        assert keeper("pause", "new pools", "--config", path).stdout == (
            "paused, at block 0: pause: a person asked for it (new pools)\n"
        )
        found = next(each for each in examine(settings, path) if each.subject == "breaker")
        assert (found.grade, found.next) == (Grade.POOR, "keeper resume pause")
        again = keeper("pause", "--config", path)
        assert (again.returncode, again.stdout.partition(",")[0]) == (0, "was paused already")
        assert [latch.name for latch in resume(settings, ["pause"])] == ["pause"]
    assert keeper("resume", "--config", path).returncode == 4
    found = [each for each in examine(settings, path) if each.subject == "breaker"]
    assert found == []
