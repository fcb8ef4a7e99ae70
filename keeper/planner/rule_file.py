"""The file a plan leaves: its rule as `keeper rule set --file` takes it, in TOML, under the command that sets it.

Rounding is in favour of acting sooner: a floor is rounded up, a trigger and a hold down.
Source: keeper/rules/writing.py for the keys of a loan's rule, scripts/set_rule.py for its options.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import BPS
from keeper.planner.results import DOWN, UP, Kind, Path

_TICK: Final = math.log(1.0001)
_MARGIN: Final = 1.5
"""How much larger than any step that history asked for a step may be."""

_WIDEST: Final = 40
"""Longer lines, with an address in them, do not move the comments of the others."""
_MEANING: Final[Mapping[str, str]] = {
    "collateral": "what is sold",
    "debt": "what is repaid",
    "floor": "act below this health",
    "target": "and land on this one",
    "ceiling": "borrow again above this one; 0 for never",
    "cooldown": "seconds between actions",
    "max_step": "most repaid at once, in whole debt tokens",
    "borrow_step": "most borrowed at once, in whole debt tokens",
    "target_bps": "weight of the first asset, in basis points of the whole",
    "trigger_bps": "how far a weight may stray, in basis points",
    "destination_bps": "how far off its target it may land, in basis points",
    "is_relative": "whether the last two are shares of the target weight",
    "terms": "an action goes this share of the way to the target, in basis points",
    "look": "seconds from one look to the next",
    "below": "ticks from the centre down to the lower edge",
    "above": "ticks from the centre up to the upper edge",
    "buffer": "ticks beyond an edge before it is moved",
    "hold": "seconds over which the mean price must be out too",
}

Value = bool | int | float | str | Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Assets:
    """What the planner cannot know: the addresses, and the debt's decimals; None leaves an address to be said later."""

    risky: str | None = None
    money: str | None = None
    money_decimals: int = 6


def rule_file(kind: Kind, rule: Mapping[str, float], path: Path, assets: Assets) -> str:
    """The rule as TOML, in units of people; a comment says how to set it, where anything on chain takes it."""
    if kind == "loan":
        return _loan(rule, path, assets)
    told = _basket(rule, path) if kind == "basket" else _range(rule, path)
    return f"# A {kind}, as planned.\n{_lines(told)}"


def _loan(rule: Mapping[str, float], path: Path, assets: Assets) -> str:
    if rule["floor"] == 0:
        return "# The best of all rules tried is none.\n"
    floor, target = math.ceil(rule["floor"] * BPS), round(rule["target"] * BPS)
    ceiling = math.floor(rule["ceiling"] * BPS) if math.isfinite(rule["ceiling"]) else 0
    repay, borrow = _largest(path, DOWN), _largest(path, UP)
    speed = math.ceil(rule["speed"] * BPS)
    told: dict[str, Value] = {
        **({"collateral": assets.risky} if assets.risky else {}),
        **({"debt": assets.money} if assets.money else {}),
        "floor": f"{floor / BPS:.4f}",
        "target": f"{target / BPS:.4f}",
        "ceiling": f"{ceiling / BPS:.4f}",
        "cooldown": int(rule["cooldown"]),
        "max_step": str(repay),
        # Without one the chain reads a ceiling and never acts on it.
        **({"borrow_step": str(borrow)} if ceiling else {}),
        **({"terms": {"speed_bps": speed}} if speed < BPS else {}),
    }
    missing = "" if assets.risky and assets.money else " --collateral ADDRESS --debt ADDRESS"
    collateral, debt = assets.risky or "COLLATERAL", assets.money or "DEBT"
    return (
        f"# keeper rule set OWNER --file rule.toml --approve{missing}\n"
        f"# or, with nothing borrowed above the ceiling{', all the way at once' if speed < BPS else ''}, and steps in "
        "the debt's smallest unit:\n"
        f"# ape run set_rule --account ACCOUNT --collateral {collateral} --debt {debt} --floor-bps {floor}"
        f" --target-bps {target} --ceiling-bps {ceiling} --cooldown {int(rule['cooldown'])}"
        f" --max-step {repay * 10**assets.money_decimals} --approve\n"
        f"{_lines(told)}"
    )


def _largest(path: Path, side: int) -> int:
    """A step larger than any on one side, in whole money; where there was none, as large as net worth."""
    traded = path.actions.traded[path.actions.side == side]
    return math.ceil((float(traded.max()) if len(traded) else float(path.equity[0])) * _MARGIN)


def _basket(rule: Mapping[str, float], path: Path) -> dict[str, Value]:
    return {
        "target_bps": round(float(path.target[0]) * BPS),
        "trigger_bps": math.floor(rule["trigger"] * BPS),
        "destination_bps": math.floor(rule["destination"] * BPS),
        "is_relative": rule["is_relative"] > 0,
        "cooldown": int(rule["cooldown"]),
        "look": int(rule["look"]) * path.seconds,
    }


def _range(rule: Mapping[str, float], path: Path) -> dict[str, Value]:
    width = max(round(rule["width"] / _TICK), 1)
    return {
        "below": width,
        "above": width,
        "buffer": max(math.floor((rule["trigger"] - rule["width"]) / _TICK), 0),
        "hold": int(max(rule["hold"] - 1, 0)) * path.seconds,
        "cooldown": int(rule["cooldown"]),
    }


def _lines(told: Mapping[str, Value]) -> str:
    """Keys and values, one to a line, each with what it means and in which unit."""
    written = {name: f"{name} = {_toml(value)}" for name, value in told.items()}
    width = max(len(line) for line in written.values() if len(line) < _WIDEST)
    return "".join(f"{line:<{width}}  # {_MEANING[name]}\n" for name, line in written.items())


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {each}' for name, each in value.items())} }}"
    return json.dumps(value) if isinstance(value, str) else str(value)
