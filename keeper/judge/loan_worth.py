"""What a lending pool says an account is worth, from its shares: to the digit for one, within bounds for all at once.

Source: aave-v3 3.0.2 and 3.6, GenericLogic.calculateUserAccountData; contracts/LoanLens.vy `value` does the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.domain.columns import CELLS, MODES, Flags, Floats, HoldingColumns, Places
from keeper.domain.holdings import MOST_RESERVES, Holding, LendingMarket
from keeper.domain.loans import Loan
from keeper.domain.units import BPS, NO_DEBT, WAD, mul_div_up

_RAY: Final = 10**27
# Of a sum over every reserve's two sides, and of the dozen operations around it, each off by 2**-53 at most.
_LOST: Final = 2.0**-44


def worth(market: LendingMarket, holding: Holding) -> Loan | None:
    """The account as the pool values it at the market's block; None where a price is missing."""
    if not market.knows(holding.mode):
        return None
    apart = market.rounds_apart
    collateral = weighted = debt = 0
    for id_, shares in holding.collateral:
        listing = market.listings.get(id_)
        if listing is None:
            continue  # the pool has dropped the reserve
        price, threshold = market.counted(holding.mode, listing)
        if price is None:
            return None
        if apart or listing.threshold_bps:
            held = (shares * listing.income + (0 if apart else _RAY // 2)) // _RAY * price // listing.unit
            collateral += held
            weighted += held * threshold
    for id_, shares in holding.debt:
        listing = market.listings.get(id_)
        if listing is None:
            continue
        price, _ = market.counted(holding.mode, listing)
        if price is None:
            return None
        if apart:
            debt += mul_div_up(mul_div_up(shares, listing.debt_index, _RAY), price, listing.unit)
        else:
            debt += (shares * listing.debt_index + _RAY // 2) // _RAY * price // listing.unit
    threshold = weighted // collateral if collateral else 0
    if debt == 0:
        return Loan(collateral, debt, threshold, NO_DEBT)
    if apart:
        return Loan(collateral, debt, threshold, _wad_div(weighted, debt) // BPS)
    return Loan(collateral, debt, threshold, _wad_div((collateral * threshold + BPS // 2) // BPS, debt))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what the exact measures of some accounts lie, in WAD.

    `surely` is True where there is some debt however the sums are rounded, `known` False where nothing can be valued.
    """

    health: tuple[Floats, Floats]
    cover: tuple[Floats, Floats]
    known: Flags
    surely: Flags


class Valuer:
    """A market as tables by e-mode and reserve, to value any number of accounts in floats.

    The bounds are wide enough for what floats lose and for each rounding of the exact sums: Aave rounds a balance to
    its token's smallest unit and a value to the base currency's, and before 3.6 it drops the fraction of a basis point
    from the average threshold.
    """

    def __init__(self, market: LendingMarket) -> None:
        self._held: Final[Floats] = np.zeros(CELLS)
        self._owed: Final[Floats] = np.zeros(CELLS)
        self._off: Final[Floats] = np.zeros(CELLS)
        self._least_weight: Final[Floats] = np.zeros(CELLS)
        self._most_weight: Final[Floats] = np.zeros(CELLS)
        self._unknown_modes: Final[Flags] = np.ones(MODES, np.bool_)
        dropped = 0 if market.rounds_apart else 1
        for mode in (0, *market.categories):
            self._unknown_modes[mode] = not market.knows(mode)
            for listing in market.listings.values():
                cell = mode * MOST_RESERVES + listing.id
                price, threshold = market.counted(mode, listing)
                if price is None:
                    self._held[cell] = self._owed[cell] = np.nan
                    continue
                unit = _RAY * listing.unit
                if market.rounds_apart or listing.threshold_bps:
                    self._held[cell] = listing.income * price / unit
                self._owed[cell] = listing.debt_index * price / unit
                self._off[cell] = (price / listing.unit + 1.0) * (1 + _LOST)
                self._least_weight[cell] = (threshold - dropped) / BPS
                self._most_weight[cell] = threshold / BPS
        self._heaviest = max(float(self._most_weight.max()), 1.0)
        self._widest = float(self._off.max())
        self._has_gaps = bool(np.isnan(self._held).any())

    def comfort(self, held: HoldingColumns) -> tuple[Floats, Floats, Flags, Flags]:
        """For every account the least it may count and the most it may owe, both in the base currency.

        And whether it can be valued, and whether it surely owes. The margins are the widest that any account needs.
        """
        accounts = len(held.fit)
        sides = []
        for entries, table in (
            (held.collateral, self._held * self._least_weight * (1 - _LOST)),
            (held.debt, self._owed * (1 + _LOST)),
        ):
            sides.append(_sums(entries.account, entries.shares * table.take(entries.cell), accounts))
        least, most = sides
        known = np.isfinite(least + most) if self._has_gaps else np.ones(accounts, np.bool_)
        known &= ~self._unknown_modes[held.mode]
        off_held = self._widest * self._heaviest * int(held.collateral.count.max(initial=0)) + 1.0
        off_owed = self._widest * int(held.debt.count.max(initial=0))
        least -= off_held
        surely = most > 2 * off_owed
        most += off_owed
        return least, most, known, surely

    def bounds(self, held: HoldingColumns, accounts: Places) -> Bounds:
        """The measures of some accounts, with margins of their own."""
        count = len(accounts)
        whose, cell, shares = held.collateral.among(accounts)
        value, off_held = shares * self._held[cell], _sums(whose, self._off[cell], count)
        collateral = _sums(whose, value, count)
        least_backing = _sums(whose, value * self._least_weight[cell], count) * (1 - _LOST)
        most_backing = _sums(whose, value * self._most_weight[cell], count) * (1 + _LOST)
        off_backing = off_held * self._heaviest + 1.0
        whose, cell, shares = held.debt.among(accounts)
        debt = _sums(whose, shares * self._owed[cell], count)
        off_owed = _sums(whose, self._off[cell], count)
        least_owed, most_owed = debt * (1 - _LOST) - off_owed, debt * (1 + _LOST) + off_owed
        with np.errstate(divide="ignore", invalid="ignore"):
            down = WAD * (1 - _LOST) / most_owed
            up = WAD * (1 + _LOST) / np.maximum(least_owed, 0.0)
            return Bounds(
                health=((least_backing - off_backing) * down - 1.0, (most_backing + off_backing) * up + 1.0),
                cover=(
                    (collateral * (1 - _LOST) - off_held) * down - 1.0,
                    (collateral * (1 + _LOST) + off_held) * up + 1.0,
                ),
                known=np.isfinite(collateral + debt) & ~self._unknown_modes[held.mode[accounts]],
                surely=least_owed > 0.0,
            )


def _sums(whose: Places, what: Floats, count: int) -> Floats:
    """What each of so many has in all."""
    return np.bincount(whose, what, count).astype(np.float64, copy=False)


def _wad_div(a: int, b: int) -> int:
    """As Aave rounds it: half up."""
    return (a * WAD + b // 2) // b
