"""Holdings and rules as columns: a row for each, to be valued and judged all at once, and exact to the last digit.

An account's shares are entries, as many as it has reserves in use; a change of one account touches its entries alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.holdings import MOST_RESERVES, Holding
from keeper.domain.loan_band import narrowest
from keeper.domain.loans import LoanRule
from keeper.domain.rules import RuleKey

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]

MODES: Final = 256
CELLS: Final = MODES * MOST_RESERVES
"""A cell is an e-mode and a reserve: `mode * MOST_RESERVES + id`."""
_64_BITS: Final = 2**64 - 1
_FEWEST: Final = 64


class Entries:
    """One side of many accounts: whose each entry is, its cell, and its shares as a float and as two halves."""

    def __init__(self, accounts: int) -> None:
        self._size = 0
        self._dead = 0
        self._account: Places = np.zeros(_FEWEST, np.intp)
        self._cell: Places = np.zeros(_FEWEST, np.intp)
        self._shares: Floats = np.zeros(_FEWEST)
        self._halves: NDArray[np.uint64] = np.zeros((_FEWEST, 2), np.uint64)
        self._start: Places = np.zeros(accounts, np.intp)
        self.count: Places = np.zeros(accounts, np.intp)
        """How many entries each account has."""

    @property
    def account(self) -> Places:
        """Whose each entry is; those that are nobody's any more have no shares."""
        return self._account[: self._size]

    @property
    def cell(self) -> Places:
        """The e-mode and reserve of each."""
        return self._cell[: self._size]

    @property
    def shares(self) -> Floats:
        """The scaled balance of each, to the nearest float."""
        return self._shares[: self._size]

    def put(self, account: int, mode: int, held: Sequence[tuple[int, int]]) -> None:
        """Replace the entries of one account."""
        if len(held) != self.count[account]:
            self._move(account, len(held))
        at = int(self._start[account])
        for id_, shares in held:
            self._cell[at] = mode * MOST_RESERVES + id_
            self._shares[at] = shares
            self._halves[at] = shares >> 64, shares & _64_BITS
            at += 1

    def of(self, account: int) -> tuple[tuple[int, int], ...]:
        """One account's reserves and shares, to the last digit."""
        at = int(self._start[account])
        until = at + int(self.count[account])
        return tuple(
            (cell % MOST_RESERVES, high << 64 | low)
            for cell, (high, low) in zip(
                self._cell[at:until].tolist(), self._halves[at:until].tolist(), strict=True
            )
        )

    def among(self, accounts: Places) -> tuple[Places, Places, Floats]:
        """The entries of some accounts: whose each is, as a place among them, its cell and its shares."""
        counts = self.count[accounts]
        before = np.cumsum(counts) - counts
        whose = np.repeat(np.arange(len(accounts)), counts)
        at = np.arange(len(whose)) + (self._start[accounts] - before)[whose]
        return whose, self._cell[at], self._shares[at]

    def _move(self, account: int, count: int) -> None:
        """Room at the end for another number of entries; what was there belongs to nobody."""
        old, had = int(self._start[account]), int(self.count[account])
        self._shares[old : old + had] = 0.0
        self._cell[old : old + had] = 0
        self._dead += had
        self.count[account] = 0
        if self._dead > self._size // 2 + _FEWEST:
            self._close_up()
        if self._size + count > len(self._shares):
            more = max(2 * len(self._shares), self._size + count)
            for name in ("_account", "_cell", "_shares", "_halves"):
                setattr(self, name, _longer(getattr(self, name), more))
        self._start[account], self.count[account] = self._size, count
        self._account[self._size : self._size + count] = account
        self._size += count

    def _close_up(self) -> None:
        owner = self._account[: self._size]
        place = np.arange(self._size)
        starts = self._start[owner]
        lives = (place >= starts) & (place < starts + self.count[owner])
        kept = np.flatnonzero(lives)
        for name in ("_account", "_cell", "_shares", "_halves"):
            column = getattr(self, name)
            column[: len(kept)] = column[kept]
        self._size, self._dead = len(kept), 0
        accounts, first = np.unique(self._account[: self._size], return_index=True)
        self._start[accounts] = first


class HoldingColumns:
    """The holdings of so many accounts, empty at first.

    `whole` are those that shares tell all about, `fit` those of them whose sums were seen to be Aave's.
    """

    def __init__(self, accounts: int) -> None:
        self.collateral: Final = Entries(accounts)
        self.debt: Final = Entries(accounts)
        self.mode: Final[Places] = np.zeros(accounts, np.intp)
        self.whole: Final[Flags] = np.zeros(accounts, np.bool_)
        self.fit: Final[Flags] = np.zeros(accounts, np.bool_)

    def put(self, account: int, holding: Holding, fit: bool) -> None:
        """Replace what one account holds."""
        self.mode[account] = holding.mode
        self.whole[account] = holding.is_whole
        self.fit[account] = fit and holding.is_whole
        self.collateral.put(account, holding.mode, holding.collateral)
        self.debt.put(account, holding.mode, holding.debt)

    def of(self, account: int) -> Holding:
        """What one account holds."""
        sides = self.collateral.of(account), self.debt.of(account)
        return Holding(int(self.mode[account]), *sides, bool(self.whole[account]))


class RuleColumns:
    """Rules by row, each with its account's; edges in WAD, a ceiling of 0 being none.

    Of a band that follows volatility they are the narrowest, since that moves without a log.
    """

    def __init__(self) -> None:
        self.keys: list[RuleKey] = []
        self.rules: list[LoanRule | None] = []
        self._rows: dict[RuleKey, int] = {}
        self._account: Places = np.zeros(_FEWEST, np.intp)
        self._floor: Floats = np.zeros(_FEWEST)
        self._ceiling: Floats = np.zeros(_FEWEST)
        self._expiry: Floats = np.zeros(_FEWEST)
        self._in_leverage: Flags = np.zeros(_FEWEST, np.bool_)
        self._has_floor_alone: Flags = np.zeros(_FEWEST, np.bool_)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def account(self) -> Places:
        """Whose loan each rule is about."""
        return self._account[: len(self)]

    @property
    def floor(self) -> Floats:
        """The least measure that is within."""
        return self._floor[: len(self)]

    @property
    def ceiling(self) -> Floats:
        """The greatest that is."""
        return self._ceiling[: len(self)]

    @property
    def expiry(self) -> Floats:
        """Unix seconds; below every time where no rule is set."""
        return self._expiry[: len(self)]

    @property
    def in_leverage(self) -> Flags:
        """Which measure cover and not health."""
        return self._in_leverage[: len(self)]

    @property
    def has_floor_alone(self) -> Flags:
        """Which measure health and have no ceiling."""
        return self._has_floor_alone[: len(self)]

    def row(self, key: RuleKey) -> int | None:
        """Where a rule stands, None when it does not."""
        return self._rows.get(key)

    def put(self, key: RuleKey, account: int, rule: LoanRule | None) -> None:
        """Write a rule over the one with its key, or after all others."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self.keys)
            self.keys.append(key)
            self.rules.append(rule)
            if row == len(self._floor):
                for name in ("_account", "_floor", "_ceiling", "_expiry", "_in_leverage", "_has_floor_alone"):
                    setattr(self, name, _longer(getattr(self, name), 2 * row))
        self.rules[row] = rule
        self._account[row] = account
        self._expiry[row] = rule.limits.expiry if rule else -1
        if rule:
            band = narrowest(rule)
            self._floor[row], self._ceiling[row] = band.floor, band.ceiling
            self._in_leverage[row] = rule.terms.in_leverage
            self._has_floor_alone[row] = band.ceiling == 0 and not rule.terms.in_leverage

    def closer(self, by: float) -> RuleColumns:
        """The same rules with every floor so many times higher, and every ceiling as many times lower."""
        narrowed = copy(self)
        narrowed._floor, narrowed._ceiling = self._floor * by, self._ceiling / by
        return narrowed

    def keep(self, keys: Iterable[RuleKey]) -> None:
        """Forget every rule but these."""
        kept = [(key, int(self._account[self._rows[key]]), self.rules[self._rows[key]]) for key in keys]
        self.keys, self.rules, self._rows = [], [], {}
        for key, account, rule in kept:
            self.put(key, account, rule)


def _longer(column: NDArray[Any], size: int) -> NDArray[Any]:
    longer = np.zeros((size, *column.shape[1:]), column.dtype)
    longer[: len(column)] = column
    return longer
