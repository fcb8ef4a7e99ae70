"""`keeper data` on the devnet: feeds, pools and base fees become the planner's files, and say where they are from."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import cli
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History, read_history

BAR = 600
PRICES = (1_990.0, 1_900.0, 2_100.5, 2_050.0)


def told(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["data", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def at_next_bar(world: World, into: int = 60) -> int:
    """The head comes to stand `into` a fresh bar; when that bar began."""
    begins = (world.node.head().timestamp // BAR + 1) * BAR
    world.mine_at(begins + into)
    return begins


def check_provenance(path: Path, world: World, said: dict[str, Any], kind: str) -> None:
    beside = json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))
    assert beside == said
    assert beside["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (beside["from"], beside["chain"]) == (kind, world.chain_id)


def _iso(moment: int) -> str:
    return str(np.datetime64(moment, "s"))


def test_a_feed__by_its_rounds__becomes_bars_that_a_backtest_takes(world: World, tmp_path: Path) -> None:
    path, begins = tmp_path / "feed.csv", []
    for price in PRICES:
        begins.append(at_next_bar(world))
        world.set_price("WETH", price)
        world.mine(120)
        world.set_price("WETH", price + 10)
    at_next_bar(world)
    since = ["--from", _iso(begins[0])]
    said = told(
        "feed", world.weth.feed, "--url", world.node.url, "--bar", str(BAR), *since, "--out", str(path)
    )
    bars = read_history(path)
    assert bars.time.tolist() == begins[1:], "the first began before the first answer asked for"
    assert bars.open.tolist() == [price + 10 for price in PRICES[:-1]], "what stood as each began"
    assert bars.close.tolist() == [price + 10 for price in PRICES[1:]]
    assert bars.low.tolist() == [1_900.0, 1_910.0, 2_050.0]
    assert bars.high.tolist() == [2_000.0, 2_110.5, 2_110.5]
    check_provenance(path, world, said, "feed")
    assert said["contract"] == world.weth.feed
    assert re.fullmatch(rf"rounds \d+ to \d+ of {world.weth.feed}", said["notes"][0])
    done = CliRunner().invoke(
        cli,
        ["backtest", "basket", "--prices", str(path), "--target", "0.5", "--trigger", "0.01", "--json"],
        catch_exceptions=False,
    )
    assert json.loads(done.stdout)["bars"] == len(bars)


def test_bars__with_base_fees__have_the_mean_of_their_blocks(world: World, tmp_path: Path) -> None:
    begins = [at_next_bar(world)]
    world.set_price("WETH", 2_000)
    fees: list[list[float]] = []
    for gwei in (20, 50, 10):
        begins.append(at_next_bar(world))
        world.mine(30, blocks=3, base_fee=gwei * 10**9)
        world.set_price("WETH", 2_000 + gwei)
        last = world.node.head().number
        headers = [world.node.block(number) for number in range(last - 8, last + 1)]
        fees.append([each.base_fee / 1e9 for each in headers if each.timestamp >= begins[-1]])
    at_next_bar(world)
    plain, whole = tmp_path / "feed.csv", tmp_path / "with_gas.csv.gz"
    asked = ["--url", world.node.url, "--out"]
    told("feed", world.weth.feed, "--bar", str(BAR), "--from", _iso(begins[0]), *asked, str(plain))
    said = told("gas", str(plain), *asked, str(whole))
    bars = read_history(whole)
    assert bars.gas_gwei is not None
    assert bars.gas_gwei.tolist() == pytest.approx([sum(each) / len(each) for each in fees])
    assert gzip.decompress(whole.read_bytes()).startswith(b"open_time,open,high,low,close,gas_gwei\n")
    check_provenance(whole, world, said, "base fees")
    assert said["sha256_of_source"] == hashlib.sha256(plain.read_bytes()).hexdigest()


@pytest.fixture
def traded(world: World) -> list[tuple[int, float]]:
    """The pool, brought to a price in each of some bars: when each began, and its price as the pool then had it."""
    found = []
    for price in PRICES:
        begins = at_next_bar(world)
        world.set_price("WETH", price)
        move_pool_to(world)
        raw = (world.pool_sqrt_price() / 2**96) ** 2
        found.append((begins, (raw if world.weth_is_token0 else 1 / raw) * 10**12))
    at_next_bar(world)
    return found


def pool_words(world: World, path: Path, since: int, *more: str) -> list[str]:
    inverted = [] if world.weth_is_token0 else ["--invert"]
    return [
        "pool", world.pool, "--url", world.node.url, "--bar", str(BAR), "--from", _iso(since), "--out", str(path),
        *inverted, *more,
    ]  # fmt: skip


def test_a_pool__by_its_swaps__becomes_bars_with_volume_and_liquidity(
    world: World, traded: list[tuple[int, float]], tmp_path: Path
) -> None:
    path = tmp_path / "pool.csv"
    held = world.balance("USDC", world.pool)
    said = told(*pool_words(world, path, traded[0][0]))
    bars = read_history(path)
    assert bars.time.tolist() == [begins for begins, _ in traded[1:]]
    assert bars.close.tolist() == pytest.approx([price for _, price in traded[1:]], rel=1e-12)
    assert bars.open[1:].tolist() == bars.close[:-1].tolist()
    assert bars.volume is not None
    assert bars.liquidity is not None
    assert held > 0
    assert (bars.volume > 1_000).all()
    raw = world.call(world.pool, "liquidity()", "(uint128)")[0]
    assert bars.liquidity[-1] == pytest.approx(raw / 10**12), "18 and 6 decimals, by the root of both"
    check_provenance(path, world, said, "pool")
    assert said["pair"] == "WETH/USDC at 0.05 %"
    done = CliRunner().invoke(
        cli, ["backtest", "range", "--prices", str(path), "--width", "1.2", "--json"], catch_exceptions=False
    )
    assert json.loads(done.stdout)["earned_bps"] > 0, "by the file's own volume and liquidity"


def test_a_pool__the_other_way_round__has_the_inverse_prices(
    world: World, traded: list[tuple[int, float]], tmp_path: Path
) -> None:
    paths = tmp_path / "one.csv", tmp_path / "other.csv"
    for path in paths:
        words = pool_words(world, path, traded[0][0])
        if path is paths[1]:
            words = [word for word in words if word != "--invert"] + ["--invert"] * world.weth_is_token0
        told(*words)
    one, other = map(read_history, paths)
    assert (one.close * other.close).tolist() == pytest.approx([1.0] * len(one))


def test_a_pool__by_its_means__agrees_with_the_time_each_price_stood(
    world: World, traded: list[tuple[int, float]], tmp_path: Path
) -> None:
    world.send(world.roles.deployer, world.pool, "increaseObservationCardinalityNext(uint16)", 50)
    for price in (1_950.0, 2_020.0):
        at_next_bar(world)
        world.set_price("WETH", price)
        move_pool_to(world)
    begins = at_next_bar(world)
    swaps, means = tmp_path / "swaps.csv", tmp_path / "means.csv"
    told(*pool_words(world, swaps, traded[0][0]))
    said = told(*pool_words(world, means, begins - 2 * BAR, "--means"))
    bars, exact = read_history(means), read_history(swaps)
    assert bars.time.tolist() == [begins - 2 * BAR, begins - BAR]
    between = {
        int(when): (low, high) for when, low, high in zip(exact.time, exact.low, exact.high, strict=True)
    }
    for when, mean in zip(bars.time, bars.close, strict=True):
        low, high = between[int(when)]
        assert low * 0.9998 <= mean <= high * 1.0002, "within a tick of what was paid"
    assert any("extremes within a bar are not known" in note for note in said["notes"])


def test_a_file__imported__is_the_same_history_with_its_source_beside_it(tmp_path: Path) -> None:
    path, out = tmp_path / "vendor.csv", tmp_path / "mine.csv"
    path.write_text("date,price,junk\n2024-01-01 00:00,10,a\n2024-01-01 01:00,11,b\n2024-01-01 02:00,9,c\n")
    said = told("import", str(path), "--out", str(out))
    one, other = read_history(path), read_history(out)
    for field in ("time", "open", "high", "low", "close"):
        assert getattr(one, field).tolist() == getattr(other, field).tolist()
    assert said["name"] == "vendor.csv"
    assert said["notes"] == ["its times carry no zone and are taken for UTC (date)"]


def test_a_parquet_file__imported__becomes_csv(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "vendor.parquet"
    pq.write_table(pa.table({"time": [0, 3600, 7200], "close": [1.0, 2.0, 1.5]}), path)
    told("import", str(path), "--out", str(tmp_path / "mine.csv"))
    found: History = read_history(tmp_path / "mine.csv")
    assert found.close.tolist() == [1.0, 2.0, 1.5]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["feed", "0x12"], "data: 0x12 is not an address"),
        (["feed", "{usdc}"], "answers no latestRoundData() and decimals(); is it a feed?"),
        (["pool", "{usdc}"], "is no Uniswap V3 pool"),
        (["feed", "{feed}", "--bar", "31536000"], "whole bars of 31536000 s, and a history needs 2"),
        (
            ["pool", "{pool}", "--from", "2090-01-01"],
            "data: the chain has no block between the moments asked for",
        ),
        (["pool", "{pool}", "--means", "--bar", "31536000"], "less than two bars of 31536000 s"),
        (["feed", "{feed}", "--from", "soon"], "'soon' is no time to cut a chain at"),
    ],
)
def test_a_chain__that_has_no_such_history__is_one_sentence(
    world: World, tmp_path: Path, words: list[str], sentence: str
) -> None:
    places = {"{usdc}": world.usdc.token, "{feed}": world.weth.feed, "{pool}": world.pool}
    asked = [places.get(word, word) for word in words]
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(cli, ["data", *asked, "--url", world.node.url, "--out", str(out)])
    assert isinstance(done.exception, Misconfigured)
    assert sentence in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_feed__that_answered_what_cannot_be__names_the_round(world: World, tmp_path: Path) -> None:
    world.send(world.roles.deployer, world.weth.feed, "set(int256)", -5)
    words = ["data", "feed", world.weth.feed, "--url", world.node.url, "--out", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(cli, words)
    assert re.match(
        rf"data: round \d+ of {world.weth.feed} answers -5 at \d+, which cannot be", str(done.exception)
    )


def test_a_file__to_nowhere_or_of_another_kind__is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "vendor.csv"
    path.write_text("time,price\n0,10\n3600,11\n")
    for out, sentence in (
        ("x.parquet", "must end in .csv or .csv.gz"),
        ("vendor.csv/x.csv", "cannot be written"),
    ):
        done = CliRunner().invoke(cli, ["data", "import", str(path), "--out", str(tmp_path / out)])
        assert sentence in str(done.exception)
