"""Named steps at which a test may kill the keeper, as `kill -9` would.

With `KEEPER_CRASH_AT=after_sign` in its environment the process ends at that step with status 137: no handler, no
flush and no rollback runs. Unset, as always outside tests, a step costs one look into the environment.
"""

from __future__ import annotations

import os
from typing import Final, Literal

VARIABLE: Final = "KEEPER_CRASH_AT"

Name = Literal[
    "after_sign",
    "after_intent",
    "after_send",
    "after_broadcast",
    "after_included",
    "after_final",
    "after_bump_sign",
    "after_bump_attempt",
    "after_bump_send",
    "after_cancel_sign",
    "after_cancel_attempt",
    "after_cancel_send",
]
"""In the order of a flight: the bytes exist in memory; intent, nonce and bytes are durable; the node was asked; its
answer is durable; a receipt is durable; the end is durable. Then the same of a replacement and of a cancellation."""


def reach(name: Name) -> None:
    """End the process here if the environment says so."""
    if os.environ.get(VARIABLE) == name:
        os._exit(137)
