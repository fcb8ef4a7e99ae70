"""Solidity functions as values: arguments to calldata, return data to tuples."""

from __future__ import annotations

import re
from collections.abc import Callable
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

_NUMBER = re.compile(r"(u?int)(\d+)")
_ERROR = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class Method:
    """One function by its name and canonical ABI types."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    selector: bytes = field(init=False)
    _asked: tuple[_Word, ...] | None = field(init=False, repr=False)
    _told: tuple[_Word, ...] | None = field(init=False, repr=False)
    _is_struct: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "selector", keccak(text=self.signature)[:4])
        is_struct = len(self.outputs) == 1 and self.outputs[0][0] + self.outputs[0][-1] == "()"
        object.__setattr__(self, "_is_struct", is_struct)
        object.__setattr__(self, "_asked", _words(self.inputs))
        object.__setattr__(self, "_told", _words(_types(self.outputs[0]) if is_struct else self.outputs))

    @property
    def signature(self) -> str:
        """The canonical text whose hash selects the function, `transfer(address,uint256)`."""
        return f"{self.name}({','.join(self.inputs)})"

    def call(self, *arguments: Any) -> bytes:
        """The calldata.

        Words are written here, because the ABI codec takes twenty times as long over them; the rest is left to it, and
        what does not fit its type is for it to refuse.
        """
        if self._asked is not None and len(arguments) == len(self._asked):
            try:
                words = [word.write(value) for word, value in zip(self._asked, arguments, strict=True)]
                return b"".join((self.selector, *words))
            except (AttributeError, OverflowError, TypeError, ValueError):
                pass
        return self.selector + encode(self.inputs, arguments)

    def read(self, returned: bytes) -> tuple[Any, ...]:
        """The return values; `Blind` when the bytes are not what the function returns.

        Words are read here, because the ABI codec takes ten times as long over them; the rest is left to it.
        """
        try:
            if self._told is None:
                return decode(self.outputs, returned)
            values = tuple(
                [word.read(returned[32 * at : 32 * at + 32]) for at, word in enumerate(self._told)]
            )
            return (values,) if self._is_struct else values
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise Blind(f"chain: {self.name} returned {len(returned)} bytes that cannot be read") from error


@dataclass(frozen=True, slots=True)
class _Word:
    """A number of so many bits, which fills a word; `made` of it is what the type says."""

    bits: int
    is_signed: bool
    made: Callable[[int], int | str]
    number_of: Callable[[Any], int]

    def write(self, value: Any) -> bytes:
        return self._fitting(self.number_of(value)).to_bytes(32, "big", signed=self.is_signed)

    def read(self, word: bytes) -> int | str:
        if len(word) != 32:
            raise OverflowError
        return self.made(self._fitting(int.from_bytes(word, "big", signed=self.is_signed)))

    def _fitting(self, number: int) -> int:
        if (~number if number < 0 else number) >> (self.bits - self.is_signed):
            raise OverflowError
        return number


@lru_cache(maxsize=512)
def _words(types: tuple[str, ...]) -> tuple[_Word, ...] | None:
    """How to read values that fill a word each; None when one of them does not."""
    words = []
    for kind in types:
        found = _NUMBER.fullmatch(kind)
        if kind == "address":
            words.append(_Word(160, False, "0x{:040x}".format, _of_address))
        elif kind == "bool":
            words.append(_Word(1, False, bool, _of_bool))
        elif found:
            words.append(_Word(int(found[2]), found[1] == "int", int, _of_number))
        else:
            return None
    return tuple(words)


def _of_address(value: Any) -> int:
    if len(value) != 42 or value[:2] != "0x":
        raise ValueError
    return int.from_bytes(bytes.fromhex(value[2:]))


def _of_bool(value: Any) -> int:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _of_number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


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


@lru_cache(maxsize=65_536)
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
