"""A transaction that somebody else signs: its digest goes out, a signature comes in, and nothing of it is believed.

The bytes to be sent are always put together here, from the transaction that was meant: a signature for another one, or
by another key, does not recover to the address and is refused.

Source: EIP-1559, EIP-2 (the lower s), SEC 1 C.5 (a signature in DER), RFC 5480 and SEC 2 (a secp256k1 key in DER).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eth_keys.datatypes import PublicKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from keeper.domain.errors import Misconfigured
from keeper.domain.units import Address
from keeper.send.signers import Signed, Transaction, digest, signed

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1's group."""
# A SubjectPublicKeyInfo: id-ecPublicKey, secp256k1, and a bit string that holds an uncompressed point.
_KEY_HEAD: Final = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a03420004")
_SEQUENCE, _INTEGER = 0x30, 0x02


class DigestSigner:
    """A key that lies in a service which signs 32 bytes without knowing what they are; `where` names it in errors.

    `key` is the public half in DER. `sign_digest` returns a signature in DER, or the reason why there is none.
    """

    def __init__(self, where: str, key: bytes, sign_digest: Callable[[bytes], bytes | str]) -> None:
        self._where = where
        self._sign_digest = sign_digest
        self._address = address_of(key, where)

    @property
    def address(self) -> Address:
        """The account of the key."""
        return self._address

    def sign(self, transaction: Transaction) -> Signed:
        """Have the digest signed; `Misconfigured` when the service does not, or does it with another key."""
        told = self._sign_digest(digest(transaction))
        if isinstance(told, str):
            raise Misconfigured(f"send: {self._where} did not sign: {told}")
        return assembled(transaction, *read_der(told, self._where), self._address, self._where)

    def __repr__(self) -> str:
        return f"DigestSigner({self._where}, {self._address})"


def assembled(transaction: Transaction, r: int, s: int, address: Address, where: str) -> Signed:
    """The transaction with a signature, of which the lower s is taken; `Misconfigured` when it is not `address`'s."""
    s = min(s, ORDER - s)
    hashed = digest(transaction)
    for parity in (0, 1):
        if _recovered(hashed, parity, r, s) == address:
            return signed(transaction, parity, r, s)
    raise Misconfigured(f"send: {where} signed something else, or with another key than {address}'s")


def address_of(key: bytes, where: str) -> Address:
    """The account of a public key in DER; `Misconfigured` when it is on another curve."""
    point = key.removeprefix(_KEY_HEAD)
    if len(key) != len(_KEY_HEAD) + 64 or len(point) != 64:
        raise Misconfigured(
            f"send: {where} holds no key on secp256k1, which is ECC_SECG_P256K1 or SECP256K1_SHA256"
        )
    return Address(PublicKey(point).to_checksum_address())


def read_der(signature: bytes, where: str) -> tuple[int, int]:
    """r and s of a signature in DER; `Misconfigured` when it is none."""
    try:
        r, rest = _integer(_content(signature, _SEQUENCE))
        s, rest = _integer(rest)
    except (IndexError, ValueError):
        rest, r, s = b"?", 0, 0
    if rest or not (0 < r < ORDER and 0 < s < ORDER):
        raise Misconfigured(f"send: {where} returned {len(signature)} bytes that are no signature")
    return r, s


def _content(der: bytes, tag: int) -> bytes:
    """What an element holds that must be the whole; none here is longer than 127 bytes."""
    if der[0] != tag or der[1] != len(der) - 2:
        raise ValueError("another element, or not the whole of it")
    return der[2:]


def _integer(der: bytes) -> tuple[int, bytes]:
    """The first element, a number, and what follows it."""
    end = 2 + der[1]
    return int.from_bytes(_content(der[:end], _INTEGER), "big"), der[end:]


def _recovered(hashed: bytes, parity: int, r: int, s: int) -> str | None:
    try:
        return Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(hashed).to_checksum_address()
    except (BadSignature, ValidationError):
        return None
