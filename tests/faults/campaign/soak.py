"""`python -m tests.faults.campaign.soak --blocks 216000`: one keeper process under faults for as long as that takes.

The campaign asks what a fault breaks; this asks what many of them leave behind. Nobody kills the process: its memory
is to be flat once it has warmed up, its journal bounded by what keeper.toml says is kept, and chain and journal are to
tell the same of every nonce. Blocks come as soon as they are attended, twelve seconds apart by their own time.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from keeper.devnet.anvil import Anvil
from keeper.journal.annals import Annals
from tests.faults.campaign.crews import Crew
from tests.faults.campaign.draws import draw
from tests.faults.campaign.episode import mended, trouble
from tests.faults.campaign.faults import DEEPEST, WEIGHTS, Play
from tests.faults.campaign.orders import keeper_of_orders
from tests.faults.campaign.parties import SCORED
from tests.faults.campaign.pool import Pool
from tests.faults.campaign.works import KEEPER, KEEPER_KEY, Endless
from tests.faults.proxy import proxied

BUILD = Path(__file__).resolve().parents[3] / "build"
LIVED_THROUGH = {
    name: weight for name, weight in WEIGHTS.items() if name.split()[0] not in ("A1", "A7", "B5")
}
"""The faults that the process survives, and that leave the key to it."""
KEEP_BLOCKS = 500
ENDPOINTS = 3
PRUNED_EVERY = 1_000
_DAY_BLOCKS = 86_400 // 12
_MOST_GROWTH = 0.05
_SLACK_KIB = 4 * 1024
_SETTLING_SECONDS = 30.0


@dataclass(frozen=True)
class Sample:
    """After one round of orders: the newest block, the process's memory in KiB, the journal's size in bytes."""

    block: int
    rss_kib: int
    journal_bytes: int


def soak(blocks: int, seed: int) -> dict[str, Any]:
    """Rounds of faults and mending until the chain has grown by so many blocks; what came of it."""
    begun = time.monotonic()
    with _staged() as (staged, work):
        start = staged.chain.head().number
        samples: list[Sample] = []
        violations: list[str] = []
        faults = 0
        while (newest := staged.chain.head().number) < start + blocks:
            work.next_round()
            staged.chain.ask("anvil_mine", hex(DEEPEST + 1), "0xc")  # what was carried out before stays
            drawn = draw(seed + work.rounds, LIVED_THROUGH)
            drawn = replace(drawn, endpoints=ENDPOINTS, worst=drawn.seed % ENDPOINTS)
            staged.worst = staged.proxies[drawn.worst]
            faults += len(drawn.faults)
            trouble(staged, drawn)
            if mended(staged, SCORED["keeper"]) is None:
                violations.append(
                    f"round {work.rounds}: its orders were not carried out: {work.carried_out()}"
                )
                break
            violations += [
                f"round {work.rounds}: order {number} was carried out {times} times"
                for number, times in work.carried_out().items()
                if times != 1
            ]
            samples.append(_sample(staged))
        if staged.crew.starts != 1:
            violations.append(f"the process ended {staged.crew.starts - 1} times")
        journal = _journal(staged, _settle(staged), violations)
        if apart := work.apart():
            violations.append(f"ordered and counted are apart: {apart} after {work.rounds} rounds")
        code = staged.crew.end()
        if code != 0:
            violations.append(f"told to end, it ended with {code}")
    memory = memory_of(samples)
    if grown_too_much(memory):
        violations.append(f"memory grew by {memory['grown_kib']} KiB of {memory['warm_kib']}")
    lived = newest - start
    return {
        "seed": seed,
        "blocks": lived,
        "days": round(lived / _DAY_BLOCKS, 2),
        "rounds": work.rounds,
        "faults": faults,
        "seconds": round(time.monotonic() - begun, 1),
        "memory": memory,
        "journal": {**journal, "most_bytes": max((each.journal_bytes for each in samples), default=0)},
        "violations": violations,
    }


@contextmanager
def _staged() -> Iterator[tuple[Play, Endless]]:
    with ExitStack() as stack:
        chain = stack.enter_context(Anvil()).node
        work = Endless(chain, KEEP_BLOCKS)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="keeper-soak-")))
        opened = [stack.enter_context(proxied(chain.url)) for _ in range(ENDPOINTS)]
        work.prepare(folder, [url for _, url in opened])
        crew = Crew(keeper_of_orders, folder, {"KEEPER_KEY": KEEPER_KEY})
        stack.callback(crew.kill)
        proxies = [proxy for proxy, _ in opened]
        crew.start()
        yield Play(chain, work, crew, Pool(chain), proxies, proxies[0]), work


def _sample(staged: Play) -> Sample:
    status = Path(f"/proc/{staged.crew.pid}/status").read_text(encoding="ascii")
    (rss,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    files = staged.crew.folder.glob("keeper.db*")
    return Sample(staged.chain.head().number, int(rss), sum(file.stat().st_size for file in files))


def _settle(staged: Play) -> int:
    """Have all of it final, and the journal pruned by a turn at a block where that is due, which is told."""
    head = staged.chain.head().number
    due = -(-(head + 200) // PRUNED_EVERY) * PRUNED_EVERY
    for blocks in (due - head - 101, 100, 1, 1):
        staged.chain.ask("anvil_mine", hex(blocks), "0xc")
        staged.crew.attend(staged.chain.head().number, _SETTLING_SECONDS)
    return due


def _journal(staged: Play, pruned_at: int, violations: list[str]) -> dict[str, int]:
    """What is kept, and whether it is what the chain holds and no more than was said."""
    chain = staged.chain
    oldest = chain.block(pruned_at).timestamp - 2 * 86_400
    with Annals(staged.crew.folder / "keeper.db") as annals:
        flights = annals.actions()
        top = annals.top_nonce(chain.ask_number("eth_chainId"), KEEPER)
    used = chain.ask_number("eth_getTransactionCount", KEEPER, "latest")
    if top is None or used != top + 1:
        violations.append(f"the chain has used {used} nonces, and the journal's highest is {top}")
    for flight in flights:
        if not flight.state.ended:
            violations.append(f"nonce {flight.nonce} has not ended: {flight.why}")
        receipt = flight.receipt
        if receipt is not None and chain.block(receipt.block).hash != receipt.block_hash:
            violations.append(f"nonce {flight.nonce} is in block {receipt.block} by the journal alone")
    old = [flight for flight in flights if flight.intent.deadline < oldest]
    if old:
        violations.append(f"{len(old)} flights are kept that ended more than two days ago")
    quiet = "FROM turn WHERE hash NOT IN (SELECT decided_hash FROM intent)"
    with closing(sqlite3.connect(staged.crew.folder / "keeper.db")) as journal:
        ((turns,),) = journal.execute("SELECT count(*) FROM turn")
        ((old_turns,),) = journal.execute(
            f"SELECT count(*) {quiet} AND number < ?", [pruned_at - KEEP_BLOCKS]
        )
    if old_turns:
        violations.append(f"{old_turns} turns are kept that are older than {KEEP_BLOCKS} blocks")
    return {"turns": turns, "flights": len(flights)}


def memory_of(samples: list[Sample]) -> dict[str, int]:
    """What the process took once warm, in the second third of its rounds, and how much more in the last."""
    third = len(samples) // 3
    if third == 0:
        return {"warm_kib": 0, "end_kib": 0, "grown_kib": 0}
    warm = round(median(each.rss_kib for each in samples[third : 2 * third]))
    end = round(median(each.rss_kib for each in samples[2 * third :]))
    return {"warm_kib": warm, "end_kib": end, "grown_kib": end - warm}


def grown_too_much(memory: Mapping[str, int]) -> bool:
    """Whether more was taken in the end than any noise explains."""
    return memory["grown_kib"] > max(_MOST_GROWTH * memory["warm_kib"], _SLACK_KIB)


def main() -> None:
    """Soak, write what came of it into build/soak.json, and end with 1 when something was violated."""
    parser = argparse.ArgumentParser(prog="soak", description="one keeper under faults for long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=216_000, help="thirty days of them by default")
    given = parser.parse_args()
    result = soak(given.blocks, given.seed)
    BUILD.mkdir(exist_ok=True)
    new = BUILD / "soak.json.new"
    new.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    os.replace(new, BUILD / "soak.json")
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
