"""The file a plan leaves: its rule in the units of the chain, and the command that sets it.

Rounding is in favour of acting sooner: a floor is rounded up, a cooldown and a step down and up. What the chain bounds
(a floor above 1, a target well above the floor) is bounded here too, and refused in words rather than on chain.
Source: scripts/set_rule.py for a loan's options; contracts/loan_rules.vy for its bounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keeper.domain.errors import Misconfigured
from keeper.domain.units import BPS
from keeper.planner.results import DOWN, Kind, Path

_TICK = math.log(1.0001)
_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class Assets:
    """What the planner cannot know: the assets' symbols or addresses, and the debt's decimals."""

    risky: str = "WETH"
    money: str = "USDC"
    money_decimals: int = 6


def rule_file(kind: Kind, rule: Mapping[str, float], path: Path, assets: Assets, seconds: int) -> str:
    """JSON: `kind`, the planned rule as planned (`planned`), as the chain wants it (`rule`), and `command`, if any."""
    wanted = _WRITERS[kind](rule, path, assets)
    planned = {name: value for name, value in rule.items() if math.isfinite(value)}
    told: dict[str, Any] = {"kind": kind, "bar_seconds": seconds, "planned": planned, "rule": wanted}
    if kind == "loan":
        options = " ".join(f"--{name} {value}" for name, value in wanted.items())
        told["command"] = f"ape run set_rule --network NETWORK --account ACCOUNT {options} --approve"
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _loan(rule: Mapping[str, float], path: Path, assets: Assets) -> dict[str, Any]:
    if rule["floor"] == 0:
        raise Misconfigured("rule: a loan that never acts needs none")
    floor, target = math.ceil(rule["floor"] * BPS), round(rule["target"] * BPS)
    # On chain a ceiling of 0 is none.
    ceiling = math.ceil(rule["ceiling"] * BPS) if math.isfinite(rule["ceiling"]) else 0
    sold = path.actions.traded[path.actions.side == DOWN]
    most = float(sold.max()) if len(sold) else float(path.equity[0])
    return {
        "collateral": assets.risky,
        "debt": assets.money,
        "floor-bps": floor,
        "target-bps": target,
        "ceiling-bps": ceiling,
        "cooldown": int(rule["cooldown"]),
        "max-step": math.ceil(most * _MARGIN) * 10**assets.money_decimals,
    }


def _basket(rule: Mapping[str, float], path: Path, assets: Assets) -> dict[str, Any]:
    return {
        "assets": [assets.risky, assets.money],
        "target_bps": round(float(path.target[0]) * BPS),
        "trigger_bps": math.floor(rule["trigger"] * BPS),
        "destination_bps": math.floor(rule["destination"] * BPS),
        "is_relative": rule["is_relative"] > 0,
        "cooldown": int(rule["cooldown"]),
    }


def _range(rule: Mapping[str, float], path: Path, assets: Assets) -> dict[str, Any]:
    width = max(round(rule["width"] / _TICK), 1)
    return {
        "assets": [assets.risky, assets.money],
        "half_width_ticks": width,
        "buffer_ticks": max(round((rule["trigger"] - rule["width"]) / _TICK), 0),
        "hold": int(max(rule["hold"] - 1, 0) * path.seconds),
        "cooldown": int(rule["cooldown"]),
    }


_WRITERS = {"basket": _basket, "loan": _loan, "range": _range}
