"""Compile the deployable contracts into the JSON the package ships, or check that it is what they give.

A keeper in production needs no compiler: it reads `keeper/contracts/<Name>.json`.

Assumes: a file named CamelCase.vy anywhere under `contracts/` deploys, and its name is its own.
Source: Vyper's `layout` output says where each immutable lies in the words that the constructor appends to
the runtime code.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts"
SHIPPED = ROOT / "keeper" / "contracts"
FORMATS = ["abi", "bytecode", "bytecode_runtime", "layout", "integrity"]


def deployable(sources: Path = SOURCES) -> dict[str, Path]:
    """Every deployable contract's source by name; ValueError when two share one."""
    found: dict[str, Path] = {}
    for path in sorted(sources.rglob("*.vy")):
        if re.fullmatch(r"[A-Z][A-Za-z0-9]*", path.stem) is None:
            continue
        if path.stem in found:
            raise ValueError(f"contracts: {path.stem} is both {found[path.stem]} and {path}")
        found[path.stem] = path
    return found


def immutables(layout: dict[str, Any], module: str = "") -> list[dict[str, Any]]:
    """Vyper's nested code layout as one list in byte order: name (`module.NAME`), type, offset, length."""
    found: list[dict[str, Any]] = []
    for name, inside in layout.items():
        if isinstance(inside.get("offset"), int):
            found.append({"name": module + name, **{k: inside[k] for k in ("type", "offset", "length")}})
        else:
            found += immutables(inside, f"{module}{name}.")
    return sorted(found, key=lambda word: int(word["offset"]))


def artifact(path: Path) -> dict[str, Any]:
    """What ships of one contract.

    `bytecode` is the init code without constructor arguments. What a chain stores is `runtime` followed by
    the words of `immutables`, so a deployed contract is compared over `runtime` and read after it.
    `source_hash` is Vyper's integrity sum, which covers every module and interface imported.
    """
    # The compiler takes a second to import, and `ape run` imports every script to list it.
    import vyper  # noqa: PLC0415
    from vyper.compiler.input_bundle import FilesystemInputBundle  # noqa: PLC0415
    from vyper.warnings import warnings_filter  # noqa: PLC0415

    # Later places win: a module of ours is never shadowed by one that is installed.
    bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), ROOT])
    with warnings_filter("error"):
        made = vyper.compile_from_file_input(
            bundle.load_file(path), input_bundle=bundle, output_formats=FORMATS
        )
    return {
        "name": path.stem,
        "compiler": f"vyper {vyper.__version__}",
        "source_hash": made["integrity"],
        "immutables": immutables(made["layout"].get("code_layout", {})),
        "abi": made["abi"],
        "bytecode": made["bytecode"],
        "runtime": made["bytecode_runtime"],
    }


def text_of(shipped: dict[str, Any]) -> str:
    """The artifact as it stands in its file: the same bytes for the same source, on every machine."""
    return json.dumps(shipped, indent=1, ensure_ascii=True) + "\n"


def differences(sources: Path = SOURCES, shipped: Path = SHIPPED) -> list[str]:
    """One sentence for each artifact that is missing, stale, or without a source; empty when all match."""
    wanted = deployable(sources)
    found = []
    for name, path in wanted.items():
        file = shipped / f"{name}.json"
        if not file.is_file():
            found.append(f"contracts: {name} has no artifact, run `make contracts`")
        elif file.read_text(encoding="utf-8") != text_of(artifact(path)):
            found.append(f"contracts: {name}.json is not what {path.name} compiles to, run `make contracts`")
    found += [
        f"contracts: {file.name} has no source under {sources.name}/"
        for file in sorted(shipped.glob("*.json"))
        if file.stem not in wanted
    ]
    return found


def write(sources: Path = SOURCES, shipped: Path = SHIPPED) -> list[Path]:
    """Compile everything, then write what changed; returns the files written."""
    texts = {shipped / f"{name}.json": text_of(artifact(path)) for name, path in deployable(sources).items()}
    shipped.mkdir(exist_ok=True)
    changed = [f for f, text in texts.items() if not f.is_file() or f.read_text(encoding="utf-8") != text]
    for file in changed:
        file.write_text(texts[file], encoding="utf-8")
    return changed


def main() -> int:
    """Write the artifacts, or with `--check` say which differ; the exit status is 1 when any does."""
    parser = argparse.ArgumentParser(description="compile contracts/ into keeper/contracts/*.json")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file would change")
    if not parser.parse_args().check:
        for file in write():
            print(file.relative_to(ROOT))
        return 0
    found = differences()
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
