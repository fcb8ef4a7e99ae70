"""From a block to the bytes a node accepted, many loans watched and one of them newly below its floor.

The driver is a third process beside the node and the watcher, with its own subscription to both ends: the block is
there when the node says so to the driver, in a head pushed or in the answer to `evm_mine`, whichever it hears first;
the transaction is accepted when the node tells the driver of it. Every watcher starts from the same state and sees the
same prices: each block moves oracle and pool down by a quarter of a per cent, past the floor of one more loan. Its
action is mined in a block of its own before the next.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from statistics import median
from typing import IO, Any, Final

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench.read_loans import AGGREGATE3
from bench.rows import Row
from bench.stage import open_crowd, pool_abi, raised
from keeper import contracts
from keeper.devnet.actors import Arbitrageur
from keeper.devnet.transactions import calldata, offer, receipts
from keeper.devnet.world import BLOCK_SECONDS, World
from keeper.domain.units import GWEI, HEALTH_WAD_PER_BPS, Address

GOAL_MS: Final = 25.0
KEEPERS: Final = {"keeper": "keeper.cli", "unmirrored": "bench.unmirrored"}
LOANS: Final = 100
_STEP: Final = 0.9975
_HEALTH: Final = 1.5
_TARGET_BPS: Final = 17_000
_FAR_BPS: Final = 10_500
_WARM_UP: Final = 2
_PAUSE_SECONDS: Final = 0.2
_PATIENCE_SECONDS: Final = 600.0
_KEEPER_KEY: Final = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"


def turn_100_loans(quick: bool) -> list[Row]:
    """Milliseconds from block to acceptance: the median with its peers, and the 95th percentile."""
    blocks, peer_blocks = (4, 1) if quick else (40, 12)
    with raised() as world, tempfile.TemporaryDirectory(prefix="keeper-bench-") as folder:
        floors = [round(_HEALTH * _STEP ** (at + 0.5) * 10_000) for at in range(LOANS)]
        owners = open_crowd(world, 10, [_HEALTH] * LOANS, floors, _TARGET_BPS)
        world.automine(False)
        stage = Stage(world, owners, dict(zip(owners, floors, strict=True)), Path(folder))
        keeper = stage.measured("keeper", blocks)
        loop = stage.measured("loop", peer_blocks)
        multicall = stage.measured("multicall", peer_blocks)
    peers = {"web3.py bot, call by call": loop, "web3.py bot, Multicall3": multicall}
    return [
        Row(
            "turn_100_loans_ms",
            median(keeper),
            "ms",
            GOAL_MS,
            {name: median(figures) for name, figures in peers.items()},
        ),
        Row(
            "turn_100_loans_p95_ms",
            p95(keeper),
            "ms",
            None,
            {name: p95(figures) for name, figures in peers.items()},
        ),
    ]


def block_to_accepted_10000(quick: bool) -> list[Row]:
    """The same with ten thousand loans watched, all but a hundred of them far above their floors."""
    count, blocks, peer_blocks = (300, 3, 1) if quick else (10_000, 24, 3)
    with raised() as world, tempfile.TemporaryDirectory(prefix="keeper-bench-") as folder:
        near = [round(_HEALTH * _STEP ** (at + 0.5) * 10_000) for at in range(LOANS)]
        floors = [*near, *[_FAR_BPS] * (count - LOANS)]
        owners = open_crowd(world, 5, [_HEALTH] * count, floors, _TARGET_BPS)
        world.automine(False)
        stage = Stage(world, owners, dict(zip(owners, floors, strict=True)), Path(folder))
        keeper = stage.measured("keeper", blocks)
        peers = {
            "every loan read": stage.measured("unmirrored", peer_blocks),
            "web3.py bot, Multicall3": stage.measured("multicall", peer_blocks),
        }
    return [
        Row(
            "block_to_accepted_ms_n10000",
            median(keeper),
            "ms",
            GOAL_MS,
            {name: median(figures) for name, figures in peers.items()},
        ),
        Row(
            "block_to_accepted_p95_ms_n10000",
            p95(keeper),
            "ms",
            None,
            {name: p95(figures) for name, figures in peers.items()},
        ),
    ]


def p95(figures: Sequence[float]) -> float:
    """The smallest figure that at least 95 of 100 do not exceed."""
    return sorted(figures)[math.ceil(len(figures) * 0.95) - 1]


@dataclass(frozen=True, slots=True)
class Stage:
    """A chain with the loans on it, to which it returns after every watcher."""

    world: World
    owners: Sequence[Address]
    floors_bps: dict[Address, int]
    folder: Path

    def measured(self, watcher: str, blocks: int) -> list[float]:
        """Milliseconds of each block with this watcher, the first few left out."""
        before = self.world.snapshot()
        try:
            with Ears(self.world.url.replace("http", "ws")) as ears, self._running(watcher) as told:
                drive = Drive(self.world, self.owners, ears, told)
                return [drive.block(n) for n in range(_WARM_UP + blocks)][_WARM_UP:]
        finally:
            self.world.node.ask("anvil_dropAllTransactions")
            self.world.revert(before)

    @contextmanager
    def _running(self, watcher: str) -> Iterator[Told]:
        command = [sys.executable, "-m"]
        if watcher in KEEPERS:
            command += [KEEPERS[watcher], "run", "--json", "--config", str(self._keeper_toml(watcher))]
        else:
            command += ["bench.web3_bot", str(self._watch_json(by_multicall=watcher == "multicall"))]
        log = self.folder / f"{watcher}.log"
        environment = {**os.environ, "KEEPER_KEY": _KEEPER_KEY}
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            assert process.stdout is not None
            yield Told(process.stdout, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keeper_toml(self, watcher: str) -> Path:
        """With a journal of its own: what another wrote down is of blocks that were taken back."""
        world, file = self.world, self.folder / f"{watcher}.toml"
        file.write_text(
            f'[chain]\nid = {world.chain_id}\nurl = "{world.url}"\n'
            f'heads = "{world.url.replace("http", "ws")}"\n'
            f'[journal]\npath = "{watcher}.db"\n'
            f'[[watch]]\nthresholds = "{world.thresholds}"\nowners = {json.dumps(list(self.owners))}\n',
            encoding="utf-8",
        )
        return file

    def _watch_json(self, by_multicall: bool) -> Path:
        world, file = self.world, self.folder / "watch.json"
        content = {
            "url": world.url,
            "floors_bps": self.floors_bps,
            "aave": world.aave.pool,
            "aave_abi": pool_abi(),
            "thresholds": world.thresholds,
            "thresholds_abi": contracts.load("LoanThresholds").abi,
            "multicall": world.multicall,
            "multicall_abi": AGGREGATE3,
            "by_multicall": by_multicall,
        }
        file.write_text(json.dumps(content), encoding="utf-8")
        return file


class Told:
    """What a watcher says on its standard output: a line of JSON for every block it has attended."""

    def __init__(self, lines: IO[str], log: Path) -> None:
        self._log = log
        self._told: Queue[dict[str, Any] | None] = Queue()
        self._thread = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._thread.start()

    def about(self, block: int) -> dict[str, Any]:
        """Wait until the watcher is done with a block."""
        while True:
            try:
                told = self._told.get(timeout=_PATIENCE_SECONDS)
            except Empty:
                told = None
            assert told is not None, (
                f"the watcher never spoke of block {block}: {self._log.read_text()[-800:]}"
            )
            if told["block"] >= block:
                return told

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._told.put(json.loads(line))
        self._told.put(None)


class Ears:
    """The driver's own subscriptions to heads and to accepted transactions, each with the time it was heard."""

    def __init__(self, url: str) -> None:
        self.heads: dict[int, float] = {}
        self.accepted: Queue[tuple[str, float]] = Queue()
        self._socket = connect(url, proxy=None, compression=None)
        self._kinds: dict[str, str] = {}
        for kind in ("newHeads", "newPendingTransactions"):
            order = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": [kind]}
            self._socket.send(json.dumps(order))
            self._kinds[json.loads(self._socket.recv())["result"]] = kind
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Ears:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(2.0)

    def _listen(self) -> None:
        try:
            for message in self._socket:
                now = time.perf_counter()
                told = json.loads(message)["params"]
                if self._kinds[told["subscription"]] == "newHeads":
                    self.heads[int(told["result"]["number"], 16)] = now
                else:
                    self.accepted.put((told["result"], now))
        except WebSocketException:
            return


class Drive:
    """Takes the chain from block to block for one watcher, which has seen the block it starts from."""

    def __init__(self, world: World, owners: Sequence[Address], ears: Ears, told: Told) -> None:
        self._world = world
        self._owners = owners
        self._ears = ears
        self._told = told
        self._arbitrageur = Arbitrageur(world)
        self._price = world.price("WETH")
        self._head = world.node.head()
        told.about(self._head.number)

    def block(self, n: int) -> float:
        """Put the n-th loan below its floor; milliseconds from that block to the transaction that repairs it."""
        self._fall(n)
        time.sleep(_PAUSE_SECONDS)
        self._forget_own()
        answered = self._mine()
        sent, accepted = self._ears.accepted.get(timeout=_PATIENCE_SECONDS)
        began = min(answered, self._ears.heads.get(self._head.number, answered))
        self._told.about(self._head.number)
        self._repaired(n, sent)
        return (accepted - began) * 1e3

    def _fall(self, n: int) -> None:
        world = self._world
        price = int(self._price * _STEP ** (n + 1))
        fee = world.node.head().base_fee
        move = offer(world.roles.deployer, world.weth.feed, calldata("set(int256)", price), GWEI, fee)
        trade = self._arbitrageur.offer(world.sqrt_price_at(price, world.price("USDC")), fee)
        assert trade is not None
        self._moves = world.node.ask_many([move, trade])

    def _forget_own(self) -> None:
        while not self._ears.accepted.empty():
            self._ears.accepted.get()

    def _mine(self) -> float:
        self._world.mine_at(self._head.timestamp + BLOCK_SECONDS)
        answered = time.perf_counter()
        self._head = self._world.node.head()
        return answered

    def _repaired(self, n: int, sent: str) -> None:
        """Mine the action, and see that it was the only one, the right one, and a success."""
        node, owner = self._world.node, self._owners[n]
        receipts(node, self._moves)
        assert node.ask("txpool_status")["pending"] == "0x1", (
            "one loan is below its floor, and one action due"
        )
        self._mine()
        self._told.about(self._head.number)
        receipts(node, [sent])
        health = self._world.account_data(owner).health
        target = _TARGET_BPS * HEALTH_WAD_PER_BPS
        assert abs(health - target) * 200 <= target, f"{owner} was left at a health of {health / 10**18}"
