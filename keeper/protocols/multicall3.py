"""Many view calls in one, at the address Multicall3 has on every chain.

Source: Multicall3 `aggregate3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols.methods import Method

MULTICALL3: Final = Address("0xcA11bde05977b3631167028862bE2a173976CA11")
_AGGREGATE: Final = Method("aggregate3", ("(address,bool,bytes)[]",), ("(bool,bytes)[]",))


def together(calls: Sequence[Call]) -> Call:
    """One call that makes all of them; none fails the others."""
    return Call(MULTICALL3, _AGGREGATE.call([(call.to, True, call.data) for call in calls]))


def apart(returned: bytes) -> list[bytes | None]:
    """What each call returned, None where it reverted."""
    (answers,) = _AGGREGATE.read(returned)
    return [data if success else None for success, data in answers]
