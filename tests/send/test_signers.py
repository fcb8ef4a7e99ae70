"""Keys: whose they are, that they sign as they should, and that nobody gets to read them."""

from __future__ import annotations

import copy
import json
import pickle
import random
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import rlp
from eth_account import Account
from eth_keys.backends import NativeECCBackend
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_utils.crypto import keccak

from keeper.domain.errors import Misconfigured
from keeper.domain.flights import Fees
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.send.signers import (
    LocalSigner,
    Secret,
    Signed,
    Transaction,
    check_signed,
    keystore_password,
    prove,
    signer_from_environment,
    signer_from_keystore,
)
from tests.send.flights_given import COUNTER, KEEPER, KEEPER_KEY, STRANGER

PASSWORD = "correct horse battery staple"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def signer() -> LocalSigner:
    return LocalSigner(Secret(KEEPER_KEY))


@pytest.fixture(scope="module")
def keystore() -> dict[str, object]:
    return dict(Account.encrypt(KEEPER_KEY, PASSWORD, kdf="pbkdf2", iterations=1000))


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "key.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_transaction__of_any_numbers__is_signed_to_the_bytes_that_eth_account_makes(
    signer: LocalSigner,
) -> None:
    chance = random.Random(3)
    for _ in range(200):
        sizes = [chance.randrange(1, 257) for _ in range(4)]
        tip, max_fee, value, gas = (
            chance.randrange(2 ** min(bits, most))
            for bits, most in zip(sizes, (128, 128, 256, 63), strict=True)
        )
        data, to = chance.randbytes(chance.choice([0, 1, 55, 56, 700])), chance.randbytes(20)
        chain_id, nonce = chance.choice([1, 42_161, 2**40]), chance.choice([0, 1, 127, 128, 2**63])
        call = Call(Address("0x" + to.hex()), data)
        made = signer.sign(Transaction(chain_id, nonce, Fees(max_fee, tip), gas, call, value))
        fields = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "to": to,
            "value": value,
            "data": data,
            "gas": gas,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": tip,
        }
        theirs = Account.sign_transaction(fields, KEEPER_KEY)
        assert (made.raw, made.hash) == (bytes(theirs.raw_transaction), "0x" + theirs.hash.hex())


def shown_by(act: Callable[[], object]) -> str:
    """Everything a curious traceback would print: messages, causes, contexts, and the variables of our frames."""
    with pytest.raises(Misconfigured) as caught:
        act()
    seen: list[str] = [repr(caught.value), str(caught.value)]
    error: BaseException | None = caught.value
    while error is not None:
        for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
            if "/tests/" not in frame.filename:
                seen += [str(frame.line), str(frame.locals)]
        error = error.__cause__ or error.__context__
    return "\n".join(seen)


def test_signatures__are_made_by_coincurve(signer: LocalSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(signer._key.backend, CoinCurveECCBackend)
    calls: list[object] = []
    real = CoinCurveECCBackend.ecdsa_sign

    def counted(self: CoinCurveECCBackend, *args: object) -> object:
        calls.append(args)
        return real(self, *args)

    monkeypatch.setattr(CoinCurveECCBackend, "ecdsa_sign", counted)
    signer.sign(Transaction(1, 0, Fees(1, 1), 21_000, Call(COUNTER, b"")))
    assert len(calls) == 1


def test_a_signer__on_another_backend__is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECC_BACKEND_CLASS", "eth_keys.backends.NativeECCBackend")
    assert NativeECCBackend is not CoinCurveECCBackend
    account = Account()
    account.set_key_backend(NativeECCBackend())
    monkeypatch.setattr("keeper.send.signers.Account", account)
    with pytest.raises(Misconfigured, match="coincurve"):
        LocalSigner(Secret(KEEPER_KEY))


def test_a_thousand_random_transactions__recover_to_the_address_with_the_lower_s() -> None:
    chance = random.Random(20200312)
    for _ in range(1000):
        signer = LocalSigner(Secret(chance.randbytes(31).hex() + "01"))
        wanted = Transaction(
            chain_id=chance.choice([1, 10, 8453, 31337, 2**40]),
            nonce=chance.randrange(2 ** chance.randrange(1, 64)),
            fees=Fees(chance.randrange(10**6, 10**12), chance.randrange(10**6)),
            gas=chance.randrange(21_000, 30_000_000),
            call=Call(
                Address(Account.from_key(chance.randbytes(32)).address),
                chance.randbytes(chance.randrange(300)),
            ),
            value=chance.randrange(2 ** chance.randrange(1, 90)),
        )
        signed = signer.sign(wanted)
        assert signed.hash == "0x" + keccak(signed.raw).hex()
        assert Account.recover_transaction(signed.raw) == signer.address
        check_signed(signer, signed)
        assert signed.raw[0] == 2
        fields = rlp.decode(signed.raw[1:])
        assert int.from_bytes(fields[11], "big") <= ORDER // 2
        told = [int.from_bytes(field, "big") for field in fields[:5]]
        assert told == [wanted.chain_id, wanted.nonce, wanted.fees.tip, wanted.fees.max_fee, wanted.gas]
        assert fields[5] == bytes.fromhex(wanted.call.to[2:])
        assert int.from_bytes(fields[6], "big") == wanted.value
        assert fields[7:9] == [wanted.call.data, []]


def test_a_key__from_the_environment__proves_its_address() -> None:
    signer = signer_from_environment({"KEEPER_KEY": KEEPER_KEY})
    assert signer.address == KEEPER
    prove(signer, 31337)
    prove(signer, 31337, expected=KEEPER)
    with pytest.raises(Misconfigured, match=f"the key is {KEEPER}'s, and {STRANGER} is to send"):
        prove(signer, 31337, expected=STRANGER)


@pytest.mark.parametrize("environ", [{}, {"KEEPER_KEY": ""}])
def test_a_key__that_is_not_there__is_one_sentence(environ: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="KEEPER_KEY is not set"):
        signer_from_environment(environ)


@pytest.mark.parametrize(
    "key",
    ["0x1234567890abcdef", KEEPER_KEY + "00", "zz" * 32, "00" * 32, "ff" * 32, "my secret key, in words"],
)
def test_a_key__that_is_none__is_refused_without_being_shown(key: str) -> None:
    shown = shown_by(lambda: signer_from_environment({"KEEPER_KEY": key}))
    assert "32 bytes in hexadecimal" in shown
    assert key not in shown
    assert key.removeprefix("0x") not in shown


def test_a_keystore__with_its_password__signs(tmp_path: Path, keystore: dict[str, object]) -> None:
    signer = signer_from_keystore(written(tmp_path, keystore), Secret(PASSWORD))
    assert signer.address == KEEPER
    prove(signer, 1)


def test_a_keystore__with_a_wrong_password__is_one_sentence_and_shows_nothing(
    tmp_path: Path, keystore: dict[str, object]
) -> None:
    path = written(tmp_path, keystore)
    shown = shown_by(lambda: signer_from_keystore(path, Secret("a wrong password")))
    assert "does not open with the password given" in shown
    assert "a wrong password" not in shown
    assert KEEPER_KEY[2:] not in shown


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "not a version 3 keystore"),
        ("{}", "not a version 3 keystore"),
        ('{"version": 1, "crypto": {}}', "not a version 3 keystore"),
        ('{"version": 3}', "damaged keystore"),
        ('{"version": 3, "crypto": {"kdf": "scrypt"}}', "damaged keystore"),
        ('{"version": 3, "crypto": 7}', "damaged keystore"),
    ],
)
def test_a_keystore__that_is_none__is_one_sentence(tmp_path: Path, content: str, why: str) -> None:
    path = written(tmp_path, content)
    shown = shown_by(lambda: signer_from_keystore(path, Secret(PASSWORD)))
    assert why in shown
    assert PASSWORD not in shown


def test_a_keystore__damaged_in_its_middle__is_one_sentence(
    tmp_path: Path, keystore: dict[str, object]
) -> None:
    damaged = copy.deepcopy(keystore)
    damaged["crypto"]["ciphertext"] = "00" * 32  # type: ignore[index]
    path = written(tmp_path, damaged)
    assert "does not open" in shown_by(lambda: signer_from_keystore(path, Secret(PASSWORD)))
    damaged["crypto"]["kdf"] = "rot13"  # type: ignore[index]
    path = written(tmp_path, damaged)
    assert "damaged keystore" in shown_by(lambda: signer_from_keystore(path, Secret(PASSWORD)))


def test_a_keystore__that_names_another_address__is_refused(
    tmp_path: Path, keystore: dict[str, object]
) -> None:
    path = written(tmp_path, {**keystore, "address": STRANGER[2:].lower()})
    shown = shown_by(lambda: signer_from_keystore(path, Secret(PASSWORD)))
    assert f"but is {KEEPER}'s" in shown
    assert KEEPER_KEY[2:] not in shown


def test_a_keystore__that_is_not_there__is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        signer_from_keystore(tmp_path / "absent.json", Secret(PASSWORD))


def test_a_password__is_the_variable_s__and_its_absence_is_told() -> None:
    assert keystore_password({"KEEPER_PASSWORD": PASSWORD}).reveal() == PASSWORD
    with pytest.raises(Misconfigured, match="KEEPER_PASSWORD is not set"):
        keystore_password({})


def test_a_secret__however_it_is_printed_or_copied__stays_one(signer: LocalSigner) -> None:
    for holder in (Secret(KEEPER_KEY), signer):
        for text in (repr(holder), str(holder), f"{holder}", f"{[holder]}", str({"key": holder})):
            assert KEEPER_KEY[2:] not in text
        with pytest.raises(TypeError, match="not to be copied"):
            pickle.dumps(holder)
        with pytest.raises(TypeError, match="not to be copied"):
            copy.deepcopy(holder)
        assert not hasattr(holder, "__dict__")
    assert repr(signer) == f"LocalSigner({KEEPER})"


class Impostor:
    """Says it is one address and signs with another's key, or returns no transaction, or a wrong hash."""

    def __init__(self, address: Address, behind: LocalSigner, how: str) -> None:
        self.address = address
        self._behind = behind
        self._how = how

    def sign(self, transaction: Transaction) -> Signed:
        signed = self._behind.sign(transaction)
        if self._how == "hash":
            return Signed(signed.raw, "0x" + "00" * 32)
        if self._how == "garbage":
            return Signed(b"\x02\x00", "0x" + keccak(b"\x02\x00").hex())
        return signed


@pytest.mark.parametrize(
    ("address", "how", "why"),
    [
        (STRANGER, "key", f"is to be {STRANGER}, and its signature is {KEEPER}'s"),
        (KEEPER, "hash", "does not hash to 0x00"),
        (KEEPER, "garbage", "returned no transaction"),
    ],
)
def test_a_signer__that_is_not_who_it_says__is_found_out_at_the_start(
    signer: LocalSigner, address: Address, how: str, why: str
) -> None:
    with pytest.raises(Misconfigured, match=why):
        prove(Impostor(address, signer, how), 1)
