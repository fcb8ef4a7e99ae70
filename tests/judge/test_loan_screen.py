"""The screen never calls within what the judge does not, however small, round or near an edge an account is."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.domain.columns import HoldingColumns, RuleColumns
from keeper.domain.holdings import Category, Holding, LendingMarket, Listing
from keeper.domain.loans import Band, Limits, LoanRule, Sight, Terms
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.judge.loan_health import REASONS, judge
from keeper.judge.loan_screen import DOUBT, screen
from keeper.judge.loan_worth import Valuer, worth

RAY = 10**27
NOW = 1_000
RESERVES = 5

prices = st.one_of(st.none(), st.sampled_from([1, 10**8]), st.integers(1, 10**15))
indexes = st.one_of(st.just(RAY), st.integers(RAY, 3 * RAY))
shares = st.one_of(st.integers(0, 10), st.sampled_from([10**8, 10**18]), st.integers(0, 10**27))


@st.composite
def markets(draw: st.DrawFn) -> LendingMarket:
    apart = draw(st.booleans())
    listings = {
        id_: Listing(
            id_,
            NOBODY,
            NOBODY,
            NOBODY,
            NOBODY,
            10 ** draw(st.sampled_from([0, 2, 6, 8, 18])),
            draw(st.one_of(st.just(0), st.integers(1, 9_500))),
            draw(st.integers(0, 2)),
            draw(indexes),
            draw(indexes),
            draw(prices),
        )
        for id_ in range(RESERVES)
    }
    categories = {
        mode: Category(
            draw(st.integers(1, 9_800)),
            draw(st.integers(0, 2**RESERVES - 1)),
            None if apart or draw(st.booleans()) else Address("0x" + "11" * 20),
            draw(prices),
        )
        for mode in (1, 2)
    }
    return LendingMarket(apart, listings, categories)


sides = st.dictionaries(st.integers(0, RESERVES), shares, max_size=3).map(
    lambda held: tuple(sorted(held.items()))
)
holdings = st.builds(Holding, st.integers(0, 3), sides, sides)
FEED = Address("0x" + "fe" * 20)
rules = st.one_of(
    st.none(),
    st.builds(
        lambda floor, gap, ceiling, expiry, borrow, lever, above, sigma: LoanRule(
            NOBODY,
            NOBODY,
            Band(floor + gap + 400, floor + 200, floor)
            if lever
            else Band(floor, floor + gap, ceiling and floor + gap + ceiling),
            Limits(100, 0, 1, expiry, NOBODY),
            Terms(in_leverage=lever, borrow_step=borrow)
            if lever or not above
            else Terms(
                borrow_step=borrow, highest_bps=floor + above, sigmas_bps=10_000, horizon=86_400, feed=FEED
            ),
            sigma,
        ),
        st.integers(10_001, 40_000),
        st.integers(100, 5_000),
        st.one_of(st.just(0), st.integers(1, 10_000)),
        st.sampled_from([NOW - 1, NOW, 2**40 - 1]),
        st.sampled_from([0, 1]),
        st.booleans(),
        st.sampled_from([0, 1, 9_000]),
        st.sampled_from([0, 3 * 10**18, 10**19]),
    ),
)
# A health, or a cover, that is an edge to the last digit.
PLAIN_MARKET = LendingMarket(
    False,
    {id_: Listing(id_, NOBODY, NOBODY, NOBODY, NOBODY, 10**8, 8_000, 0, RAY, RAY, 10**8) for id_ in (0, 1)},
    {},
)
AT_THE_EDGE = Holding(0, ((0, 15 * 10**8),), ((1, 10 * 10**8),))
AT_THE_FLOOR = LoanRule(NOBODY, NOBODY, Band(12_000, 15_000, 0), Limits(1, 0, 1, 2**40, NOBODY))


@settings(max_examples=400, deadline=None)
@given(markets(), st.lists(st.tuples(holdings, rules), min_size=1, max_size=4))
@example(PLAIN_MARKET, [(AT_THE_EDGE, AT_THE_FLOOR)])
def test_a_screen__over_any_market_and_accounts__comes_to_the_judges_verdicts_or_to_none(
    market: LendingMarket, drawn: list[tuple[Holding, LoanRule | None]]
) -> None:
    held, columns = HoldingColumns(len(drawn)), RuleColumns()
    for account, (holding, rule) in enumerate(drawn):
        held.put(account, holding, fit=True)
        columns.put(RuleKey(NOBODY, NOBODY, account), account, rule)
    bounds = Valuer(market).bounds(held, np.arange(len(drawn)))
    for account, code in enumerate(screen(columns, held, market, NOW).tolist()):
        holding, rule = drawn[account]
        assert held.of(account) == holding
        loan = worth(market, holding)
        verdict = judge(Sight(columns.keys[account], rule, 0, loan), NOW)
        assert code == DOUBT or REASONS[code] == (verdict.kind, verdict.why)
        assert bool(bounds.known[account]) or loan is None or code == DOUBT
        if loan and loan.debt_base and bounds.known[account] and bounds.surely[account]:
            assert bounds.health[0][account] <= loan.health <= bounds.health[1][account]
            cover = loan.collateral_base * 10**18 // loan.debt_base
            assert bounds.cover[0][account] <= cover <= bounds.cover[1][account]


def test_a_loan__a_millionth_of_a_basis_point_above_its_floor__needs_no_closer_look() -> None:
    """The margin is what floats and roundings can lose, and no more: on 3.6 nothing is dropped from a threshold."""
    market = LendingMarket(True, PLAIN_MARKET.listings, {})
    for above, code in ((0, DOUBT), (1, DOUBT), (1_000, 4)):
        held, columns = HoldingColumns(1), RuleColumns()
        collateral, debt = AT_THE_EDGE.collateral[0][1] * 10**6, AT_THE_EDGE.debt[0][1] * 10**6
        held.put(0, Holding(0, ((0, collateral + above),), ((1, debt),)), fit=True)
        columns.put(RuleKey(NOBODY, NOBODY, 0), 0, AT_THE_FLOOR)
        assert screen(columns, held, market, NOW).tolist() == [code]


def test_columns__whatever_is_put_over_what__hold_the_last_to_the_digit() -> None:
    held = HoldingColumns(40)
    last: dict[int, Holding] = {}
    for turn in range(600):
        account = turn * 7 % 40
        many = turn % 5
        side = tuple((id_, (turn + 1) ** 11 % 2**127 + id_) for id_ in range(many))
        last[account] = Holding(turn % 3, side, side[: turn % 2])
        held.put(account, last[account], fit=True)
    assert {account: held.of(account) for account in range(40)} == last
    totals = np.bincount(held.collateral.account, held.collateral.shares, 40)
    for account, holding in last.items():
        assert totals[account] == sum(float(amount) for _, amount in holding.collateral)
    assert len(held.collateral.account) < 300, "what was replaced is cleared away"
