"""Rules that are there already, read so that a plan can score them beside its own.

A rival is written in one of four ways: the TOML file that a plan leaves, a plan's JSON (its planned rule), the JSON of
`keeper rule show` (every rule of the kind that is planned), or in words as a backtest takes them,
`trigger=0.05,destination=0.025`.

Assumes: bars of one length, to which times to look and to hold are rounded. What the simulation does not live through
is refused and not left out.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.domain.errors import Misconfigured
from keeper.domain.ranges import UNBOUNDED_HIGH, UNBOUNDED_LOW
from keeper.domain.units import BPS
from keeper.planner.cases import HORIZON, REFERENCE, WIDEST, WITH_VOLATILITY
from keeper.planner.results import Kind
from keeper.planner.theory.passage import health_of
from keeper.planner.volatility import move

Rule = dict[str, float]
_TICK: Final = math.log(1.0001)
_EVEN: Final = 1e-6
_ROUNDED: Final = 5.0
"""Basis points that rounding the sigmas and the band may have left between them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is planned: the kind, the seconds of a bar, a basket's target weights, a loan's liquidation threshold."""

    kind: Kind
    seconds: int
    targets: tuple[float, ...] = ()
    threshold: float = 0.0


def rivals(said: Sequence[str], setting: Setting) -> dict[str, Rule]:
    """Every rule said, under the name it is told by; `Misconfigured` says what of which cannot be scored."""
    found: dict[str, Rule] = {}
    for text in said:
        for name, rule in _read(text, setting):
            if name in found:
                raise Misconfigured(f"compare: {name} is named twice")
            found[name] = rule
    return found


def _read(text: str, setting: Setting) -> Iterator[tuple[str, Rule]]:
    path = Path(text)
    if not path.exists():
        if "=" not in text:
            raise Misconfigured(
                f"compare: {text} is no file, and no rule in words such as trigger=0.05,cooldown=3600"
            )
        yield text, _in_words(text)
        return
    try:
        content = path.read_text(encoding="utf-8")
        held: Any = json.loads(content) if content.lstrip().startswith("{") else tomllib.loads(content)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"compare: {path} is neither TOML nor JSON that can be read ({error})") from error
    try:
        yield from _in_file(path, held, setting)
    except (KeyError, TypeError, ValueError) as error:
        raise Misconfigured(
            f"compare: {path} holds no rule of a {setting.kind} ({error!r} is missing or makes no sense)"
        ) from error


def _in_words(text: str) -> Rule:
    rule: Rule = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            rule[name.strip().replace("-", "_")] = float(value)
        except ValueError:
            raise Misconfigured(f"compare: {part.strip()!r} is not a name and a number") from None
    return rule


def _in_file(path: Path, held: Mapping[str, Any], setting: Setting) -> Iterator[tuple[str, Rule]]:
    if "positions" in held:
        mine = [each for each in held["positions"] if each.get("kind") == setting.kind]
        if not mine:
            raise Misconfigured(f"compare: {path} shows no rule of a {setting.kind}")
        for each in mine:
            name = f"{each['owner'][:6]}… {setting.kind} {each['rule']}"
            yield name, _ON_CHAIN[setting.kind](name, each, setting)
    elif "planned" in held:
        if held["kind"] != setting.kind:
            raise Misconfigured(f"compare: {path} plans a {held['kind']}, and this is a {setting.kind}")
        rule = held["planned"]["rule"]
        yield str(path), {name: math.inf if rule[name] is None else float(rule[name]) for name in rule}
    else:
        yield str(path), _PLANNED[setting.kind](str(path), held, setting)


def _loan(name: str, told: Mapping[str, Any], setting: Setting) -> Rule:
    """As the chain has it and as a plan writes it, which is the same but for a band in leverage."""
    speed = int(told.get("speed_bps", told.get("terms", {}).get("speed_bps", 0))) / BPS
    if speed and told.get("unit") == "leverage":
        raise Misconfigured(f"compare: {name} has a speed in leverage, and one in health is simulated")
    band = {edge: float(told[edge]) for edge in ("floor", "target")}
    ceiling = float(told.get("ceiling", 0))
    if ceiling:
        band["ceiling"] = ceiling
    if told.get("unit") == "leverage":
        band = {edge: health_of(leverage, setting.threshold) for edge, leverage in band.items()}
    return {
        "ceiling": math.inf,
        **band,
        **_following(name, told),
        "cooldown": float(told.get("cooldown", 0)),
        "speed": speed or 1.0,
    }


def _following(name: str, told: Mapping[str, Any]) -> Rule:
    """What a floor that follows volatility adds: told in health by the chain, and in basis points by a file's terms."""
    terms = told.get("terms", {})
    if "highest" not in told and "highest_bps" not in terms:
        return {}
    if told.get("unit") == "leverage" or terms.get("in_leverage"):
        raise Misconfigured(
            f"compare: {name} follows volatility in leverage, and a floor of health is simulated"
        )
    highest = float(told["highest"]) if "highest" in told else float(terms["highest_bps"]) / BPS
    sigmas = float(told["sigmas"]) if "sigmas" in told else float(terms["sigmas_bps"]) / BPS
    horizon = float(told["horizon"] if "horizon" in told else terms["horizon"])
    # Over another time as many sigmas move a price by the root of it.
    return {"highest": highest, "sigmas": sigmas * math.sqrt(horizon / HORIZON)}


def _basket_in_file(name: str, told: Mapping[str, Any], setting: Setting) -> Rule:
    """As a plan writes it; how often to look stands in no rule."""
    if told.get("sigmas_bps", 0):
        return _basket_following(name, told, setting)
    assets = [(float(each["target_bps"]), float(each["band_bps"])) for each in told["assets"]]
    return _basket(name, told, assets, is_relative=bool(told.get("relative", False)), setting=setting)


def _basket_following(name: str, told: Mapping[str, Any], setting: Setting) -> Rule:
    """An asset and money, and a band that a reference volatility has in the middle of what it may be."""
    shares = [
        tuple(float(each.get(key, 0)) for key in ("target_bps", "band_bps", "widest_bps"))
        for each in told["assets"]
    ]
    _require_targets(name, sorted(each[0] / BPS for each in shares), sorted(setting.targets))
    _refuse(name, told, {"cap_bps": BPS, "relative": False})
    sigmas, horizon = float(told["sigmas_bps"]) / BPS, float(told["horizon"])
    trigger = sigmas * float(move(REFERENCE, horizon))
    narrow, wide = trigger / WIDEST * BPS, min(trigger * WIDEST, 1.0) * BPS
    moving = [each for each in shares if each[1] < each[2]]
    if (
        len(shares) != 2
        or len(moving) != 1
        or not _near(moving[0][1], narrow)
        or not _near(moving[0][2], wide)
    ):
        raise Misconfigured(
            f"compare: {name} follows volatility otherwise than is simulated, one asset beside money and its band from "
            f"{narrow:.0f} to {wide:.0f} basis points at these sigmas"
        )
    return {
        "trigger": trigger,
        "destination": trigger * float(told["destination_bps"]) / BPS,
        "cooldown": float(told.get("cooldown", 0)),
        "scale": float(WITH_VOLATILITY),
    }


def _near(bps: float, other: float) -> bool:
    return abs(bps - other) <= _ROUNDED


def _basket_on_chain(name: str, told: Mapping[str, Any], setting: Setting) -> Rule:
    """Its assets are told as `address target ± band`, in basis points."""
    words = [str(told[key]).split() for key in sorted(told) if key.startswith("asset_")]
    assets = [(float(each[1]), float(each[3])) for each in words]
    return _basket(name, told, assets, is_relative=told["bands"] == "of each target", setting=setting)


def _basket(
    name: str,
    told: Mapping[str, Any],
    assets: Sequence[tuple[float, float]],
    *,
    is_relative: bool,
    setting: Setting,
) -> Rule:
    _require_targets(name, sorted(target / BPS for target, _ in assets), sorted(setting.targets))
    bands = [band / BPS for _, band in assets]
    if max(bands) - min(bands) > _EVEN:
        raise Misconfigured(
            f"compare: {name} has a band of its own for each asset, and one is simulated for all"
        )
    _refuse(name, told, {"cap_bps": BPS, "sigmas_bps": 0})
    return {
        "trigger": bands[0],
        "destination": bands[0] * float(told["destination_bps"]) / BPS,
        "is_relative": float(is_relative),
        "cooldown": float(told.get("cooldown", 0)),
    }


def _range(name: str, told: Mapping[str, Any], setting: Setting) -> Rule:
    below, above = float(told["below"]), float(told["above"])
    if below != above:
        raise Misconfigured(
            f"compare: {name} reaches {below:g} ticks down and {above:g} up, and even ones are simulated"
        )
    plain = {
        "cutoff_low": UNBOUNDED_LOW,
        "cutoff_high": UNBOUNDED_HIGH,
        "direction": "both",
        "placement": "around",
    }
    _refuse(name, told, plain)
    return {
        "width": below * _TICK,
        "trigger": (below + float(told["buffer"])) * _TICK,
        "hold": _bars(float(told["hold"]), setting, least=0) + 1.0,
        "cooldown": float(told["cooldown"]),
        **({"deviation": float(told["deviation"]) * _TICK} if "deviation" in told else {}),
    }


def _refuse(name: str, told: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """What a rule may say and the simulation does not know, unless it says it in the plain way."""
    for field, value in plain.items():
        if told.get(field, value) != value:
            raise Misconfigured(f"compare: {name} has a {field} of {told[field]}, which is not simulated")


def _require_targets(name: str, targets: Sequence[float], wanted: Sequence[float]) -> None:
    if len(targets) != len(wanted) or any(abs(a - b) > _EVEN for a, b in zip(targets, wanted, strict=True)):
        held, asked = (" / ".join(f"{each:.0%}" for each in shares) for shares in (targets, wanted))
        raise Misconfigured(f"compare: {name} aims at {held}, and this plan at {asked}")


def _bars(seconds: float, setting: Setting, least: int = 1) -> float:
    return float(max(round(seconds / setting.seconds), least))


_Reader = Callable[[str, Mapping[str, Any], Setting], Rule]
_PLANNED: Final[Mapping[Kind, _Reader]] = {"basket": _basket_in_file, "loan": _loan, "range": _range}
_ON_CHAIN: Final[Mapping[Kind, _Reader]] = {"basket": _basket_on_chain, "loan": _loan, "range": _range}
