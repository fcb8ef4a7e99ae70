"""The keeper beside models of how others send, as the table of docs/scorecard.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "I1": "carried out twice",
    "I2": "never carried out",
    "I3": "nonce or pool jammed",
    "I4": "overpaid",
}
"""What can be asked of those who keep no journal."""


def table(result: Mapping[str, Mapping[str, Any]]) -> str:
    """In how many episodes of a hundred each went wrong, and how; and its seconds to recover in the others."""
    heads = ["", "all well", *COLUMNS.values(), "recovery, p50 and p95"]
    lines = [heads, ["---", *["--:" for _ in heads[1:]]]]
    for name, each in result.items():
        episodes = each["episodes"]
        shares = [each["violations"][column] for column in COLUMNS]
        took = each["recovery_s"]
        if not episodes:
            continue
        lines.append(
            [
                name,
                _share(episodes - len(each["seeds_failed"]), episodes),
                *(_share(count, episodes) for count in shares),
                f"{took['p50']:.1f} s, {took['p95']:.1f} s",
            ]
        )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} %"
