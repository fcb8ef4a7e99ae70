"""`keeper data`: histories for the planner, from a chain or a file, with where they are from beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keeper.domain.errors import Misconfigured
from keeper.planning.options import SETTINGS, Column, Json

if TYPE_CHECKING:
    from keeper.chain.node import Node
    from keeper.domain.units import Address
    from keeper.planner.bars import History

data = typer.Typer(help="Make histories that plan and backtest take, from a chain or a file.", **SETTINGS)

Url = Annotated[str, typer.Option(envvar="KEEPER_RPC_URL", help="A node's HTTP address.")]
To = Annotated[Path, typer.Option("--out", help="The file to write, .csv or .csv.gz.")]
Bar = Annotated[int, typer.Option("--bar", help="Seconds of a bar.", min=1)]
Begin = Annotated[
    str | None, typer.Option("--from", help="The first moment, such as 2026-03-12; all by default.")
]
End = Annotated[str | None, typer.Option("--to", help="The last one; a bare date takes its whole day in.")]
Standing = Annotated[
    bool, typer.Option("--standing", help="Write bars without news too, at the price that stood.")
]


@data.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Bars, CSV or Parquet.")],
    out: To,
    column: Column = None,
    start: Begin = None,
    end: End = None,
    as_json: Json = False,
) -> None:
    """Bars of a file, judged row by row and written as the planner has them.

    Example: keeper data import prices.parquet --out eth.csv --from 2022-01-01
    """
    from keeper.archive.written import digest_of
    from keeper.planner.bars import read_history

    source = {"from": "file", "name": file.name, "sha256_of_source": digest_of(file), "column": column}
    _write(read_history(file, start, end, column), out, source, as_json)


@data.command("feed")
def feed(
    contract: Annotated[str, typer.Argument(help="A Chainlink aggregator's address, or its proxy's.")],
    out: To,
    url: Url,
    bar: Bar = 3600,
    start: Begin = None,
    end: End = None,
    standing: Standing = False,
    as_json: Json = False,
) -> None:
    """Bars of a feed's rounds.

    Example: keeper data feed 0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419 --url https://node.example
    --out eth.csv --from 2023-01-01
    """
    from dataclasses import replace

    from keeper.archive.feeds import rounds
    from keeper.archive.samples import bars_of

    node, at = _node(url), _address(contract)
    begin, until = _moments(start, end)
    head = node.head()
    samples, notes = rounds(node, at, begin, head)
    upto = head.timestamp if until is None else min(until + 1, head.timestamp)
    history = bars_of(f"feed {at}", samples, bar, upto, standing)
    source = {"from": "feed", "contract": at, **_chain(node), "block": head.number, "hash": head.hash}
    _write(replace(history, notes=(*notes, *history.notes)), out, source, as_json)


@data.command("pool")
def pool(
    contract: Annotated[str, typer.Argument(help="A Uniswap V3 pool's address.")],
    out: To,
    url: Url,
    bar: Bar = 3600,
    start: Begin = None,
    end: End = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Price token1 in token0, and not token0 in token1.")
    ] = False,
    means: Annotated[
        bool, typer.Option("--means", help="By the means that the pool remembers, and not by its swaps.")
    ] = False,
    standing: Standing = False,
    as_json: Json = False,
) -> None:
    """Bars of a pool's swaps, with volume and liquidity, or of its own mean prices.

    Example: keeper data pool 0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640 --url https://node.example
    --out pool.csv --bar 3600
    """
    from dataclasses import replace

    from keeper.archive import pools
    from keeper.archive.samples import bars_of
    from keeper.archive.spans import span_of

    node, at = _node(url), _address(contract)
    begin, until = _moments(start, end)
    first, last, head = span_of(node, begin, until)
    found = pools.pool_of(node, at, invert, head)
    if means:
        if end is not None or standing:
            raise Misconfigured("data: a pool's means end at the newest block and leave nothing out")
        history = pools.means(node, found, bar, begin, head)
    else:
        samples, notes = pools.swaps(node, found, first, last)
        upto = head.timestamp if until is None else min(until + 1, head.timestamp)
        history = bars_of(found.name, samples, bar, upto, standing)
        history = replace(history, notes=(*notes, *history.notes))
    source = {
        "from": "pool",
        "contract": at,
        "pair": found.name,
        **_chain(node),
        "block": head.number,
        "hash": head.hash,
    }
    _write(history, out, source, as_json)


@data.command("gas")
def gas(
    file: Annotated[Path, typer.Argument(help="The bars that are to have a base fee each, CSV or Parquet.")],
    out: To,
    url: Url,
    column: Column = None,
    as_json: Json = False,
) -> None:
    """The same bars, each with the chain's mean base fee.

    Example: keeper data gas eth.csv --url https://node.example --out eth-gas.csv
    """
    from keeper.archive.gas import with_base_fees
    from keeper.archive.written import digest_of
    from keeper.planner.bars import read_history

    node = _node(url)
    source = {"from": "base fees", "name": file.name, "sha256_of_source": digest_of(file), **_chain(node)}
    _write(with_base_fees(node, read_history(file, column=column)), out, source, as_json)


def _write(history: History, out: Path, source: dict[str, Any], as_json: bool) -> None:
    import json

    from keeper.archive.written import provenance_of, write_history

    told = write_history(history, out, source)
    if as_json:
        print(json.dumps(told))
        return
    print(f"{out}: {told['bars']} bars of {told['seconds']} s, {told['first']} to {told['last']}")
    for note in told["notes"]:
        print(f"note: {note}")
    print(f"{provenance_of(out)} says where it is from")


def _node(url: str) -> Node:
    from keeper.chain.node import Node

    return Node(url, timeout=60.0)


def _chain(node: Node) -> dict[str, Any]:
    """Which chain it is, and not the node's address, which may hold a secret."""
    return {"chain": node.ask_number("eth_chainId"), "node": node.name}


def _address(text: str) -> Address:
    from eth_utils.address import is_address

    from keeper.protocols.methods import address

    if not is_address(text):
        raise Misconfigured(f"data: {text} is not an address")
    return address(text)


def _moments(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    from datetime import time

    from keeper.planner.bars import instant

    return (
        None if start is None else instant(start, "a chain", time.min),
        None if end is None else instant(end, "a chain", time.max),
    )
