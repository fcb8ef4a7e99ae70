"""The keeper's own contracts as compiled: what a keeper in production needs instead of a compiler.

Source: contracts/*.vy through scripts/compile_contracts.py; tests/house proves the two match.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract's ABI, its creation code, and the runtime code before immutables are appended."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes


def load(name: str) -> Artifact:
    """The artifact of a contract that ships with the package; `FileNotFoundError` for any other."""
    content = json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name=name,
        abi=content["abi"],
        bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
        runtime=bytes.fromhex(content["runtime"].removeprefix("0x")),
    )
