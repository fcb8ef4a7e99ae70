"""`python -m tests.faults.campaign --seed 1 --episodes 200`: play them, and count violations into build/campaign.json.

Episode n is drawn from seed + n, and `--episodes 1` with a seed that failed plays it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.faults.campaign.many import play_all, summed

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    """Play, tell each violation as it is found, and end with 1 when there was one."""
    parser = argparse.ArgumentParser(prog="campaign", description="episodes of faults over a live devnet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="devnets at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "campaign.json")
    given = parser.parse_args()
    begun, outcomes = time.monotonic(), []
    for outcome in play_all(given.seed, given.episodes, given.workers):
        outcomes.append(outcome)
        for said in outcome.violations:
            print(f"seed {outcome.seed} ({', '.join(outcome.faults)}): {said}", flush=True)
    result = summed(outcomes)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: result[name] for name in result if name != "by_fault"}))
    print(f"{len(outcomes)} episodes in {time.monotonic() - begun:.0f} s; {given.out}")
    sys.exit(1 if result["seeds_failed"] else 0)


if __name__ == "__main__":
    main()
