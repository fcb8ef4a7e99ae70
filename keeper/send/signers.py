"""Who signs: a key from an encrypted keystore, or from the environment on a devnet, and the port of all signers.

eth_keys signs, on coincurve's libsecp256k1; a key never appears in a name, a message or a traceback. The bytes are
put together here, in the order of the EIP: eth_account looks at every field several times over.

Source: EIP-1559 (type 2 transactions), EIP-2 (the lower s), the version 3 keystore.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol

import rlp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.datatypes import PrivateKey
from eth_utils.address import is_same_address
from eth_utils.crypto import keccak

from keeper.domain.errors import Misconfigured
from keeper.domain.flights import Fees
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address

KEY_VARIABLE: Final = "KEEPER_KEY"
PASSWORD_VARIABLE: Final = "KEEPER_PASSWORD"  # noqa: S105 - the name of it, not the password
_PROBE_NONCE = 2**64 - 2
_TYPE: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class Transaction:
    """The fields of an EIP-1559 transaction that moves `value` wei; amounts of gas in units, fees in wei."""

    chain_id: int
    nonce: int
    fees: Fees
    gas: int
    call: Call
    value: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes ready for broadcast, and the hash every node will know them by."""

    raw: bytes
    hash: str


class Signer(Protocol):
    """Whatever can sign for one address."""

    @property
    def address(self) -> Address:
        """The account that pays for the gas."""

    def sign(self, transaction: Transaction) -> Signed:
        """Sign, and send nothing; `Misconfigured` when it cannot."""


def digest(transaction: Transaction) -> bytes:
    """What is signed of a transaction: 32 bytes."""
    return bytes(keccak(_encoded(_fields(transaction))))


def signed(transaction: Transaction, parity: int, r: int, s: int) -> Signed:
    """The transaction with a signature, whoever's it is."""
    raw = _encoded([*_fields(transaction), *map(_minimal, (parity, r, s))])
    return Signed(raw, "0x" + keccak(raw).hex())


def _fields(transaction: Transaction) -> list[bytes | list[bytes]]:
    fees, call = transaction.fees, transaction.call
    before = (transaction.chain_id, transaction.nonce, fees.tip, fees.max_fee, transaction.gas)
    to, access = bytes.fromhex(call.to[2:]), list[bytes]()
    return [*map(_minimal, before), to, _minimal(transaction.value), call.data, access]


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _encoded(fields: list[bytes | list[bytes]]) -> bytes:
    return _TYPE + bytes(rlp.encode(fields, infer_serializer=False))


class Secret:
    """A text that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be copied")


class LocalSigner:
    """A key held in this process."""

    __slots__ = ("_address", "_key")

    def __init__(self, key: Secret) -> None:
        self._address = NOBODY
        account = _account_of(key)
        if account is None:
            raise Misconfigured("send: the key must be 32 bytes in hexadecimal, and a point of the curve")
        self._key: PrivateKey = account._key_obj
        if not isinstance(self._key.backend, CoinCurveECCBackend):
            raise Misconfigured("send: signatures must come from coincurve; is ECC_BACKEND_CLASS set?")
        self._address = Address(account.address)

    @property
    def address(self) -> Address:
        """The account of the key."""
        return self._address

    def sign(self, transaction: Transaction) -> Signed:
        """Sign with the key."""
        return signed(transaction, *self._key.sign_msg_hash(digest(transaction)).vrs)

    def __repr__(self) -> str:
        return f"LocalSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not to be copied")


def signer_from_environment(environ: Mapping[str, str]) -> LocalSigner:
    """The key in `KEEPER_KEY`."""
    if not environ.get(KEY_VARIABLE):
        raise Misconfigured(f"send: {KEY_VARIABLE} is not set, and no keystore is named")
    key = Secret(environ[KEY_VARIABLE])
    del environ  # a traceback that shows its frames' variables shall not show this one
    return LocalSigner(key)


def signer_from_keystore(path: Path, password: Secret) -> LocalSigner:
    """The key in a version 3 keystore file; takes as long as the file's own key stretching asks for."""
    content = _content(path)
    outcome = _unlock(content, password)
    if isinstance(outcome, str):
        raise Misconfigured(f"send: {path} {outcome}")
    signer = LocalSigner(outcome)
    named = content.get("address")
    if (
        isinstance(named, str)
        and named
        and not is_same_address("0x" + named.lower().removeprefix("0x"), signer.address)
    ):
        raise Misconfigured(
            f"send: {path} says it is the key of 0x{named.removeprefix('0x')}, but is {signer.address}'s"
        )
    return signer


def keystore_password(environ: Mapping[str, str]) -> Secret:
    """The password in `KEEPER_PASSWORD`."""
    if PASSWORD_VARIABLE not in environ:
        raise Misconfigured(f"send: a keystore is named, and {PASSWORD_VARIABLE} is not set")
    return Secret(environ[PASSWORD_VARIABLE])


def prove(signer: Signer, chain_id: int, expected: Address | None = None) -> None:
    """Have it sign a transaction no chain can take, and see that the signature is its own; else `Misconfigured`."""
    if expected is not None and not is_same_address(expected, signer.address):
        raise Misconfigured(f"send: the key is {signer.address}'s, and {expected} is to send")
    nothing = Transaction(chain_id, _PROBE_NONCE, Fees(1, 1), 0, Call(signer.address, b""))
    check_signed(signer, signer.sign(nothing))


def check_signed(signer: Signer, signed: Signed) -> None:
    """Refuse bytes that are not the signer's own or do not have the hash they are said to have."""
    if signed.hash != "0x" + keccak(signed.raw).hex():
        raise Misconfigured(
            f"send: what the signer of {signer.address} returned does not hash to {signed.hash}"
        )
    try:
        recovered = Account.recover_transaction(signed.raw)
    except Exception as error:  # an external signer may return anything
        raise Misconfigured(f"send: the signer of {signer.address} returned no transaction") from error
    if recovered != signer.address:
        raise Misconfigured(f"send: the signer is to be {signer.address}, and its signature is {recovered}'s")


def _account_of(key: Secret) -> LocalAccount | None:
    """None instead of an exception, which would carry the frames that hold the key."""
    text = key.reveal().strip().removeprefix("0x")
    try:
        if len(bytes.fromhex(text)) != 32:
            return None
        account: LocalAccount = Account.from_key(text)
    except Exception:  # noqa: BLE001 - whatever it was, its text may quote the key
        return None
    return account


def _content(path: Path) -> dict[str, object]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"send: the keystore {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise Misconfigured(f"send: {path} is not a keystore: not JSON") from None
    if not isinstance(content, dict) or content.get("version") != 3:
        raise Misconfigured(f"send: {path} is not a version 3 keystore")
    return content


def _unlock(content: Mapping[str, object], password: Secret) -> Secret | str:
    """The key, or what is wrong with the file or the password."""
    try:
        return Secret(bytes(Account.decrypt(dict(content), password.reveal())).hex())
    except ValueError as error:
        if "MAC mismatch" in str(error):
            return "does not open with the password given"
        return "is a damaged keystore"
    except Exception:  # noqa: BLE001 - its frames hold the password
        return "is a damaged keystore"
