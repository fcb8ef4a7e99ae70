"""One contract for all signers, wherever the key lies; and those who sign elsewhere are not taken at their word."""

from __future__ import annotations

import builtins
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account

from keeper.app import signer as signer_of
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import Fees, State
from keeper.domain.plans import Call
from keeper.domain.units import GWEI, Address
from keeper.send import aws_kms, remote_signer
from keeper.send.gcp_kms import gcp_kms_signer
from keeper.send.remote_signer import Papers, RemoteSigner
from keeper.send.sender import Sender
from keeper.send.signatures import ORDER, assembled, read_der
from keeper.send.signers import (
    LocalSigner,
    Secret,
    Signer,
    Transaction,
    check_signed,
    digest,
    prove,
    signer_from_keystore,
)
from keeper.settings import read_settings
from tests.send import doubles
from tests.send.conftest import Stage
from tests.send.doubles import AWS_KEY, AWS_SECRET, GCP_VERSION, OTHER_KEY, TOKEN_HEAD, Double, der
from tests.send.flights_given import CHAIN, COUNTER, KEEPER, KEEPER_KEY, LIMITS, intent
from tests.send.test_signers import shown_by, written

KINDS = ("environment", "keystore", "remote", "aws", "gcp")
ELSEWHERE = KINDS[2:]
Made = tuple[Double, Callable[[], Signer]]
Make = Callable[[str], Made]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A double of whoever signs, and how the keeper comes by its signer."""
    with ExitStack() as stack:

        def made(kind: str) -> Made:
            double = Double()
            if kind == "remote":
                stack.enter_context(doubles.web3signer(double, tmp_path))
                papers = Papers(tmp_path / "client.pem", tmp_path / "client.key", tmp_path / "ca.pem")
                return double, lambda: RemoteSigner(double.url, KEEPER, papers)
            if kind == "aws":
                stack.enter_context(doubles.aws_kms(double))
                monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", double.url)
                monkeypatch.setenv("AWS_ACCESS_KEY_ID", doubles.AWS_ACCESS)
                monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
                return double, lambda: aws_kms.aws_kms_signer(AWS_KEY)
            if kind == "gcp":
                stack.enter_context(doubles.gcp_kms(double, tmp_path))
                monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
                return double, lambda: gcp_kms_signer(GCP_VERSION, double.url)
            if kind == "keystore":
                kept = Account.encrypt(KEEPER_KEY, "word", kdf="pbkdf2", iterations=1)
                return double, lambda: signer_from_keystore(written(tmp_path, kept), Secret("word"))
            return double, lambda: LocalSigner(Secret(KEEPER_KEY))

        yield made


def random_transaction(chance: random.Random) -> Transaction:
    fees = Fees(chance.randrange(10**9, 10**12), chance.randrange(10**9))
    call = Call(
        Address(Account.from_key(chance.randbytes(32)).address), chance.randbytes(chance.randrange(200))
    )
    return Transaction(
        chance.choice([1, 8453, 31337]), chance.randrange(2**32), fees, 10**6, call, chance.randrange(2**70)
    )


def keeps_the_contract(signer: Signer, times: int, seed: int) -> None:
    """Every signature recovers to the address with the lower s, and the bytes are the transaction that was meant."""
    chance = random.Random(seed)
    assert signer.address == KEEPER
    for _ in range(times):
        wanted = random_transaction(chance)
        signed = signer.sign(wanted)
        check_signed(signer, signed)
        fields = rlp.decode(signed.raw[1:])
        assert int.from_bytes(fields[11], "big") <= ORDER // 2
        numbers = [int.from_bytes(field, "big") for field in (*fields[:5], fields[6])]
        fees = wanted.fees
        assert numbers == [wanted.chain_id, wanted.nonce, fees.tip, fees.max_fee, wanted.gas, wanted.value]
        assert (fields[5], fields[7]) == (bytes.fromhex(wanted.call.to[2:]), wanted.call.data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signer__wherever_its_key_lies__keeps_the_contract(make: Make, kind: str) -> None:
    _, opened = make(kind)
    signer = opened()
    prove(signer, 31337, KEEPER)
    keeps_the_contract(signer, 40, seed=1)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_an_action__signed_elsewhere__is_carried_out_once_though_the_signer_falls_silent(
    make: Make, stage: Stage, kind: str
) -> None:
    double, opened = make(kind)
    sender = Sender(stage.node, stage.journal, opened(), CHAIN, LIMITS)
    sender.recover(stage.head())
    sender.launch(intent(1), stage.head())
    double.fault = "denied"
    for _ in range(LIMITS.stuck_blocks):
        stage.outbid(20 * GWEI)
        sender.follow(stage.head())
    assert "not replaced by a higher bid: not signed" in stage.flight().why
    stage.outbid(GWEI)
    sender.follow(stage.head())
    stage.mine()
    sender.follow(stage.head())
    with pytest.raises(Misconfigured, match="did not sign"):
        sender.launch(intent(2), stage.head())
    assert (stage.flight().state, stage.count(), stage.nonces("pending")) == (State.INCLUDED, 1, 1)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_signer__for_ten_thousand_transactions__keeps_the_contract(make: Make, kind: str) -> None:
    _, opened = make(kind)
    keeps_the_contract(opened(), 10_000, seed=2)


def test_signatures_in_der__of_a_thousand_digests__recover_with_the_lower_s() -> None:
    double, chance = Double(), random.Random(3)
    highs = 0
    for _ in range(1_000):
        wanted = random_transaction(chance)
        r, s = read_der(double.signature(digest(wanted)), "it")
        highs += s > ORDER // 2
        signed = assembled(wanted, r, s, KEEPER, "it")
        assert int.from_bytes(rlp.decode(signed.raw[1:])[11], "big") == min(s, ORDER - s)
        assert Account.recover_transaction(signed.raw) == KEEPER
    assert 400 < highs < 600


@pytest.mark.parametrize("short", [1, 127, 128, 2**248 - 1, 2**255, ORDER - 1])
def test_a_number_in_der__however_short_or_long__is_read(short: int) -> None:
    assert read_der(der(short, ORDER - short), "it") == (short, ORDER - short)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"0",
        b"\x30\x00",
        b"\x30\x06\x02\x01\x01\x02\x01",
        der(5, 6) + b"\x00",
        b"\x31" + der(5, 6)[1:],
        der(0, 6),
        der(5, ORDER),
        der(5, 6)[:-3],
        bytes(64),
    ],
)
def test_what_is_no_signature__in_der__is_refused(wrong: bytes) -> None:
    with pytest.raises(Misconfigured, match="that are no signature"):
        read_der(wrong, "it")


@pytest.mark.parametrize("kind", ELSEWHERE)
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("denied", "did not sign"),
        ("another key", "signed something else, or with another key"),
        ("garbage", "no sig"),
        ("html", "no sig|did not sign"),
    ],
)
def test_a_signer_elsewhere__that_errs_or_lies__is_one_sentence_that_shows_no_secret(
    make: Make, kind: str, fault: str, why: str
) -> None:
    double, opened = make(kind)
    signer = opened()
    double.fault = fault
    shown = shown_by(lambda: signer.sign(Transaction(1, 0, Fees(1, 1), 21_000, Call(COUNTER, b""))))
    assert re.search(why, shown.splitlines()[0])
    for secret in (AWS_SECRET, TOKEN_HEAD, KEEPER_KEY[2:], OTHER_KEY[2:], "PRIVATE KEY"):
        assert secret not in shown


@pytest.mark.parametrize("kind", ["aws", "gcp"])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("denied", "does not show the key: (AccessDeniedException|PERMISSION_DENIED)$"),
        ("another curve", "holds a key"),
        ("html", "does not show the key"),
    ],
)
def test_a_key_service__without_a_key_to_use__is_one_sentence_at_the_start(
    make: Make, kind: str, fault: str, why: str
) -> None:
    double, opened = make(kind)
    double.fault = fault
    with pytest.raises(Misconfigured, match=why):
        opened()


def test_a_key_at_aws__after_other_credentials_were_refused__is_had_with_the_right_ones(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, opened = make("aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(Misconfigured, match="AccessDeniedException"):
        opened()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", doubles.AWS_ACCESS)
    assert opened().address == KEEPER


def test_a_key__on_another_curve_that_claims_to_be_on_ours__is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    double, opened = make("gcp")
    monkeypatch.setattr(double, "public_key", lambda: bytes(88))
    with pytest.raises(Misconfigured, match="holds no key on secp256k1"):
        opened()


@pytest.mark.parametrize("fault", ["as geth does", "another transaction"])
def test_a_remote_signer__may_answer_as_geth_does__but_not_for_another_transaction(
    make: Make, fault: str
) -> None:
    double, opened = make("remote")
    double.fault = fault
    wanted = Transaction(1, 0, Fees(2, 1), 21_000, Call(COUNTER, b"\x01"), 5)
    if fault == "as geth does":
        assert opened().sign(wanted) == LocalSigner(Secret(KEEPER_KEY)).sign(wanted)
        return
    with pytest.raises(Misconfigured, match="signed something else"):
        opened().sign(wanted)


@pytest.mark.parametrize(
    ("shows", "takes"), [(None, "ca"), ("stranger", "ca"), ("client", "stranger"), ("client", None)]
)
def test_a_remote_signer__unless_both_sides_know_each_other__signs_nothing(
    make: Make, tmp_path: Path, shows: str | None, takes: str | None
) -> None:
    double, _ = make("remote")
    papers = Papers(
        tmp_path / f"{shows}.pem" if shows else None,
        tmp_path / f"{shows}.key" if shows else None,
        tmp_path / f"{takes}.pem" if takes else None,
    )
    shown = shown_by(lambda: prove(RemoteSigner(double.url, KEEPER, papers), 1))
    assert "did not sign" in shown
    assert double.asked == []


def test_papers__that_cannot_be_used__are_one_sentence(make: Make, tmp_path: Path) -> None:
    double, _ = make("remote")
    for papers in (
        Papers(tmp_path / "absent.pem", tmp_path / "client.key", tmp_path / "ca.pem"),
        Papers(tmp_path / "client.pem", tmp_path / "server.key", tmp_path / "ca.pem"),
        Papers(authority=tmp_path / "absent.pem"),
    ):
        with pytest.raises(Misconfigured, match="certificates of key.remote cannot be used"):
            RemoteSigner(double.url, KEEPER, papers)


@pytest.mark.parametrize("url", ["http://signer.example", "ftp://127.0.0.1", "signer.example", "https://"])
def test_a_remote_signer__without_tls_elsewhere_than_here__is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="must be https"):
        RemoteSigner(url, KEEPER, Papers())


def test_a_remote_signer__that_hangs__is_given_up(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_signer, "_SECONDS", 0.2)
    double, opened = make("remote")
    double.fault = "slow"
    begun = time.monotonic()
    with pytest.raises(Misconfigured, match="did not sign: TimeoutError"):
        opened().sign(Transaction(1, 0, Fees(1, 1), 21_000, Call(COUNTER, b"")))
    assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize(
    ("library", "kind", "extra"), [("boto3", "aws", "aws"), ("google.auth", "gcp", "gcp")]
)
def test_a_key_service__whose_library_is_not_installed__says_what_to_type(
    make: Make, monkeypatch: pytest.MonkeyPatch, library: str, kind: str, extra: str
) -> None:
    _, opened = make(kind)
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == library or name.startswith(f"{library}."):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(Misconfigured, match=rf"pip install threshold-keeper\[{extra}\]"):
        opened()


def test_the_settings__that_name_a_key_elsewhere__lead_to_its_signer(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, _ = make("remote")
    make("aws")
    path = tmp_path / "keeper.toml"
    rest = (
        f'[chain]\nid = 31337\nurl = "http://x"\n[[watch]]\nthresholds = "{COUNTER}"\nowners = ["{KEEPER}"]\n'
    )
    files = 'certificate = "client.pem"\nprivate_key = "client.key"\nauthority = "ca.pem"\n'
    for key in (
        f'[key]\naws_kms = "{AWS_KEY}"\naddress = "{KEEPER}"\n',
        f'[key]\naddress = "{KEEPER}"\n[key.remote]\nurl = "{remote.url}"\n{files}',
    ):
        path.write_text(rest + key)
        assert signer_of(read_settings(path)).address == KEEPER
    path.write_text(rest + f'[key]\naws_kms = "{AWS_KEY}"\naddress = "{doubles.STRANGER}"\n')
    with pytest.raises(Misconfigured, match=f"the key is {KEEPER}'s, and {doubles.STRANGER} is to send"):
        signer_of(read_settings(path))
