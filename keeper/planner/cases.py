"""A case is a position in a history with its costs: what any of its rules can be lived through, scored or drawn.

Rules are rows of numbers in the order of their kind's `RULE`. A case is plain arrays, so that it travels to another
process, and can be cut in time, for a walk forward or a crash seen apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner import simulate_basket, simulate_loan, simulate_pairs, simulate_range
from keeper.planner.bars import History, aligned
from keeper.planner.charges import Charges
from keeper.planner.costs import Costs
from keeper.planner.record import ACTION_WIDTH, BAR_WIDTH, path_of
from keeper.planner.results import COLUMNS, YEAR, Floats, Ints, Kind, Path
from keeper.planner.simulate_basket import BasketHistory
from keeper.planner.simulate_loan import Lending, LoanHistory
from keeper.planner.simulate_range import RangeHistory
from keeper.planner.terms import aside_note
from keeper.planner.volatility import fed, move

FIXED: Final = 0
WITH_VOLATILITY: Final = 1
AGAINST_VOLATILITY: Final = 2
SCALINGS: Final = ("fixed", "with volatility", "against volatility")
"""How a band moves with volatility: not, in proportion (a budget of trades), or in inverse (of tracking error)."""

REFERENCE: Final = 0.8
"""The yearly volatility at which a scaled band is as wide as its rule says."""

WIDEST: Final = 4.0
"""How many times wider, or narrower, a scaled band may become."""

HORIZON: Final = 7 * 86_400
"""Seconds over which a rule that follows volatility counts its sigmas."""

_ACTED: Final = [COLUMNS.index(name) for name in ("trades", "failed", "liquidations")]


class Case(Protocol):
    """What a sweep, a search and a walk need of a position, whatever its kind."""

    @property
    def kind(self) -> Kind:
        """Which kind of position it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the numbers of a rule are, in order."""

    @property
    def moment(self) -> Ints:
        """When its bars close."""

    @property
    def seconds(self) -> int:
        """How long they are."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any result must know of the data and the costs."""

    def score(self, rules: Floats) -> Floats:
        """Each rule lived through: one row of `COLUMNS` per rule."""

    def path(self, rule: Floats) -> Path:
        """One rule's life, bar by bar."""

    def cut(self, first: int, last: int) -> Case:
        """The same position over some of the bars."""


def scales_of(price: Floats, moment: Ints, unknown: float = WIDEST) -> Floats:
    """One row per scaling, one column per bar, by the chain's volatility as it stood before the bar closed.

    A band is at most four times wider or narrower than its rule says. While volatility is not known one that moves with
    it is as wide as `unknown`, and one that moves against it, which no contract has, as its rule says.
    """
    sigma = fed(price, moment)
    bounded = np.clip(sigma / REFERENCE, 1.0 / WIDEST, WIDEST)
    with_it, against = np.where(sigma > 0, bounded, unknown), np.where(sigma > 0, 1.0 / bounded, 1.0)
    return np.vstack((np.ones(len(price)), with_it, against))


def moves_of(price: Floats, moment: Ints) -> Floats:
    """One standard deviation over the horizon at each bar, by that same volatility; inf while it is not known."""
    sigma = fed(price, moment)
    return np.where(sigma > 0, move(sigma, HORIZON), np.inf)


@dataclass(frozen=True, slots=True)
class BasketCase:
    """A basket of weights; `prices` of all its assets but the last, which is money, unless `targets` are as many."""

    history: BasketHistory
    targets: Floats
    charges: Charges
    capital: float
    seconds: int
    notes: tuple[str, ...] = ()
    kind: Kind = field(default="basket", init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Case`."""
        return simulate_basket.RULE

    @property
    def moment(self) -> Ints:
        """See `Case`."""
        return self.history.moment

    def score(self, rules: Floats) -> Floats:
        """See `Case`; a basket of two lives through many rules abreast, as they share a scaling."""
        rules = _rows(rules, self)
        rows = np.empty((len(rules), len(COLUMNS)))
        if len(self.targets) != 2:
            simulate_basket.live_many(rules, self.targets, self.history, self.charges, self.capital, rows)
            return rows
        for scaling in np.unique(rules[:, 5]):
            alike = np.flatnonzero(rules[:, 5] == scaling)
            for start in range(0, len(alike), simulate_pairs.LANES):
                at = alike[start : start + simulate_pairs.LANES]
                found = np.empty((len(at), len(COLUMNS)))
                simulate_pairs.live_abreast(
                    rules[at], self.targets, self.history, self.charges, self.capital, found
                )
                rows[at] = found
        return rows

    def path(self, rule: Floats) -> Path:
        """See `Case`."""
        row, bars, log = _paper(self.score(rule[None, :])[0], len(self.moment))
        simulate_basket.live(rule, self.targets, self.history, self.charges, self.capital, row, bars, log)
        price = self.history.closes[:, 0] / self.history.closes[:, -1]
        return path_of(self.kind, self.seconds, self.moment, price, bars, log)

    def cut(self, first: int, last: int) -> BasketCase:
        """See `Case`."""
        history, at = self.history, slice(first, last)
        ideal = history.ideal[at].copy()
        ideal[0] = 0.0
        return replace(
            self,
            history=BasketHistory(
                history.moment[at],
                history.opens[at],
                history.closes[at],
                history.gas[at],
                ideal,
                np.ascontiguousarray(history.scales[:, at]),
                history.day,
            ),
        )


def basket_case(
    histories: Sequence[History], targets: Sequence[float], costs: Costs, capital: float = 100_000.0
) -> BasketCase:
    """A basket of the histories' assets; with one target more than histories, the last is of money itself.

    One target alone leaves the rest in money.
    """
    weights = [*targets, 1.0 - sum(targets)] if len(targets) == len(histories) == 1 else list(targets)
    if len(weights) not in (len(histories), len(histories) + 1) or len(weights) < 2:
        raise Misconfigured(f"basket: {len(weights)} weights do not fit {len(histories)} histories and money")
    if min(weights) <= 0 or abs(sum(weights) - 1.0) > 1e-9:
        raise Misconfigured(f"basket: weights of {weights} are not all above 0 and 1 together")
    capital = _money(capital)
    bars = aligned(histories)
    first = bars[0]
    money = [np.ones(len(first))] * (len(weights) - len(bars))
    closes = np.column_stack([*(each.close for each in bars), *money])
    opens = np.column_stack([*(each.open for each in bars), *money])
    weight = np.array(weights)
    ideal = np.zeros(len(first))
    ideal[1:] = (closes[1:] / closes[:-1] - 1.0) @ weight
    gas, notes = costs.gas_money(first)
    relative = closes[:, 0] / closes[:, -1]
    history = BasketHistory(
        first.moment, opens, closes, gas, ideal, scales_of(relative, first.moment), first.day
    )
    told = tuple(dict.fromkeys(note for each in bars for note in each.notes))
    return BasketCase(
        history, weight, costs.charges, capital, first.seconds, (*told, *notes, aside_note("basket"))
    )


@dataclass(frozen=True, slots=True)
class LoanCase:
    """A loan of one collateral against one debt, on its market's terms."""

    history: LoanHistory
    lending: Lending
    charges: Charges
    capital: float
    seconds: int
    notes: tuple[str, ...] = ()
    kind: Kind = field(default="loan", init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Case`."""
        return simulate_loan.RULE

    @property
    def moment(self) -> Ints:
        """See `Case`."""
        return self.history.moment

    def score(self, rules: Floats) -> Floats:
        """See `Case`."""
        rules = _rows(rules, self)
        rows = np.empty((len(rules), len(COLUMNS)))
        simulate_loan.live_many(rules, self.lending, self.history, self.charges, self.capital, rows)
        return rows

    def path(self, rule: Floats) -> Path:
        """See `Case`."""
        row, bars, log = _paper(self.score(rule[None, :])[0], len(self.moment))
        simulate_loan.live(rule, self.lending, self.history, self.charges, self.capital, row, bars, log)
        return path_of(self.kind, self.seconds, self.moment, self.history.closes, bars, log)

    def cut(self, first: int, last: int) -> LoanCase:
        """See `Case`."""
        history, at = self.history, slice(first, last)
        return replace(
            self,
            history=LoanHistory(
                history.moment[at],
                history.opens[at],
                history.lows[at],
                history.closes[at],
                history.gas[at],
                history.supplied[at],
                history.borrowed[at],
                history.moves[at],
                history.day,
            ),
        )


def loan_case(
    history: History,
    lending: Lending,
    costs: Costs,
    supply_rate: float = 0.0,
    borrow_rate: float = 0.0,
    capital: float = 100_000.0,
) -> LoanCase:
    """A loan against the history's asset; rates are continuous and yearly, and run through gaps in the data too."""
    if not 0 < lending.threshold < 1:
        raise Misconfigured(
            f"loan: a liquidation threshold of {lending.threshold} is no share between 0 and 1"
        )
    capital = _money(capital)
    gas, notes = costs.gas_money(history)
    apart = np.diff(history.time, prepend=history.time[0]) / YEAR
    bars = LoanHistory(
        history.moment,
        history.open,
        history.low,
        history.close,
        gas,
        np.exp(supply_rate * apart),
        np.exp(borrow_rate * apart),
        moves_of(history.close, history.moment),
        history.day,
    )
    return LoanCase(
        bars, lending, costs.charges, capital, history.seconds, (*history.notes, *notes, aside_note("loan"))
    )


@dataclass(frozen=True, slots=True)
class RangeCase:
    """A range of liquidity in one pool."""

    history: RangeHistory
    charges: Charges
    capital: float
    seconds: int
    notes: tuple[str, ...] = ()
    kind: Kind = field(default="range", init=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Case`."""
        return simulate_range.RULE

    @property
    def moment(self) -> Ints:
        """See `Case`."""
        return self.history.moment

    def score(self, rules: Floats) -> Floats:
        """See `Case`."""
        rules = _rows(rules, self)
        rows = np.empty((len(rules), len(COLUMNS)))
        simulate_range.live_many(rules, self.history, self.charges, self.capital, rows)
        return rows

    def path(self, rule: Floats) -> Path:
        """See `Case`."""
        row, bars, log = _paper(self.score(rule[None, :])[0], len(self.moment))
        simulate_range.live(rule, self.history, self.charges, self.capital, row, bars, log)
        return path_of(self.kind, self.seconds, self.moment, self.history.closes, bars, log)

    def cut(self, first: int, last: int) -> RangeCase:
        """See `Case`; a hold looks back no further than the cut."""
        history, at = self.history, slice(first, last)
        return replace(
            self,
            history=RangeHistory(
                history.moment[at],
                history.opens[at],
                history.closes[at],
                history.root[at],
                history.ln[at],
                np.concatenate(([0.0], np.cumsum(history.ln[at]))),
                history.low[at],
                history.high[at],
                history.growth[at],
                history.gas[at],
                np.ascontiguousarray(history.scales[:, at]),
                history.day,
            ),
        )


def range_case(
    history: History,
    costs: Costs,
    fee_yield: float | None = None,
    pool_fee: float = 0.0005,
    capital: float = 100_000.0,
) -> RangeCase:
    """A range in the history's pool, which earns by the file's volume and liquidity, or else a yield that is given.

    `fee_yield` is what full-range liquidity earns a year, as a share of its value.
    """
    capital = _money(capital)
    gas, notes = costs.gas_money(history)
    root, ln = np.sqrt(history.close), np.log(history.close)
    if fee_yield is not None:
        growth = fee_yield * 2.0 * root * (history.seconds / YEAR)
        notes = (*notes, f"full-range liquidity is taken to earn {fee_yield:.1%} a year at every bar")
    elif history.volume is not None and history.liquidity is not None:
        growth = history.volume * pool_fee / np.where(history.liquidity > 0, history.liquidity, math.inf)
        notes = (*notes, "fees are those of the file's volume over its liquidity; ours does not thin them")
    else:
        raise Misconfigured(
            f"range: {history.name} has no columns volume_usd and liquidity to earn by; say what full-range "
            "liquidity earns a year (--fee-yield)"
        )
    bars = RangeHistory(
        history.moment,
        history.open,
        history.close,
        root,
        ln,
        np.concatenate(([0.0], np.cumsum(ln))),
        np.log(history.low),
        np.log(history.high),
        growth,
        gas,
        # A range is laid before anything was measured, and no contract has one that follows.
        scales_of(history.close, history.moment, unknown=1.0),
        history.day,
    )
    return RangeCase(
        bars, costs.charges, capital, history.seconds, (*history.notes, *notes, aside_note("range"))
    )


def _rows(rules: Floats, case: Case) -> Floats:
    """Rules as the kernels read them, which do not look where a row ends."""
    if rules.ndim != 2 or rules.shape[1] != len(case.columns):
        raise Misconfigured(
            f"{case.kind}: rules of {rules.shape[-1]} numbers are not of its {len(case.columns)}"
        )
    return np.ascontiguousarray(rules, dtype=np.float64)


def _paper(row: Floats, bars: int) -> tuple[Floats, Floats, Floats]:
    """Empty rows to write a life into, as many as it is known to need."""
    acted = int(row[_ACTED].sum())
    return np.empty_like(row), np.zeros((bars, BAR_WIDTH)), np.zeros((acted, ACTION_WIDTH))


def _money(capital: float) -> float:
    """Capital as the kernels take it, which know no whole numbers for money."""
    if not 0 < capital < math.inf:
        raise Misconfigured(f"plan: a capital of {capital} is nothing to plan for")
    return float(capital)
