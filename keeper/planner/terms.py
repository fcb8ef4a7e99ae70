"""What of a rule on the chain a simulated one has, term by term, and what it leaves out.

Source: the rules in contracts/interfaces/I*Thresholds.vyi and ILimits.vyi; a test holds every term of theirs to be in
one of the two tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from keeper.planner.results import Kind

LIVED: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        "basket": {
            "assets": "the histories, and money",
            "token": "a history",
            "feed": "its closes",
            "target_bps": "a weight",
            "band_bps": "trigger",
            "relative": "is_relative",
            "destination_bps": "destination",
            "widest_bps": "four times the trigger, where the band follows volatility",
            "sigmas_bps": "the trigger, at a volatility of 80 % a year",
            "horizon": "a week",
            "cooldown": "cooldown",
            "limits": "its cooldown",
        },
        "loan": {
            "collateral": "the history",
            "debt": "money",
            "floor_bps": "floor",
            "target_bps": "target",
            "ceiling_bps": "ceiling",
            "in_leverage": "the healths of those leverages",
            "speed_bps": "speed",
            "highest_bps": "highest",
            "sigmas_bps": "sigmas",
            "horizon": "a week",
            "feed": "the history's closes, each counted",
            "cooldown": "cooldown",
        },
        "range": {
            "token_id": "the range",
            "below": "width",
            "above": "width, on both sides the same",
            "buffer": "trigger",
            "hold": "hold, in bars",
            "deviation": "deviation",
            "cooldown": "cooldown",
        },
    }
)
"""Which column or part of a case says what the term says."""

_AT_HAND: Final = "the keeper is always there, and nobody else acts"
_FOREVER: Final = "rules do not expire"
_COUNTED: Final = "nothing counts a day's actions; few trades are what a budget of trades is for"
_LOSSES: Final = "no budget of losses runs out"
_SLIPPAGE: Final = "no action is refused for what it loses"
_GAS: Final = "no action waits for cheaper gas"
_BOUNTY: Final = "no bounty is paid"

ASIDE: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        "basket": {
            "max_age": "every price is believed",
            "low": "every price is believed",
            "high": "every price is believed",
            "cap_bps": "a weight has no cap but its band",
            "max_step": "an action goes all the way at once",
            "spot_bps": "pools agree with prices",
            "full_bps": "nothing depends on urgency",
            "keeper": _AT_HAND,
            "expiry": _FOREVER,
            "daily": _COUNTED,
            "slippage_bps": _SLIPPAGE,
            "slippage_urgent_bps": _SLIPPAGE,
            "gas_cap": _GAS,
            "public_bps": _BOUNTY,
            "bounty_bps": _BOUNTY,
            "bounty_cap": _BOUNTY,
            "budget": _LOSSES,
            "window": _LOSSES,
        },
        "loan": {
            "slippage_bps": _SLIPPAGE,
            "max_step": "an action goes all the way at once, or by its speed",
            "borrow_step": "an action goes all the way at once, or by its speed",
            "expiry": _FOREVER,
            "keeper": _AT_HAND,
            "hold": "a breach is acted on as soon as it is seen",
            "urgent_step": "nothing depends on urgency",
            "urgent_slippage_bps": _SLIPPAGE,
            "daily": _COUNTED,
            "gas_cap": _GAS,
            "public_bps": _BOUNTY,
            "bounty_bps": _BOUNTY,
            "bounty_cap": _BOUNTY,
            "budget": _LOSSES,
            "window": _LOSSES,
        },
        "range": {
            "cutoff_low": "no price makes it leave the pool",
            "cutoff_high": "no price makes it leave the pool",
            "exit_low": "no price makes it leave the pool",
            "exit_high": "no price makes it leave the pool",
            "direction": "it follows the price both ways",
            "placement": "it is laid around the price",
            "slippage_bps": _SLIPPAGE,
            "placed_bps": _SLIPPAGE,
            "compound_at": "fees are put to work when it moves",
            "expiry": _FOREVER,
            "daily": _COUNTED,
            "budget_bps": _LOSSES,
            "refill": _LOSSES,
            "keeper": _AT_HAND,
        },
    }
)
"""Why the term makes no difference to a simulated rule."""


def aside_note(kind: Kind) -> str:
    """What a reader of any result must know of the terms that were left out."""
    why: dict[str, list[str]] = {}
    for term, reason in ASIDE[kind].items():
        why.setdefault(reason, []).append(term)
    told = "; ".join(f"{reason} ({', '.join(terms)})" for reason, terms in why.items())
    return f"not lived through: {told}"
