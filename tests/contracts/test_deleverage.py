"""The contract's arithmetic beside exact fractions that know nothing of it, and beside the keeper's own copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.devnet.anvil import Anvil
from keeper.devnet.artifacts import compiled
from keeper.devnet.transactions import call
from keeper.domain.loan_band import above_down, aim_down, measure_down
from keeper.domain.loans import Band, Limits, LoanMarket, LoanRule, PoolState, Terms
from keeper.domain.loans import Loan as KeepersLoan
from keeper.domain.units import NOBODY
from keeper.size import releverage
from keeper.size.deleverage import step_through
from tests.contracts.loan_stage import compiled_source, create

WAD = 10**18
Q96 = 2**96
NEVER = 2**256 - 1

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import deleverage
from contracts import loan_steps
from contracts import releverage
from contracts import uniswap_v3
from contracts import wide

@external
@pure
def down(a: uint256, b: uint256, d: uint256) -> uint256:
    return wide._mul_div_down(a, b, d)

@external
@pure
def up(a: uint256, b: uint256, d: uint256) -> uint256:
    return wide._mul_div_up(a, b, d)

@external
@pure
def sell_for(venue: uniswap_v3.Venue, bought: uint256) -> uint256:
    return uniswap_v3._sell_for(venue, bought)

@external
@pure
def size(loan: loan_steps.Loan, venue: uniswap_v3.Venue) -> (loan_steps.Step, bool, bool):
    step: loan_steps.Step = deleverage._size(loan, venue)
    if step.amount == 0:
        return step, False, False
    insolvent: bool = deleverage._is_insolvent(loan.measure, loan.weight_bps, step)
    return step, insolvent, deleverage._lands_below_one(loan.debt, loan.measure, loan.weight_bps, step)

@external
@pure
def buy_with(venue: uniswap_v3.Venue, sold: uint256) -> uint256:
    return uniswap_v3._buy_with(venue, sold)

@external
@pure
def size_up(loan: loan_steps.Loan, venue: uniswap_v3.Venue) -> loan_steps.Step:
    return releverage._size(loan, venue)
"""


VENUE = "(uint24,bool,uint256,uint256)"
LOAN = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
STEP = "(uint256,uint256,uint256,uint256,uint256)"


class Sums:
    """The contract's arithmetic by itself, on a chain because a hundred thousand opcodes are slow in Python."""

    def __init__(self, anvil: Anvil) -> None:
        self._node = anvil.node
        harness = {**compiled_source(HARNESS), "linkReferences": {}}
        self._at = create(anvil.node, compiled("sums", harness))

    def down(self, a: int, b: int, d: int) -> int:
        return int(self._ask("down(uint256,uint256,uint256)", "(uint256)", a, b, d)[0])

    def up(self, a: int, b: int, d: int) -> int:
        return int(self._ask("up(uint256,uint256,uint256)", "(uint256)", a, b, d)[0])

    def sell_for(self, venue: tuple[Any, ...], bought: int) -> int:
        return int(self._ask(f"sell_for({VENUE},uint256)", "(uint256)", venue, bought)[0])

    def size(self, loan: tuple[int, ...], venue: tuple[Any, ...]) -> tuple[Any, ...]:
        returns = "((uint256,uint256,uint256,uint256,uint256),bool,bool)"
        return self._ask(f"size({LOAN},{VENUE})", returns, loan, venue)

    def buy_with(self, venue: tuple[Any, ...], sold: int) -> int:
        return int(self._ask(f"buy_with({VENUE},uint256)", "(uint256)", venue, sold)[0])

    def size_up(self, loan: tuple[int, ...], venue: tuple[Any, ...]) -> tuple[int, ...]:
        step: tuple[int, ...] = self._ask(f"size_up({LOAN},{VENUE})", f"({STEP})", loan, venue)[0]
        return step

    def _ask(self, signature: str, returns: str, *arguments: Any) -> tuple[Any, ...]:
        return call(self._node, self._at, signature, returns, *arguments)


@pytest.fixture(scope="module")
def sums() -> Iterator[Sums]:
    with Anvil() as anvil:
        yield Sums(anvil)


@dataclass(frozen=True)
class Market:
    """A loan in trouble and one pool; prices are of whole tokens, in hundred-millionths."""

    debt: int
    health: int
    target_bps: int
    threshold_bps: int
    sold_price: int
    sold_decimals: int
    debt_price: int
    debt_decimals: int
    cap: int
    sells_token0: bool
    sqrt_price: int
    liquidity: int
    fee: int

    def loan(self) -> tuple[int, ...]:
        units = (10**self.sold_decimals, 10**self.debt_decimals)
        sold = (self.sold_price, units[0])
        return (
            self.debt,
            self.health,
            self.target_bps * 10**14,
            self.threshold_bps,
            *sold,
            self.debt_price,
            units[1],
            self.cap,
        )

    def venue(self) -> tuple[Any, ...]:
        return (self.fee, self.sells_token0, self.sqrt_price, self.liquidity)

    def exact_sale(self, bought: int) -> Fraction:
        """Tokens in for tokens out on the constant-product curve, as real numbers."""
        root = Fraction(self.sqrt_price, Q96)
        if self.sells_token0:
            after = root - Fraction(bought, self.liquidity)
            net = self.liquidity * (1 / after - 1 / root)
        else:
            after = 1 / (1 / root - Fraction(bought, self.liquidity))
            net = self.liquidity * (after - root)
        return net * 10**6 / (10**6 - self.fee)

    def exact_health(self, repay: int, sell: int) -> Fraction:
        """Health after, as real numbers; 1 is 1."""
        paid = Fraction(repay * self.debt_price, 10**self.debt_decimals)
        sold = Fraction(sell * self.sold_price, 10**self.sold_decimals)
        weight = Fraction(self.health * self.debt, WAD) - sold * self.threshold_bps / 10_000
        return weight / (self.debt - paid)


@st.composite
def markets(draw: st.DrawFn, widest_impact: float = 0.2) -> Market:
    """Loans of a thousand to a hundred million dollars, pools that move by up to `widest_impact` for all of it."""
    target = draw(st.integers(10_200, 30_000))
    threshold = draw(st.integers(5_000, 9_500))
    health_bps = draw(st.integers(threshold + 100, target - 60))
    debt = draw(st.integers(10**11, 10**16))
    sold_price, debt_price = draw(st.integers(10**6, 10**13)), draw(st.integers(10**7, 2 * 10**8))
    sold_decimals, debt_decimals = draw(st.sampled_from([6, 8, 18])), draw(st.sampled_from([6, 8, 18]))
    basis = Fraction(draw(st.integers(9_700, 10_300)), 10_000)
    sells_token0 = draw(st.booleans())
    # Debt-asset units for one collateral unit, by the pool.
    rate = Fraction(sold_price * 10**debt_decimals, debt_price * 10**sold_decimals) * basis
    price = rate if sells_token0 else 1 / rate
    sqrt_price = isqrt(price.numerator * 2**192 // price.denominator)
    # The debt asset's depth: what all of the debt is, over the impact it would have.
    units = Fraction(debt * 10**debt_decimals, debt_price)
    depth = units / Fraction(draw(st.floats(1e-6, widest_impact))).limit_denominator(10**9)
    root = Fraction(sqrt_price, Q96)
    liquidity = int(depth / root if sells_token0 else depth * root)
    assume(10**6 < liquidity < 2**128 and 2**40 < sqrt_price < 2**150)
    cap = draw(st.one_of(st.just(2**96 - 1), st.integers(1, int(units))))
    fee = draw(st.sampled_from([100, 500, 3_000, 10_000]))
    health = health_bps * 10**14 + draw(st.integers(0, 10**14 - 1))
    prices = (sold_price, sold_decimals, debt_price, debt_decimals)
    return Market(debt, health, target, threshold, *prices, cap, sells_token0, sqrt_price, liquidity, fee)


words = st.one_of(
    st.integers(0, NEVER), st.integers(0, 2**128), st.sampled_from([0, 1, 2**128, 2**255, NEVER])
)


@settings(max_examples=400, deadline=None)
@given(words, words, words)
def test_mul_div__any_three_words__is_exact_or_says_never(sums: Sums, a: int, b: int, d: int) -> None:
    down = min(a * b // d, NEVER) if d else NEVER
    up = min(-(-a * b // d), NEVER) if d else NEVER
    assert (sums.down(a, b, d), sums.up(a, b, d)) == (down, up)


@settings(max_examples=150, deadline=None)
@given(markets(), st.integers(1, 2**90))
def test_quote__any_pool__is_the_curve_rounded_against_the_seller(
    sums: Sums, market: Market, bought: int
) -> None:
    reach = (
        market.liquidity * market.sqrt_price // Q96
        if market.sells_token0
        else market.liquidity * Q96 // market.sqrt_price
    )
    bought %= max(reach // 2, 1)
    assume(bought > 0)
    exact = market.exact_sale(bought)
    assume(exact < 2**127)
    quoted = sums.sell_for(market.venue(), bought)
    # A price of 2**-96 up, and at most four roundings.
    root = Fraction(market.sqrt_price, Q96)
    step = Fraction(2 * market.liquidity, Q96) * (4 / root**2 if market.sells_token0 else 1)
    assert exact <= quoted <= exact + step * Fraction(10**6, 10**6 - market.fee) + 4


@pytest.mark.parametrize("sells_token0", [True, False])
def test_quote__more_than_the_liquidity_holds__is_out_of_reach(sums: Sums, sells_token0: bool) -> None:
    liquidity = 10**18
    assert sums.sell_for((500, sells_token0, Q96, liquidity), liquidity) == NEVER
    assert sums.sell_for((500, sells_token0, Q96, liquidity), 10 * liquidity) == NEVER
    assert sums.sell_for((500, sells_token0, Q96, 1), 2**96 - 1) == NEVER
    assert sums.sell_for((500, sells_token0, Q96, liquidity), liquidity // 2) < 11 * liquidity // 10


@settings(max_examples=200, deadline=None)
@given(markets(0.1))
def test_size__uncapped_and_affordable__lands_on_the_target(sums: Sums, market: Market) -> None:
    (repay, sell, _, _, ratio), insolvent, below_one = sums.size(market.loan(), market.venue())
    assume(repay not in {0, market.cap} and not insolvent and ratio <= WAD * 10_000 // 9_500)
    landed = market.exact_health(repay, sell)
    off = abs(landed * 10_000 / market.target_bps - 1)
    # One part in ten thousand: far inside the fifty the contract allows, however thin the pool.
    assert off < Fraction(1, 10_000)
    assert not below_one


@settings(max_examples=200, deadline=None)
@given(markets())
def test_size__any_market__obeys_the_cap_and_prices_the_step(sums: Sums, market: Market) -> None:
    (repay, sell, paid, sold, ratio), insolvent, below_one = sums.size(market.loan(), market.venue())
    if repay == 0:
        assert (sell, paid, sold, ratio) == (0, 0, 0, 0)
        return
    assert repay <= market.cap
    assert sell == sums.sell_for(market.venue(), repay)
    assert paid == repay * market.debt_price * WAD // 10**market.debt_decimals
    assert sold == -(-sell * market.sold_price * WAD // 10**market.sold_decimals)
    assert ratio == -(-sold * WAD // paid)
    assert insolvent == (market.health * 10_000 <= market.threshold_bps * ratio)
    if not insolvent:
        assert (
            below_one == (market.exact_health(repay, sell) < 1)
            or abs(market.exact_health(repay, sell) - 1) < 1e-9
        )


@settings(max_examples=200, deadline=None)
@given(markets())
def test_size__any_market__is_the_keepers_to_the_last_digit(sums: Sums, market: Market) -> None:
    (repay, sell, _, _, ratio), _, _ = sums.size(market.loan(), market.venue())
    pool = PoolState(market.fee, market.sqrt_price, market.liquidity, market.sells_token0)
    limits = Limits(100, 0, market.cap, 2**39, NOBODY)
    rule = LoanRule(NOBODY, NOBODY, Band(10_001, market.target_bps, 2**24 - 1), limits)
    loan = KeepersLoan(0, market.debt, market.threshold_bps, market.health)
    units = (10**market.sold_decimals, 10**market.debt_decimals)
    seen = LoanMarket(market.sold_price, market.debt_price, *units, market.threshold_bps, market.cap, (pool,))
    step = step_through(pool, rule, loan, seen)
    assert (repay, sell, ratio) == ((step.amount, step.swapped, step.ratio) if step else (0, 0, 0))


def turned(market: Market) -> Market:
    """The same market, the debt asset being sold; its loan far above the target."""
    return replace(
        market, sells_token0=not market.sells_token0, health=market.health + market.target_bps * 2 * 10**14
    )


def exact_gain(market: Market, sold: int) -> Fraction:
    """What selling so much of the debt asset buys on the curve, no rounding."""
    root = Fraction(market.sqrt_price, Q96)
    net = Fraction(sold * (10**6 - market.fee), 10**6)
    if market.sells_token0:
        return market.liquidity * (root - 1 / (1 / root + net / market.liquidity))
    return market.liquidity * (1 / root - 1 / (root + net / market.liquidity))


@settings(max_examples=150, deadline=None)
@given(markets(), st.integers(1, 2**90))
def test_gain__any_pool__is_the_curve_rounded_against_the_buyer(
    sums: Sums, market: Market, sold: int
) -> None:
    root = Fraction(market.sqrt_price, Q96)
    depth = market.liquidity / root if market.sells_token0 else market.liquidity * root
    sold %= max(int(depth), 1)
    assume(sold > 0)
    quoted, exact = sums.buy_with(market.venue(), sold), exact_gain(market, sold)
    # A price of 2**-96, two units of what is sold, and two roundings.
    step = Fraction(2 * market.liquidity, Q96) * (1 if market.sells_token0 else 4 / root**2)
    units = 2 * (root**2 if market.sells_token0 else 1 / root**2)
    assert quoted <= exact <= quoted + step + units + 3


@settings(max_examples=200, deadline=None)
@given(markets(0.1))
def test_size_up__uncapped_and_affordable__lands_on_its_aim(sums: Sums, market: Market) -> None:
    market = turned(market)
    borrow, bought, _, _, ratio = sums.size_up(market.loan(), market.venue())
    assume(borrow not in {0, market.cap} and ratio * 10_000 >= WAD * 9_500)
    assume(market.target_bps > market.threshold_bps + 300 and bought > 10**6 and borrow > 10**6)
    paid = Fraction(borrow * market.debt_price, 10**market.debt_decimals)
    held = Fraction(bought * market.sold_price, 10**market.sold_decimals)
    weight = Fraction(market.debt * market.health, WAD) + held * market.threshold_bps / 10_000
    landed = weight / (market.debt + paid)
    assert abs(landed * 10_000 / market.target_bps - 1) < Fraction(1, 5_000)


@settings(max_examples=200, deadline=None)
@given(markets(), st.booleans(), st.integers(0, 10_000))
def test_size_up__any_market__is_the_keepers_to_the_last_digit(
    sums: Sums, market: Market, in_leverage: bool, speed: int
) -> None:
    market = turned(market)
    band = (
        Band(25_000, 20_000, 15_000)
        if in_leverage
        else Band(10_001, market.target_bps, market.target_bps + 400)
    )
    terms = Terms(in_leverage, market.cap, speed)
    rule = LoanRule(NOBODY, NOBODY, band, Limits(100, 0, 1, 2**39, NOBODY), terms)
    health = max(market.health, (market.target_bps + 500) * 10**14)
    loan = KeepersLoan(market.debt * 4, market.debt, market.threshold_bps, health)
    units = (10**market.sold_decimals, 10**market.debt_decimals)
    # The keeper names a pool by its collateral, the contract by what is sold.
    pool = PoolState(market.fee, market.sqrt_price, market.liquidity, not market.sells_token0)
    seen = LoanMarket(market.sold_price, market.debt_price, *units, market.threshold_bps, market.cap, (pool,))
    measure = measure_down(loan, in_leverage)
    aim = above_down(aim_down(measure, rule))
    assume(measure > aim)
    sizing = replace(market, health=measure, threshold_bps=10_000 if in_leverage else market.threshold_bps)
    told = (sizing.debt, measure, aim, *sizing.loan()[3:])
    borrow, bought, _, _, ratio = sums.size_up(told, market.venue())
    step = releverage.step_through(pool, rule, loan, seen)
    assert (borrow, bought, ratio if borrow else 0) == (
        (step.amount, step.swapped, step.ratio) if step else (0, 0, 0)
    )


@settings(max_examples=100, deadline=None)
@given(
    debt=st.integers(1, 2**128 - 1),
    target_bps=st.integers(10_001, 2**24 - 1),
    threshold_bps=st.integers(0, 2**16 - 1),
    prices=st.tuples(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1)),
    decimals=st.tuples(st.integers(0, 36), st.integers(0, 36)),
    cap=st.integers(1, 2**96 - 1),
    venue=st.tuples(
        st.sampled_from([100, 10_000]),
        st.booleans(),
        st.integers(4295128739, 1461446703485210103287273052203988822378723970341),
        st.integers(1, 2**128 - 1),
    ),
    share=st.fractions(0, 1),
)
def test_size__numbers_as_wild_as_they_fit__never_reverts(
    sums: Sums,
    debt: int,
    target_bps: int,
    threshold_bps: int,
    prices: tuple[int, int],
    decimals: tuple[int, int],
    cap: int,
    venue: tuple[Any, ...],
    share: Fraction,
) -> None:
    health = int(target_bps * 10**14 * share) if share < 1 else target_bps * 10**14 - 1
    units = (10 ** decimals[0], 10 ** decimals[1])
    rest = (target_bps * 10**14, threshold_bps, prices[0], units[0], prices[1], units[1], cap)
    sums.size((debt, health, *rest), venue)
    # No account is worth more than 2**128, so no measure of its debt more than that over the debt.
    above = max(2**188 // debt - rest[0], 1)
    sums.size_up((debt, rest[0] + 1 + int((above - 1) * share), *rest), venue)
