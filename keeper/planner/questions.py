"""What to ask of each kind of position where nothing else is said: which rules to try, and which of thumb to beat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.domain.loan_band import TOLERANCE_BPS
from keeper.domain.units import BPS
from keeper.planner.bars import History
from keeper.planner.cases import (
    AGAINST_VOLATILITY,
    FIXED,
    WITH_VOLATILITY,
    BasketCase,
    LoanCase,
    RangeCase,
    basket_case,
    loan_case,
    range_case,
)
from keeper.planner.costs import Costs
from keeper.planner.objectives import Objective
from keeper.planner.plan import Family, Question
from keeper.planner.results import Floats
from keeper.planner.rule_file import Assets
from keeper.planner.search import Span
from keeper.planner.simulate_loan import Lending
from keeper.planner.theory.passage import health_of

AAVE_WETH: Final = Lending(threshold=0.83, close_factor=0.5, full_below=0.95, bonus=0.05)
"""Aave V3 on Ethereum, WETH as collateral: what it was through 2023."""

STILL: Final = "fixed band"
MOVING: Final = "band following volatility"
AGAINST: Final = "band moving against volatility"
"""What rules are told apart by: whether volatility moves their band; the last is of no contract."""

_SPEEDS: Final = (1.0, 0.5)
_SIGMAS: Final = (2.0, 3.0, 4.0, 5.0)
_HIGHEST: Final = (1.15, 1.4)
_SHARES: Final = (0.0, 0.25, 0.5, 0.75, 0.9)


def basket_question(
    histories: Sequence[History],
    targets: Sequence[float],
    wish: Objective,
    costs: Costs,
    capital: float,
    cooldowns: Sequence[float] = (0.0,),
    looks: Sequence[float] = (1.0,),
    assets: Assets | None = None,
) -> Question:
    """Bands from a two-hundredth up to the smallest weight, and back to anywhere between target and edge."""
    weights = (*targets, 1.0 - sum(targets)) if len(targets) == len(histories) == 1 else tuple(targets)
    least = min(weights)
    day = histories[0].day
    paced, pace = _paced(cooldowns, looks, histories[0].seconds)
    # On the chain each asset follows its own feed; one volatility for all is right where the other is money.
    names = {STILL: FIXED}
    if len(histories) == 1 and len(weights) == 2:
        names[MOVING] = WITH_VOLATILITY
    if wish.scaling == AGAINST_VOLATILITY:
        names[AGAINST] = AGAINST_VOLATILITY
    widest = max(0.9 * least, 0.01)
    return Question(
        kind="basket",
        title=f"A basket of {' / '.join(f'{each:.0%}' for each in targets)}",
        histories=tuple(histories),
        build=partial(_basket, targets=tuple(targets), costs=costs, capital=capital),
        objective=wish,
        costs=costs,
        families=tuple(
            Family(
                name,
                choices={
                    "trigger": np.geomspace(0.005, widest, 40),
                    "destination_share": _SHARES,
                    "cooldown": cooldowns,
                    "look": looks,
                    "scale": [scale],
                },
                spans={"trigger": Span(0.005, widest), "destination_share": Span(0.0, 0.95), **paced},
                fixed={**pace, "scale": float(scale)},
                is_on_chain=scale != AGAINST_VOLATILITY,
            )
            for name, scale in names.items()
        ),
        thumbs={
            "every 30 days": {"trigger": 0.0, "look": 30.0 * day},
            "every 91 days": {"trigger": 0.0, "look": 91.0 * day},
            "5 percentage points": {"trigger": 0.05},
            "20 % relative, half way back": {"trigger": 0.2, "destination": 0.1, "is_relative": 1.0},
            "200 / 175 basis points": {"trigger": 0.02, "destination": 0.0175},
        },
        assets=replace(assets or Assets(), weights=weights),
    )


def loan_question(
    history: History,
    lending: Lending,
    target: float,
    wish: Objective,
    costs: Costs,
    rates: tuple[float, float],
    capital: float,
    cooldowns: Sequence[float] = (0.0,),
    looks: Sequence[float] = (1.0,),
    assets: Assets | None = None,
) -> Question:
    """Floors between a health of 1 and the target, fixed or rising with volatility, and ceilings above it or none.

    `rates` are supplied, borrowed.
    """
    if target <= 1:
        raise Misconfigured(f"loan: a target health of {target:g} is liquidation itself")
    # The chain refuses a floor within its tolerance of the target.
    highest = target * (1 - 1.2 * TOLERANCE_BPS / BPS)
    if highest <= 1.0 + 0.1 * (target - 1.0):
        raise Misconfigured(f"loan: a target health of {target:g} leaves no room for a floor below it")
    leverage = target / (target - lending.threshold)
    day = history.day
    paced, pace = _paced(cooldowns, looks, history.seconds)
    lowest = 1.0 + 0.1 * (target - 1.0)
    common: Mapping[str, Sequence[float] | Floats] = {
        "target": [target],
        "cooldown": cooldowns,
        "look": looks,
        "speed": _SPEEDS,
    }
    spans = {
        "floor": Span(1.0 + 0.05 * (target - 1.0), highest),
        "ceiling": Span(1.02 * target, 2.0 * target),
        "speed": Span(_SPEEDS[-1], 1.0),
        **paced,
    }
    never = {"floor": 0.0, "target": target}
    near = 1e-4
    thumbs = {
        "no rule": never,
        **{
            name: {
                "floor": max(target * (1 - near), 1 + near),
                "target": target,
                "ceiling": target * (1 + near),
                "look": float(days * day),
            }
            for name, days in (("fixed leverage, each day", 1), ("back to target every 30 days", 30))
        },
    }
    if 0.98 * target > 1.0:
        # An eighth of the way is what 175 of 200 leaves; the chain lets no step end within 1 % of an edge.
        thumbs["200 / 175 basis points of health"] = {
            "floor": 0.98 * target,
            "target": target,
            "ceiling": 1.02 * target,
            "speed": 0.125,
        }
    low, high = 0.85 * leverage, 1.15 * leverage
    if low > 1 and health_of(high, lending.threshold) > 1:
        thumbs["leverage held within 15 %"] = {
            "floor": health_of(high, lending.threshold),
            "target": target,
            "ceiling": health_of(low, lending.threshold),
        }
    return Question(
        kind="loan",
        title=f"A loan held at a health of {target:.2f} ({leverage:.2f} times leveraged)",
        histories=(history,),
        build=partial(_loan, lending=lending, costs=costs, rates=rates, capital=capital),
        objective=wish,
        costs=costs,
        families=(
            Family(
                STILL,
                choices={
                    **common,
                    "floor": np.linspace(lowest, highest, 40),
                    "ceiling": [*(target * np.array([1.03, 1.06, 1.1, 1.15, 1.25, 1.4, 1.7])), np.inf],
                },
                spans=spans,
                fixed={"target": target, **pace},
            ),
            Family(
                MOVING,
                choices={
                    **common,
                    "floor": np.linspace(lowest, highest, 8),
                    "ceiling": [*(target * np.array([1.06, 1.15, 1.4])), np.inf],
                    "sigmas": _SIGMAS,
                    "highest_share": _HIGHEST,
                },
                spans={**spans, "sigmas": Span(1.0, 6.0), "highest_share": Span(1.02, 1.8)},
                fixed={"target": target, **pace},
            ),
        ),
        thumbs=thumbs,
        assets=assets or Assets(),
    )


def range_question(
    history: History,
    fee_yield: float | None,
    wish: Objective,
    costs: Costs,
    capital: float,
    cooldowns: Sequence[float] = (0.0,),
    looks: Sequence[float] = (1.0,),
    assets: Assets | None = None,
) -> Question:
    """Widths from 2 % to threefold either way, moved at the edge or beyond it, at once or after a hold.

    Those that follow volatility are tried too, and are none that a contract takes.
    """
    paced, pace = _paced(cooldowns, looks, history.seconds)
    return Question(
        kind="range",
        title="A range of liquidity",
        histories=(history,),
        build=partial(_range, fee_yield=fee_yield, costs=costs, capital=capital),
        objective=wish,
        costs=costs,
        families=tuple(
            Family(
                name,
                choices={
                    "width": np.geomspace(0.02, 1.2, 40),
                    "trigger_share": [1.0, 1.1, 1.25, 1.5, 2.0],
                    "hold": [1.0, 6.0, 24.0],
                    "cooldown": cooldowns,
                    "look": looks,
                    "scale": [scale],
                },
                spans={"width": Span(0.02, 1.2), "trigger_share": Span(1.0, 2.0), **paced},
                fixed={"hold": 1.0, **pace, "scale": float(scale)},
                is_on_chain=scale == FIXED,
            )
            for name, scale in ((STILL, FIXED), (MOVING, WITH_VOLATILITY))
        ),
        thumbs={
            "± 5 %, moved at the edge": {"width": math.log(1.05), "trigger": math.log(1.05)},
            "± 25 %, moved at the edge": {"width": math.log(1.25), "trigger": math.log(1.25)},
            "twofold, never moved": {"width": math.log(2.0), "trigger": 100.0},
        },
        assets=assets or Assets(),
    )


def _paced(
    cooldowns: Sequence[float], looks: Sequence[float], seconds: int
) -> tuple[dict[str, Span], dict[str, float]]:
    """Where the optimiser looks for a cooldown and a look, between those said, in whole bars; or the one that was."""
    spans, fixed = {}, {}
    for name, said, step in (("cooldown", cooldowns, float(seconds)), ("look", looks, 1.0)):
        low, high = min(said), max(said)
        if low < high:
            spans[name] = Span(low, high, min(step, high - low))
        else:
            fixed[name] = low
    return spans, fixed


def _basket(
    histories: Sequence[History], targets: tuple[float, ...], costs: Costs, capital: float
) -> BasketCase:
    return basket_case(histories, targets, costs, capital)


def _loan(
    histories: Sequence[History], lending: Lending, costs: Costs, rates: tuple[float, float], capital: float
) -> LoanCase:
    return loan_case(histories[0], lending, costs, rates[0], rates[1], capital)


def _range(histories: Sequence[History], fee_yield: float | None, costs: Costs, capital: float) -> RangeCase:
    return range_case(histories[0], costs, fee_yield, costs.fee, capital)
