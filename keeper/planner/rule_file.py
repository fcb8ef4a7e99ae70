"""The file a plan leaves: its rule as `keeper rule set --file` takes it, in TOML, under the command that sets it.

Rounding is in favour of acting sooner: a floor is rounded up, a trigger and a hold down.
Source: keeper/rules/ for the keys of each kind, scripts/set_rule.py for its options.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.domain.units import BPS
from keeper.planner.cases import HORIZON, REFERENCE, WIDEST, WITH_VOLATILITY
from keeper.planner.results import DOWN, UP, Kind, Path
from keeper.planner.volatility import move

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
    "destination_bps": "where in its band a drifted asset lands: 0 on its target, 10000 on the edge",
    "relative": "whether bands are shares of the targets",
    "target_bps": "weight, in basis points of the whole",
    "band_bps": "how far it may stray, in basis points",
    "widest_bps": "and at most, where its band follows volatility",
    "sigmas_bps": "a band is so many standard deviations of an asset, in basis points",
    "horizon": "over so many seconds",
    "terms": "how far an action goes, and how a floor follows volatility, in basis points",
    "below": "ticks from the centre down to the lower edge",
    "above": "ticks from the centre up to the upper edge",
    "buffer": "ticks beyond an edge before it is moved",
    "hold": "seconds over which the mean price must be out too",
    "kind": "what the rule is about",
}
_OF_A_BASKET: Final[Mapping[str, str]] = {**_MEANING, "max_step": "most sold at once, in dollars"}
_LEAST_HOLD: Final = 60
"""The contract's, in seconds."""

Value = bool | int | float | str | Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Assets:
    """What a simulated life does not tell: a loan's addresses and its debt's decimals, and a basket's weights.

    `feed` is the one whose volatility a loan's floor follows. None leaves an address to be said later.
    """

    risky: str | None = None
    money: str | None = None
    money_decimals: int = 6
    weights: tuple[float, ...] = ()
    feed: str | None = None


def rule_file(kind: Kind, rule: Mapping[str, float], path: Path, assets: Assets) -> str:
    """The rule as TOML, in units of people; a comment says how to set it, where anything on chain takes it."""
    if kind == "loan":
        return _loan(rule, path, assets)
    return _basket(rule, path, assets.weights) if kind == "basket" else _range(rule, path)


def _loan(rule: Mapping[str, float], path: Path, assets: Assets) -> str:
    if rule["floor"] == 0:
        return "# The best of all rules tried is none.\n"
    floor, target = math.ceil(rule["floor"] * BPS), round(rule["target"] * BPS)
    ceiling = math.floor(rule["ceiling"] * BPS) if math.isfinite(rule["ceiling"]) else 0
    repay, borrow = _largest(path, DOWN), _largest(path, UP)
    speed = math.ceil(rule["speed"] * BPS)
    terms: dict[str, int | str] = {"speed_bps": speed} if speed < BPS else {}
    if rule["sigmas"] > 0:
        terms |= {
            "highest_bps": math.ceil(rule["highest"] * BPS),
            "sigmas_bps": math.ceil(rule["sigmas"] * BPS),
            "horizon": HORIZON,
            **({"feed": assets.feed} if assets.feed else {}),
        }
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
        **({"terms": terms} if terms else {}),
    }
    missing = "" if assets.risky and assets.money else " --collateral ADDRESS --debt ADDRESS"
    command = f"# keeper rule set OWNER --file rule.toml --approve{missing}\n"
    if rule["sigmas"] > 0:
        wanting = (
            "" if assets.feed else '# Its terms need the feed of the collateral\'s price: feed = "ADDRESS".\n'
        )
        return f"{command}{wanting}{_lines(told)}"
    collateral, debt = assets.risky or "COLLATERAL", assets.money or "DEBT"
    return (
        f"{command}"
        f"# or, with nothing borrowed above the ceiling{', all the way at once' if speed < BPS else ''}, and steps in "
        "the debt's smallest unit:\n"
        f"# ape run set_rule --network NODE --account ACCOUNT --collateral {collateral} --debt {debt}"
        f" --floor-bps {floor} --target-bps {target} --ceiling-bps {ceiling} --cooldown {int(rule['cooldown'])}"
        f" --max-step {repay * 10**assets.money_decimals} --approve\n"
        f"{_lines(told)}"
    )


def _largest(path: Path, *sides: int) -> int:
    """A step larger than any on these sides, in whole money; where there was none, as large as net worth."""
    traded = path.actions.traded[np.isin(path.actions.side, sides)]
    return math.ceil((float(traded.max()) if len(traded) else float(path.equity[0])) * _MARGIN)


def _basket(rule: Mapping[str, float], path: Path, weights: Sequence[float]) -> str:
    trigger, follows = rule["trigger"], rule["scale"] == WITH_VOLATILITY
    share = rule["destination"] / trigger if trigger else 0.0
    whole: dict[str, Value] = {
        "kind": "basket",
        "relative": rule["is_relative"] > 0,
        "destination_bps": math.floor(share * BPS),
        "cooldown": int(rule["cooldown"]),
        "max_step": _largest(path, DOWN, UP),
        **({"sigmas_bps": _sigmas_bps(trigger), "horizon": HORIZON} if follows else {}),
    }
    targets = [round(weight * BPS) for weight in weights]
    targets[-1] = BPS - sum(targets[:-1])
    if follows:
        narrow, wide = (
            max(math.floor(trigger / WIDEST * BPS), 1),
            min(math.floor(trigger * WIDEST * BPS), BPS),
        )
        # Money hardly moves: by a sigma of its own it would be out of its band long before the asset is.
        bands = [{"band_bps": narrow, "widest_bps": wide}, {"band_bps": wide, "widest_bps": wide}]
    else:
        bands = [{"band_bps": max(math.floor(trigger * BPS), 1)}] * len(targets)
    assets = "".join(
        f"[[assets]]\n{_lines({'target_bps': target, **band}, _OF_A_BASKET)}"
        for target, band in zip(targets, bands, strict=True)
    )
    named = " --asset TOKEN" * len(targets)
    look = f"# Lived with a look every {int(rule['look']) * path.seconds} seconds.\n"
    return f"# keeper rule set OWNER --file rule.toml --approve{named}\n{look}{_lines(whole, _OF_A_BASKET)}{assets}"


def _sigmas_bps(trigger: float) -> int:
    """How many standard deviations over the horizon a band is that is so wide at the reference volatility."""
    return max(math.floor(trigger / float(move(REFERENCE, HORIZON)) * BPS), 1)


def _range(rule: Mapping[str, float], path: Path) -> str:
    width = max(round(rule["width"] / _TICK), 1)
    told: dict[str, Value] = {
        "kind": "range",
        "below": width,
        "above": width,
        "buffer": max(math.floor((rule["trigger"] - rule["width"]) / _TICK), 0),
        "hold": max(int(max(rule["hold"] - 1, 0)) * path.seconds, _LEAST_HOLD),
        "cooldown": int(rule["cooldown"]),
    }
    return f"# keeper rule set OWNER --file rule.toml --approve --token-id POSITION\n{_lines(told)}"


def _lines(told: Mapping[str, Value], meaning: Mapping[str, str] = _MEANING) -> str:
    """Keys and values, one to a line, each with what it means and in which unit."""
    written = {name: f"{name} = {_toml(value)}" for name, value in told.items()}
    width = max(len(line) for line in written.values() if len(line) < _WIDEST)
    return "".join(f"{line:<{width}}  # {meaning[name]}\n" for name, line in written.items())


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {json.dumps(each)}' for name, each in value.items())} }}"
    return json.dumps(value) if isinstance(value, str) else str(value)
