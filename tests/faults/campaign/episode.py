"""One episode: orders are given and faults happen as blocks come, then all is mended and what came of it is judged.

A block comes once the crew has attended the one before, or is past waiting for: the crew's own speed decides little,
and the same seed plays the same episode.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from keeper.chain.node import Question
from tests.faults.campaign.crews import Crew
from tests.faults.campaign.draws import BLOCKS, Draw
from tests.faults.campaign.faults import CATALOGUE, DEEPEST, Play
from tests.faults.campaign.parties import Party
from tests.faults.campaign.pool import Pool
from tests.faults.campaign.works import KEEPER, KEEPER_KEY, Work
from tests.faults.proxy import proxied

PATIENCE = 0.5
"""Seconds a crew in trouble is waited for before the next block comes."""
SOUND_PATIENCE = 4.0
"""The same once all is mended."""
MEND_BLOCKS = 45
"""Blocks in which a sound crew on a sound chain must have caught up; halfway all that was is made final."""
FINAL_BLOCKS = 70
_PLENTY = hex(10**21)


@dataclass(frozen=True)
class Outcome:
    """What came of an episode: each violation begins with its invariant's name.

    `recovery_s` is how long it took from the mending to the last order carried out, None when that never came.
    """

    seed: int
    faults: tuple[str, ...]
    violations: tuple[str, ...]
    recovery_s: float | None
    kills: int = 0


def play(draw: Draw, work: Work, party: Party) -> Outcome:
    """Play an episode from the chain as it stands, judge it, and leave the chain as it was."""
    before = work.chain.ask("evm_snapshot")
    work.chain.ask(
        "anvil_mine", hex(DEEPEST + 1), "0xc"
    )  # what a reorganisation undid could not be returned to
    try:
        with _staged(draw, work, party) as staged:
            trouble(staged, draw)
            recovery = mended(staged, party)
            violations = _ended(staged, party)
            violations += party.judge(staged)
            if recovery is None:
                violations.append(_last_words(staged))
            kills = staged.crew.kills
    finally:
        work.chain.ask("anvil_dropAllTransactions")
        work.chain.ask("evm_revert", before)
    return Outcome(draw.seed, tuple(fault.name for fault in draw.faults), tuple(violations), recovery, kills)


@contextmanager
def _staged(draw: Draw, work: Work, party: Party) -> Iterator[Play]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="keeper-campaign-")))
        opened = [stack.enter_context(proxied(work.chain.url)) for _ in range(draw.endpoints)]
        work.prepare(folder, [url for _, url in opened])
        crew = Crew(party.life, folder, {"KEEPER_KEY": KEEPER_KEY})
        stack.callback(crew.kill)
        proxies = [proxy for proxy, _ in opened]
        crew.start()
        yield Play(work.chain, work, crew, Pool(work.chain), proxies, proxies[draw.worst])


def trouble(staged: Play, draw: Draw) -> None:
    """The blocks in which things go wrong."""
    under_way = [(drawn, CATALOGUE[drawn.name].mishap(staged, Random(drawn.seed))) for drawn in draw.faults]
    for block in range(BLOCKS):
        for number in [n for n, at in zip(staged.work.numbers, draw.orders, strict=True) if at <= block]:
            staged.work.give(number)
        for drawn, fault in under_way:
            if drawn.begin <= block < drawn.end:
                next(fault)
            elif block == drawn.end:
                fault.close()
        _block(staged, PATIENCE, block in draw.full)
    for _, fault in under_way:
        fault.close()


def mended(staged: Play, party: Party) -> float | None:
    """Blocks on a sound chain until every order is carried out; how many seconds that took, None when it never came."""
    chain, crew = staged.chain, staged.crew
    staged.still, staged.seconds, crew.kept_down = False, 12, False
    chain.ask("anvil_setBalance", KEEPER, _PLENTY)
    begun = time.monotonic()
    for block in range(MEND_BLOCKS):
        for number in staged.work.numbers:
            staged.work.give(number)
        party.person(crew.folder)
        _block(staged, SOUND_PATIENCE)
        if all(staged.work.carried_out().values()):
            return time.monotonic() - begun
        if block == MEND_BLOCKS // 2:
            chain.ask("anvil_mine", hex(FINAL_BLOCKS), "0xc")
    return None


def _ended(staged: Play, party: Party) -> list[str]:
    """Make all of it final, let the crew see that, and ask it to end."""
    for blocks in (FINAL_BLOCKS, 1):
        staged.chain.ask("anvil_mine", hex(blocks), "0xc")
        staged.crew.tend()
        staged.crew.attend(staged.chain.head().number, SOUND_PATIENCE)
    code = staged.crew.end()
    return [] if code == 0 or not party.ends_well else [f"I2: told to end, it ended with {code}"]


def _last_words(staged: Play) -> str:
    told = (staged.crew.said("stderr").splitlines() or ["nothing"])[-1]
    return f"I2: it never caught up, and said last: {told[-300:]}"


def _block(staged: Play, patience: float, full: bool = False) -> None:
    crew = staged.crew
    crew.tend()
    if not staged.still:
        how: list[Question] = [
            ("evm_setNextBlockTimestamp", [staged.chain.head().timestamp + staged.seconds])
        ]
        if staged.base_fee is not None:
            how.append(("anvil_setNextBlockBaseFeePerGas", [hex(staged.base_fee)]))
        with crew.held():  # else it could look between two of these questions
            staged.pool.mine(how, full or staged.full)
    crew.attend(staged.chain.head().number, patience)
