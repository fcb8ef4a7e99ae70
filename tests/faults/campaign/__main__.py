"""`python -m tests.faults.campaign --seed 1 --episodes 200`: play them, and count violations into build/campaign.json.

Episode n is drawn from seed + n, and `--episodes 1` with a seed that failed plays it again. With `--scorecard` the same
episodes are played by the keeper and by models of how others send, into build/scorecard.json and as a table.

The file is written anew after every episode, so that one which is interrupted, or killed, leaves what it has found:
`wanted` says how many were to be played.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.campaign.episode import Outcome
from tests.faults.campaign.many import Stage, Unplayed, on_loans, on_the_counter, play_all, summed
from tests.faults.campaign.parties import SCORED
from tests.faults.campaign.scorecard import table

BUILD = Path(__file__).resolve().parents[3] / "build"
_EVERY = 10


def main() -> None:
    """Play, tell each violation as it is found, and end with 1 when the keeper is to blame for one.

    With 2 when not all could be played.
    """
    parser = argparse.ArgumentParser(prog="campaign", description="episodes of faults over a live devnet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="devnets at a time")
    parser.add_argument("--scorecard", action="store_true", help="compare with models of how others send")
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    given = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    out = given.out or BUILD / ("scorecard.json" if given.scorecard else "campaign.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    stages: dict[str, Stage] = {"campaign": on_loans}
    if given.scorecard:
        stages = {name: partial(on_the_counter, name) for name in SCORED}
    results = {name: {"wanted": given.episodes, **summed([])} for name in stages}
    begun = time.monotonic()
    try:
        for name, stage in stages.items():
            for told in _told(name, stage, given):
                results[name] |= told
                _write(out, results if given.scorecard else told)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
    mine, *_ = results.values()
    if given.scorecard:
        print(table(results))
    else:
        print(json.dumps({name: mine[name] for name in mine if name != "by_fault"}))
    played = sum(each["episodes"] for each in results.values())
    print(f"{played} episodes in {time.monotonic() - begun:.0f} s; {out}")
    sys.exit(1 if mine["seeds_failed"] else 0 if played == given.episodes * len(stages) else 2)


def _told(name: str, stage: Stage, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The sum of one party's episodes so far, after each."""
    outcomes: list[Outcome] = []
    unplayed: list[Unplayed] = []
    begun = time.monotonic()
    with closing(play_all(stage, given.seed, given.episodes, given.workers)) as episodes:
        for each in episodes:
            if isinstance(each, Unplayed):
                unplayed.append(each)
                print(f"seed {each.seed} could not be played: {each.why}", file=sys.stderr, flush=True)
            else:
                outcomes.append(each)
                for said in () if given.scorecard else each.violations:
                    print(f"seed {each.seed} ({', '.join(each.faults)}): {said}", flush=True)
            if len(outcomes) % _EVERY == 0:
                took = time.monotonic() - begun
                print(f"{name}: {len(outcomes)} episodes in {took:.0f} s", file=sys.stderr, flush=True)
            yield {"wanted": given.episodes, **summed(outcomes, unplayed)}


def _write(out: Path, result: dict[str, Any]) -> None:
    """Replace the file whole: whoever is killed leaves the one before."""
    new = out.with_name(out.name + ".new")
    new.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    os.replace(new, out)


if __name__ == "__main__":
    main()
