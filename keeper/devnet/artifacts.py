"""Compiled contracts as Hardhat and solc write them: creation code with holes for libraries, and a constructor.

Source: Hardhat's artifact format v1; `linkReferences` counts bytes of the creation code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.devnet.anvil import node_modules
from keeper.domain.errors import Misconfigured
from keeper.domain.units import Address


@dataclass(frozen=True, slots=True)
class Compiled:
    """Creation code in hex without `0x`, the constructor's types, and at which bytes each library's address goes."""

    name: str
    code: str
    constructor: tuple[str, ...]
    links: Mapping[str, tuple[int, ...]]

    def linked(self, libraries: Mapping[str, Address]) -> str:
        """The creation code with every library's address in its places; a missing library is an error."""
        if not self.links:
            return self.code
        code = list(self.code)
        for library, offsets in self.links.items():
            if library not in libraries:
                raise Misconfigured(f"devnet: {self.name} needs the library {library}, which is not deployed")
            for offset in offsets:
                code[2 * offset : 2 * offset + 40] = libraries[library][2:].lower()
        return "".join(code)


Load = Callable[[str], Compiled]
"""Finds a compiled contract by its name."""


def compiled(name: str, content: Mapping[str, Any]) -> Compiled:
    """One contract out of an artifact's `abi`, `bytecode` and `linkReferences`."""
    inputs = next((entry["inputs"] for entry in content["abi"] if entry["type"] == "constructor"), ())
    return Compiled(
        name=name,
        code=content["bytecode"].removeprefix("0x"),
        constructor=tuple(_abi_type(argument) for argument in inputs),
        links={
            library: tuple(place["start"] for place in places)
            for libraries in content["linkReferences"].values()
            for library, places in libraries.items()
        },
    )


def _abi_type(argument: Mapping[str, Any]) -> str:
    written: str = argument["type"]
    if not written.startswith("tuple"):
        return written
    return f"({','.join(_abi_type(part) for part in argument['components'])}){written[5:]}"


def from_package(package: str, folders: Mapping[str, str]) -> Load:
    """Loads the contracts an npm package ships compiled: `folders` says in which folder each lies."""
    root = node_modules() / package / "artifacts" / "contracts"

    def load(name: str) -> Compiled:
        path = root / folders[name] / f"{name}.sol" / f"{name}.json"
        return compiled(name, read_json(path))

    return load


def read_json(path: Path) -> Any:
    """A JSON file; one that is missing says how to get it."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Misconfigured(f"devnet: {path} is missing; run `npm ci` in the project's folder") from None
    except ValueError as error:
        raise Misconfigured(f"devnet: {path} is not JSON ({error}); run `npm ci` again") from error
