"""All rules on loans judged at once: which are surely where nothing is to be done, and which need a closer look.

It comes to no verdict of its own but `judge.loan_health`'s, and to none where the bounds of a measure reach an edge.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.columns import HoldingColumns, Places, RuleColumns
from keeper.domain.holdings import LendingMarket
from keeper.domain.units import WAD
from keeper.judge.loan_health import BETWEEN, EXPIRED, HEALTHY, NO_LOAN, NO_RULE
from keeper.judge.loan_worth import Valuer

Codes = NDArray[np.int8]

DOUBT: Final = -1
"""The code of a rule whose loan is to be read and judged exactly."""
# What an edge loses on becoming a float, and a product with it.
_MORE: Final = 1 + 2.0**-44


def screen(rules: RuleColumns, held: HoldingColumns, market: LendingMarket, now: int) -> Codes:
    """For each rule an index into `loan_health.REASONS`, the one that `judge` would come to, or `DOUBT`.

    `now` in unix seconds of the market's block. Most loans are far above their floor, which one look at all of them
    tells; the others are looked at with closer bounds.
    """
    valuer = Valuer(market)
    least, most, known, surely = valuer.comfort(held)
    account = rules.account
    plainly = rules.has_floor_alone & (least[account] >= rules.floor * (_MORE / WAD) * most[account])
    codes = np.where(plainly & surely[account], HEALTHY, DOUBT).astype(np.int8)
    codes[held.debt.count[account] == 0] = NO_LOAN
    codes[now > rules.expiry] = EXPIRED
    codes[rules.expiry < 0.0] = NO_RULE
    codes[~(held.fit & known)[account]] = DOUBT
    doubtful = np.flatnonzero(codes == DOUBT)
    codes[doubtful] = _closely(rules, held, valuer, doubtful)
    return codes


def _closely(rules: RuleColumns, held: HoldingColumns, valuer: Valuer, rows: Places) -> Codes:
    """The codes of some rules that are set and not expired."""
    account, whole = rules.account[rows], rules.in_leverage[rows]
    seen = valuer.bounds(held, account)
    least, most = (np.where(whole, seen.cover[n], seen.health[n]) for n in (0, 1))
    ceiling = rules.ceiling[rows]
    is_above = least >= rules.floor[rows] * _MORE
    codes = np.where(is_above & (most * _MORE <= ceiling), BETWEEN, DOUBT)
    codes = np.where(is_above & (ceiling == 0.0), HEALTHY, codes)
    return np.where(held.fit[account] & seen.known & seen.surely, codes, DOUBT).astype(np.int8)
