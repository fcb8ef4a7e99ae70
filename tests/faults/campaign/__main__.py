"""`python -m tests.faults.campaign --seed 1 --episodes 200`: play them, and count violations into build/campaign.json.

Episode n is drawn from seed + n, and `--episodes 1` with a seed that failed plays it again. With `--scorecard` the same
episodes are played by the keeper and by models of how others send, into build/scorecard.json and as a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from tests.faults.campaign.many import on_loans, on_the_counter, play_all, summed
from tests.faults.campaign.parties import SCORED
from tests.faults.campaign.scorecard import table

BUILD = Path(__file__).resolve().parents[3] / "build"


def main() -> None:
    """Play, tell each violation as it is found, and end with 1 when the keeper is to blame for one."""
    parser = argparse.ArgumentParser(prog="campaign", description="episodes of faults over a live devnet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="devnets at a time")
    parser.add_argument("--scorecard", action="store_true", help="compare with models of how others send")
    parser.add_argument("--out", type=Path, default=None, help="where the JSON goes")
    given = parser.parse_args()
    begun = time.monotonic()
    if given.scorecard:
        result = {}
        for name in SCORED:
            outcomes = list(
                play_all(partial(on_the_counter, name), given.seed, given.episodes, given.workers)
            )
            result[name] = summed(outcomes)
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        print(table(result))
        failed = result["keeper"]["seeds_failed"]
    else:
        outcomes = []
        for outcome in play_all(on_loans, given.seed, given.episodes, given.workers):
            outcomes.append(outcome)
            for said in outcome.violations:
                print(f"seed {outcome.seed} ({', '.join(outcome.faults)}): {said}", flush=True)
        result = summed(outcomes)
        print(json.dumps({name: result[name] for name in result if name != "by_fault"}))
        failed = result["seeds_failed"]
    out = given.out or BUILD / ("scorecard.json" if given.scorecard else "campaign.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{given.episodes} episodes in {time.monotonic() - begun:.0f} s; {out}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
