"""Many view calls in one, at the address Multicall3 has on every chain.

Source: Multicall3 `aggregate3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols.methods import Method

MULTICALL3: Final = Address("0xcA11bde05977b3631167028862bE2a173976CA11")
_WORD: Final = 32
_AGGREGATE: Final = Method("aggregate3", ("(address,bool,bytes)[]",), ("(bool,bytes)[]",))


def together(calls: Sequence[Call]) -> Call:
    """One call that makes all of them; none fails the others.

    Written by hand, like its reading, because the ABI codec takes ten times as long and a turn waits for it thrice.
    """
    places, tuples = [], []
    at = len(calls) * _WORD
    for call in calls:
        data = call.data
        padded = data + bytes(-len(data) % _WORD)
        heads = map(_word, (int(call.to, 16), 1, 3 * _WORD, len(data)))
        tuples.append(b"".join((*heads, padded)))
        places.append(_word(at))
        at += 4 * _WORD + len(padded)
    heads = map(_word, (_WORD, len(calls)))
    return Call(MULTICALL3, b"".join((_AGGREGATE.selector, *heads, *places, *tuples)))


def apart(returned: bytes, count: int) -> list[bytes | None]:
    """What each of `count` calls returned, None where it reverted; `Blind` when it is not what Multicall3 returns."""
    array = _number(returned, 0)
    if _number(returned, array) != count:
        raise _unreadable(returned)
    first = array + _WORD
    answers: list[bytes | None] = []
    for n in range(count):
        at = first + _number(returned, first + n * _WORD)
        success, start = _number(returned, at), at + _number(returned, at + _WORD)
        end = start + _WORD + _number(returned, start)
        if success > 1 or end > len(returned):
            raise _unreadable(returned)
        answers.append(returned[start + _WORD : end] if success else None)
    return answers


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big")


def _number(returned: bytes, at: int) -> int:
    word = returned[at : at + _WORD]
    if len(word) != _WORD:
        raise _unreadable(returned)
    return int.from_bytes(word, "big")


def _unreadable(returned: bytes) -> Blind:
    return Blind(f"chain: {_AGGREGATE.name} returned {len(returned)} bytes that cannot be read")
