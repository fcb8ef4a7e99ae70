"""The kernels' conventions over again, in plain Python and at least 28 digits, one rule and one bar at a time.

Written from `keeper/planner/conventions.py` and not from the kernels: loops where those have lanes, objects where those
have rows, and `decimal` where those have floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

ONE = Decimal(1)


def dec(value: float) -> Decimal:
    """The float's exact value."""
    return Decimal(float(value))


@dataclass
class Life:
    """What is left of a life: net worth, and (bar, side, value sold, all costs) of each action."""

    value: Decimal
    actions: list[tuple[int, int, Decimal, Decimal]]
    deviations: list[Decimal]
    equity: list[Decimal]


@dataclass(frozen=True)
class Terms:
    """Costs whose impact is in proportion to size, so that all is rational."""

    fee: float = 0.0
    impact: float = 0.0
    attempts: float = 1.0
    delay: int = 0
    premium: float = 0.0
    failed: float = 0.4

    def cost(self, sold: Decimal) -> Decimal:
        """Fee and impact of a sale."""
        return sold * (dec(self.fee) + dec(self.impact) * sold / 1_000_000)


def basket(
    times: Sequence[int],
    opens: Sequence[Sequence[float]],
    closes: Sequence[Sequence[float]],
    gas: Sequence[float],
    targets: Sequence[float],
    trigger: float,
    destination: float,
    is_relative: bool,
    cooldown: int,
    look: int,
    terms: Terms,
    capital: float,
) -> Life:
    """A basket's life."""
    aims = [dec(t) for t in targets]
    units = [aim * dec(capital) / dec(price) for aim, price in zip(aims, closes[0], strict=True)]
    life = Life(dec(capital), [], [], [])
    last: int | None = None
    due = -1

    def weigh(prices: Sequence[float]) -> tuple[Decimal, list[Decimal], Decimal]:
        values = [unit * dec(price) for unit, price in zip(units, prices, strict=True)]
        total = sum(values, Decimal(0))
        off = [value / total - aim for value, aim in zip(values, aims, strict=True)]
        far = max(abs(o) / a if is_relative else abs(o) for o, a in zip(off, aims, strict=True))
        return total, off, far

    def landed(off: Sequence[Decimal]) -> list[Decimal]:
        """Each asset's deviation after the action: a drifted one on its destination, others on what is left over."""
        unit = [a if is_relative else ONE for a in aims]
        rest = [
            dec(destination) * u * (1 if o > 0 else -1) if abs(o) > dec(trigger) * u else o
            for o, u in zip(off, unit, strict=True)
        ]
        while abs(gap := sum(rest, Decimal(0))) > Decimal("1e-26"):
            # What is left over stands above or below its targets, and the farthest on that side gives way first.
            side = 1 if gap > 0 else -1
            at = max((a for a in range(len(rest)) if off[a] * side > 0), key=lambda a: rest[a] * side)
            rest[at] -= side * min(rest[at] * side, abs(gap))
        return rest

    def act(bar: int, prices: Sequence[float]) -> None:
        nonlocal last
        total, off, far = weigh(prices)
        if not (far > dec(trigger) and (last is None or times[bar] >= last + cooldown)):
            spent = dec(gas[bar]) * dec(terms.failed)
            for at in range(len(units)):
                units[at] *= 1 - spent / total
            life.actions.append((bar, 0, Decimal(0), spent))
            return
        wanted = [aim + o for aim, o in zip(aims, landed(off), strict=True)]
        spent = dec(gas[bar]) * dec(terms.attempts)
        left = total - spent
        for _ in range(60):
            sold = sum(
                (
                    max((a + o) * total - w * left, Decimal(0))
                    for a, o, w in zip(aims, off, wanted, strict=True)
                ),
                Decimal(0),
            )
            sold = max(sold - spent, Decimal(0))
            left = total - spent - terms.cost(sold)
        for at, price in enumerate(prices):
            units[at] = wanted[at] * left / dec(price)
        first = max(range(len(off)), key=lambda at: abs(off[at]) / aims[at] if is_relative else abs(off[at]))
        if len(off) == 2:
            first = 0
        life.actions.append((bar, 1 if off[first] > 0 else -1, sold, total - left))
        last = times[bar]

    for bar in range(len(times)):
        if due == bar:
            due = -1
            act(bar, opens[bar])
        _, off, far = weigh(closes[bar])
        first = (
            0
            if len(off) == 2
            else max(range(len(off)), key=lambda at: abs(off[at]) / aims[at] if is_relative else abs(off[at]))
        )
        life.deviations.append(off[first])
        rested = last is None or times[bar] >= last + cooldown
        if due < 0 and (bar + 1) % look == 0 and far > dec(trigger) and rested:
            if terms.delay:
                due = bar + terms.delay
            else:
                act(bar, closes[bar])
        life.equity.append(weigh(closes[bar])[0])
    life.value = life.equity[-1]
    return life


@dataclass(frozen=True)
class Market:
    """A lending market's terms."""

    threshold: float = 0.825
    close_factor: float = 0.5
    full_below: float = 0.95
    bonus: float = 0.05


def loan(
    times: Sequence[int],
    opens: Sequence[float],
    lows: Sequence[float],
    closes: Sequence[float],
    gas: Sequence[float],
    supplied: Sequence[float],
    borrowed: Sequence[float],
    band: tuple[float, float, float],
    cooldown: int,
    look: int,
    market: Market,
    terms: Terms,
    capital: float,
    speed: float = 1.0,
) -> Life:
    """A loan's life."""
    floor, target, ceiling = (Decimal("Infinity") if x == float("inf") else dec(x) for x in band)
    lt = dec(market.threshold)
    leverage = target / (target - lt)
    units = dec(capital) * leverage / dec(closes[0])
    debt = dec(capital) * (leverage - 1)
    purse = Decimal(0)
    life = Life(dec(capital), [], [], [])
    last: int | None = None
    due = -1

    def health(price: float) -> Decimal:
        return units * dec(price) * lt / debt if debt > 0 else Decimal("Infinity")

    def side(bar: int, price: float) -> int:
        rested = last is None or times[bar] >= last + cooldown
        if debt > 0 and rested and health(price) < floor:
            return -1
        return 1 if debt > 0 and rested and health(price) > ceiling else 0

    def act(bar: int, price: float, way: int) -> None:
        nonlocal units, debt, purse, last
        spent = dec(gas[bar])
        h = health(price)
        if way == 0:
            spent *= dec(terms.failed)
            purse -= spent
            life.actions.append((bar, 0, Decimal(0), spent))
            return
        before = units * dec(price) - debt
        # Part of the way only, but no nearer the edge than a hundredth: landing there, it would be left again at once.
        aim = h + (target - h) * dec(speed)
        if way < 0:
            aim = min(max(aim, floor / dec(0.99)), target)
            ratio, repay = ONE, Decimal(0)
            for _ in range(80):
                repay = min(debt * (aim - h) / (aim - lt * ratio), debt)
                sold = repay * ratio
                ratio = (1 + dec(terms.premium)) / (1 - dec(terms.fee) - dec(terms.impact) * sold / 1_000_000)
            sold = repay * ratio
            units, debt = units - sold / dec(price), debt - repay
        else:
            # The contract lets a step land within half a percent; from above the keeper aims at the middle of that.
            kept, sold, aim = ONE, Decimal(0), max(min(aim, ceiling / dec(1.01)), target) * dec(1.0025)
            for _ in range(80):
                sold = debt * (h - aim) / (aim - lt * kept)
                kept = 1 - dec(terms.fee) - dec(terms.premium) - dec(terms.impact) * sold / 1_000_000
            units, debt = units + sold * kept / dec(price), debt + sold
        spent *= dec(terms.attempts)
        purse -= spent
        life.actions.append((bar, way, sold, before - (units * dec(price) - debt) + spent))
        last = times[bar]

    for bar in range(len(times)):
        if bar:
            units *= dec(supplied[bar])
            debt *= dec(borrowed[bar])
            if due == bar:
                due = -1
                act(bar, opens[bar], side(bar, opens[bar]))
            while health(lows[bar]) < 1 and units > 0:
                price = dec(lows[bar])
                share = ONE if health(lows[bar]) < dec(market.full_below) else dec(market.close_factor)
                repaid = debt * share
                seized = min(repaid * (1 + dec(market.bonus)), units * price)
                repaid = seized / (1 + dec(market.bonus))
                units, debt = units - seized / price, debt - repaid
                life.actions.append((bar, 2, seized, seized - repaid))
        value = units * dec(closes[bar]) - debt + purse
        if value <= 0:
            life.value = Decimal(0)
            return life
        if due < 0 and (bar + 1) % look == 0 and (way := side(bar, closes[bar])):
            if terms.delay:
                due = bar + terms.delay
            else:
                act(bar, closes[bar], way)
        life.value = units * dec(closes[bar]) - debt + purse
        life.equity.append(life.value)
    return life


def liquidity(
    times: Sequence[int],
    opens: Sequence[float],
    highs: Sequence[float],
    lows: Sequence[float],
    closes: Sequence[float],
    growth: Sequence[float],
    gas: Sequence[float],
    width: float,
    trigger: float,
    hold: int,
    cooldown: int,
    look: int,
    deviation: float,
    terms: Terms,
    capital: float,
) -> tuple[Life, Decimal, Decimal]:
    """A range's life, and what it earned in fees and lost against rebalancing."""
    life = Life(dec(capital), [], [], [])
    r = dec(width).exp()

    def parts(price: Decimal, centre: Decimal) -> tuple[Decimal, Decimal]:
        root = min(max(price, centre / r), centre * r).sqrt()
        return 1 / root - 1 / (centre * r).sqrt(), root - (centre / r).sqrt()

    def amount(value: Decimal, price: Decimal, centre: Decimal) -> Decimal:
        x, y = parts(price, centre)
        return value / (x * price + y)

    centre = dec(closes[0])
    size = amount(dec(capital), centre, centre)
    purse = earned = lost = Decimal(0)
    last: int | None = None
    due = -1

    def holds(price: Decimal) -> tuple[Decimal, Decimal]:
        x, y = parts(price, centre)
        return size * x, size * y

    def worth(price: Decimal) -> Decimal:
        x, y = holds(price)
        return x * price + y

    def sale(x: Decimal, y: Decimal, price: Decimal, mean: Decimal) -> Decimal:
        """What brings both tokens to the new range's ratio at the price after it, which moves twice what is lost."""

        def step(sold: Decimal) -> Decimal:
            """What to sell, were the price after it that after selling so much."""
            share = dec(terms.impact) * sold / 1_000_000
            kept = 1 - dec(terms.fee) - share
            if sells_x:
                of_x, of_y = parts(price * (1 - 2 * share), mean)
                return (x * of_y - y * of_x) / (of_y / price + kept * of_x)
            of_x, of_y = parts(price / (1 - 2 * share), mean)
            return (y * of_x - x * of_y) / (of_x + kept / price * of_y)

        of_x, of_y = parts(price, mean)
        sells_x = x * of_y > y * of_x
        sold, before = step(Decimal(0)), Decimal(-1)
        while abs(sold - before) > (x * price + y) * Decimal("1e-14"):
            sold, before = step(sold), sold
        return sold

    def mean_to(bar: int, price: Decimal) -> Decimal:
        """Of the logarithms of the closes over the hold, as a price; of one bar it is the price itself."""
        if hold <= 1:
            return price
        seen = [dec(c).ln() for c in closes[max(bar + 1 - hold, 0) : bar + 1]]
        return (sum(seen, Decimal(0)) / len(seen)).exp()

    def breached(bar: int, price: Decimal, mean: Decimal) -> bool:
        off, mean_off = (price / centre).ln(), (mean / centre).ln()
        out = min(abs(off), abs(mean_off)) if off * mean_off > 0 else Decimal(0)
        rested = last is None or times[bar] >= last + cooldown
        return out > dec(trigger) and rested and abs((price / mean).ln()) <= dec(deviation)

    def act(bar: int, price: Decimal, mean: Decimal) -> None:
        nonlocal centre, size, purse, last
        x, y = holds(price)
        y += purse
        total = x * price + y
        sold = sale(x, y, price, mean)
        spent = terms.cost(sold) + dec(gas[bar]) * dec(terms.attempts)
        life.actions.append((bar, 1 if price > centre else -1, sold, spent))
        centre, purse = mean, Decimal(0)
        size = amount(total - spent, price, mean)
        last = times[bar]

    before = centre
    for bar in range(len(times)):
        if due == bar:
            due = -1
            price = dec(opens[bar])
            lost += worth(before) + holds(before)[0] * (price - before) - worth(price)
            before = price
            if breached(bar, price, mean := mean_to(bar - 1, price)):
                act(bar, price, mean)
            else:
                spent = dec(gas[bar]) * dec(terms.failed)
                purse -= spent
                life.actions.append((bar, 0, Decimal(0), spent))
        if bar:
            high, low = dec(highs[bar]).ln(), dec(lows[bar]).ln()
            top, bottom = min(high, (centre * r).ln()), max(low, (centre / r).ln())
            inside = ONE if low == high else max(top - bottom, Decimal(0)) / (high - low)
            earned += size * dec(growth[bar]) * inside
            purse += size * dec(growth[bar]) * inside
        price = dec(closes[bar])
        lost += worth(before) + holds(before)[0] * (price - before) - worth(price)
        before = price
        if due < 0 and (bar + 1) % look == 0 and breached(bar, price, mean := mean_to(bar, price)):
            if terms.delay:
                due = bar + terms.delay
            else:
                act(bar, price, mean)
        life.equity.append(worth(price) + purse)
    life.value = life.equity[-1]
    return life, earned, lost
