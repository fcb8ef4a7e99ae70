"""Solidity functions as values: arguments to calldata, return data to tuples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.grammar import TupleType, parse
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.domain.errors import Blind
from keeper.domain.units import Address

_ERROR = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class Method:
    """One function by its name and canonical ABI types."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    selector: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "selector", keccak(text=self.signature)[:4])

    @property
    def signature(self) -> str:
        """The canonical text whose hash selects the function, `transfer(address,uint256)`."""
        return f"{self.name}({','.join(self.inputs)})"

    def call(self, *arguments: Any) -> bytes:
        """The calldata."""
        return self.selector + encode(self.inputs, arguments)

    def read(self, returned: bytes) -> tuple[Any, ...]:
        """The return values; `Blind` when the bytes are not what the function returns."""
        try:
            return decode(self.outputs, returned)
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise Blind(f"chain: {self.name} returned {len(returned)} bytes that cannot be read") from error


@lru_cache(maxsize=512)
def method(signature: str, returns: str = "()") -> Method:
    """A function as people write it, `balanceOf(address)`, with what it returns in parentheses; structs are tuples."""
    name, opening, inputs = signature.partition("(")
    return Method(name, _types(opening + inputs), _types(returns))


def _types(written: str) -> tuple[str, ...]:
    if written == "()":
        return ()
    kind = parse(written)
    if not isinstance(kind, TupleType):
        raise ValueError(f"{written} is not a list of types in parentheses")
    return tuple(part.to_type_str() for part in kind.components)


def address(text: str) -> Address:
    """Any spelling of an address, checksummed."""
    return Address(to_checksum_address(text))


def revert_reason(raw: bytes) -> str:
    """The sentence in a revert's data; a panic by its code, Aave's and other custom errors by their selector."""
    try:
        if raw[:4] == _ERROR:
            return str(decode(("string",), raw[4:])[0])
        if raw[:4] == _PANIC:
            return f"panic {decode(('uint256',), raw[4:])[0]:#x}"
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return "an unreadable reason"
    return f"error 0x{raw[:4].hex()}" if raw else "no reason given"
