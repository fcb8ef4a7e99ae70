"""What is wrong with rules on baskets, alone, with each other, and with an owner's rules of other kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keeper.domain.baskets import (
    BasketAsset,
    BasketLimits,
    BasketRule,
    BasketSight,
    BasketState,
    Line,
    weighed,
    width,
)
from keeper.domain.ranges import Leaving
from keeper.domain.rules import RuleKey
from keeper.domain.units import BASE, NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.protocols.basket_thresholds import Finding
from keeper.protocols.liquidity import Venue
from keeper.protocols.ticks import sqrt_price_at, tick_at
from keeper.rules.basket_faults import BasketCase
from keeper.rules.faults import Fault, Lint
from keeper.rules.lint import Cases, lint
from keeper.rules.range_faults import RangeCase
from tests.rules import test_lint, test_lint_ranges

THRESHOLDS, OWNER = Address("0x" + "Cc" * 20), Address("0x" + "Bb" * 20)
WETH, USDC, DAI = (Address("0x" + byte * 20) for byte in ("0a", "0b", "0c"))
NOW = 1_700_000_000
QUIET = Finding(Kind.WITHIN, 0, 0, False, (), "basket: within its bands")
DEEP = 10**24
PRICE, UNIT = {WETH: 2_000 * WAD, USDC: WAD, DAI: WAD}, {WETH: 10**18, USDC: 10**6, DAI: 10**18}
NAMES = {WETH: "WETH", USDC: "USDC", DAI: "DAI"}
ACCOUNT = {WETH: 10 * 10**18, USDC: 20_000 * 10**6, DAI: 20_000 * 10**18}
"""Twenty thousand dollars of each."""


def venue(one: Address, other: Address, liquidity: int = DEEP, fee: int = 500) -> Venue:
    """A pool of two assets at the feeds' price."""
    low, high = sorted((one, other))
    up, down = PRICE[low] * UNIT[high], PRICE[high] * UNIT[low]
    root = int((up / down) ** 0.5 * 2**96)
    return Venue(root, liquidity, fee)


def case(
    id: int = 0,
    weights: dict[Address, int] | None = None,
    band: int = 500,
    finding: Finding = QUIET,
    account: dict[Address, int] = ACCOUNT,
    liquidity: int = DEEP,
    **changes: Any,
) -> BasketCase:
    """A rule on a basket that is in order; the changes are the rule's or its limits'."""
    wanted = weights or {WETH: 5_000, USDC: 5_000}
    limits = BasketLimits(NOBODY, NOW + 1_000, 60, 0, 50, 200, 0, 0, 0, 0, 1_000 * BASE, 86_400)
    limits = replace(
        limits, **{name: changes.pop(name) for name in BasketLimits.__slots__ if name in changes}
    )
    assets = tuple(BasketAsset(each, each, 90_000, 1, 2**50, bps, band, band) for each, bps in wanted.items())
    rule = BasketRule(assets, False, 5_000, 10_000, 1_000_000, 200, 30_000, 0, 0, limits)
    rule = replace(rule, **changes)
    lines = [
        Line(a.token, PRICE[a.token], UNIT[a.token], a.target_bps, width(a, rule, 0), account[a.token])
        for a in rule.assets
    ]
    seen = weighed(lines, rule.cap_bps, rule.destination_bps)
    sight = BasketSight(RuleKey(THRESHOLDS, OWNER, id), rule, BasketState(0, 0, 0), seen, "", 10)
    pairs = [(one, other) for one in wanted for other in wanted if one < other]
    venues = {frozenset(pair): (venue(*pair, liquidity=liquidity),) for pair in pairs}
    return BasketCase(sight, finding, venues, {each: NAMES[each] for each in wanted})


def told(*cases: BasketCase) -> list[Lint]:
    return list(lint(Cases(baskets=cases), NOW))


def faults(*cases: BasketCase) -> list[Fault]:
    return [each.fault for each in told(*cases)]


def test_a_rule__that_is_sound__has_no_fault() -> None:
    assert faults(case()) == []
    assert faults(case(weights={WETH: 3_400, USDC: 3_300, DAI: 3_300})) == []


def test_a_rule__that_can_never_fire__is_told_why() -> None:
    assert [each.why for each in told(case(expiry=NOW - 3 * 86_400))] == ["it expired 3 days ago"]
    poor = {WETH: 0, USDC: 10**5}
    assert [each.why for each in told(case(account=poor))] == [
        "the owner holds less than a dollar of its assets"
    ]
    *bands, never = told(case(band=5_000))
    assert {each.fault for each in bands} == {Fault.BAND}
    assert (never.fault, never.why) == (Fault.NEVER, "every band reaches from none of its asset to all of it")


def test_a_rule__whose_basket_cannot_be_valued__cannot_act() -> None:
    given = case()
    blind = replace(given, sight=replace(given.sight, lines=(), blind="oracle: a price is too old"))
    (found,) = told(blind)
    assert (found.fault, found.why) == (
        Fault.BARRED,
        "its basket cannot be valued: oracle: a price is too old",
    )


def test_a_rule__breached_already__fires_now__and_one_without_allowance_cannot_act() -> None:
    assert faults(case(account={**ACCOUNT, USDC: 30_000 * 10**6})) == [Fault.NOW]
    short = replace(QUIET, why="allowance: one is short of what must be sold")
    assert faults(case(finding=short)) == [Fault.BARRED]
    assert faults(case(finding=replace(QUIET, kind=Kind.BARRED, why="rule: cooling down"))) == []


def test_a_band__wider_than_its_weight__is_told_with_both() -> None:
    account = {WETH: 36 * 10**18, USDC: 8_000 * 10**6}
    (found,) = told(case(weights={WETH: 9_000, USDC: 1_000}, band=1_000, account=account))
    assert found.fault is Fault.BAND
    assert found.why == "USDC may stray by 10 % of the whole, and is 10 % of it, so that no fall of it fires"
    assert faults(case(weights={WETH: 9_000, USDC: 1_000}, band=990, account=account)) == []


def test_slippage__tighter_than_the_pools_fee_and_depth__is_told_with_both() -> None:
    (found,) = told(case(slippage_bps=4))
    assert found.fault is Fault.SLIPPAGE
    assert found.why.startswith(
        "one step from the edge of a band would lose 5.1 bps in the best pools, and it allows 4"
    )
    (thin,) = told(case(liquidity=10**13))
    assert (thin.fault, thin.why) == (
        Fault.SLIPPAGE,
        "with WETH above its band, no pool of a pair carries the trade within 200 bps of the feeds' price",
    )


def test_a_budget__below_what_one_step_loses__is_told() -> None:
    # From 5.1 % of 40,000 USD back to half of 5 % is 1,040, of which 5 bps are lost.
    (found,) = told(case(budget=5 * 10**7))
    assert found.fault is Fault.BUDGET
    assert found.why.endswith("would lose 0.52 USD, and its whole budget is 0.50")
    assert faults(case(budget=6 * 10**7)) == []


def test_a_way_back__of_many_steps__is_unreachable_in_time() -> None:
    (found,) = told(case(max_step=100, cooldown=3_600))
    assert found.fault is Fault.UNREACHABLE
    assert found.why == "max_step makes 11 actions of the way back into the band, and the cooldown 10 hours"
    assert faults(case(max_step=200)) == []


def test_two_rules__with_weights_that_exclude_each_other__loop() -> None:
    (found,) = [
        each
        for each in told(case(0), case(1, weights={WETH: 6_000, USDC: 4_000}))
        if each.fault is not Fault.NOW
    ]
    assert (found.fault, [key.id for key in found.keys]) == (Fault.LOOP, [0, 1])
    near = case(1, weights={WETH: 5_200, USDC: 4_800})
    assert faults(case(0), near) == []


def test_two_rules__of_which_one_is_content_with_the_other__contradict_one_way() -> None:
    account = {WETH: 11 * 10**18, USDC: 18_000 * 10**6}
    loose = case(0, band=2_000, account=account)
    tight = case(1, weights={WETH: 6_000, USDC: 4_000}, account=account)
    found = [each for each in told(loose, tight) if each.fault is not Fault.NOW]
    assert [(each.fault, each.why) for each in found] == [
        (Fault.CONTRADICTION, "where basket rule 0 has traded to its weights basket rule 1 fires")
    ]


def test_two_rules__that_share_one_asset__are_held_against_what_the_other_would_leave_of_it() -> None:
    assert faults(case(0), case(1, weights={WETH: 5_000, DAI: 5_000})) == []
    lone = case(1, weights={USDC: 8_000, DAI: 2_000}, account={**ACCOUNT, DAI: 5_000 * 10**18})
    assert faults(case(0), lone) == []
    account = {**ACCOUNT, WETH: 4 * 10**18, USDC: 32_000 * 10**6}
    far = case(0, weights={WETH: 2_000, USDC: 8_000}, account=account)
    near = case(1, weights={WETH: 2_850, DAI: 7_150}, account=account)
    assert faults(far, near) == []


def leaving(exit_low: Leaving, usd: int) -> RangeCase:
    """A range of WETH and USDC, all of which is sold for one of them below 1,500 dollars."""
    ticks = [tick_at(int((each * 1e-12) ** 0.5 * 2**96)) for each in (1_500, 1_800, 2_200, 2_000)]
    held = replace(test_lint_ranges.HELD, token0=WETH, token1=USDC, holder=test_lint_ranges.OWNER)
    edges = replace(held.edges, lower=ticks[1], upper=ticks[2])
    market = replace(test_lint_ranges.MARKET, tick=ticks[3], mean=ticks[3], price=sqrt_price_at(ticks[3]))
    liquidity = usd * 2 * 10**11
    return test_lint_ranges.case(
        range=replace(held, edges=edges, liquidity=liquidity),
        market=market,
        cutoff_low=ticks[0],
        exit_low=exit_low,
    )


def test_a_basket__that_sells_what_a_ranges_exit_buys__loops() -> None:
    def found(one: RangeCase, basket: BasketCase) -> list[Lint]:
        return [each for each in lint(Cases(ranges=[one], baskets=[basket]), NOW) if len(each.keys) > 1]

    (loop,) = found(leaving(Leaving.ALL_IN_TOKEN1, 20_000), case())
    assert loop.fault is Fault.LOOP
    assert loop.why.startswith("range rule 0 leaves its pool all in USDC, ")
    assert loop.why.endswith(" of them, and basket rule 0 would sell them for WETH again")
    assert found(leaving(Leaving.ALL_IN_TOKEN1, 100), case()) == [], "what little it is stays within the band"
    assert found(leaving(Leaving.AS_IT_LIES, 20_000), case()) == []
    assert found(leaving(Leaving.ALL_IN_TOKEN1, 20_000), case(weights={USDC: 5_000, DAI: 5_000})) == []


def test_a_basket__that_counts_a_loans_collateral__contradicts_it() -> None:
    loan = test_lint.case(test_lint.rule())
    given = case()
    with_it = replace(given, symbols={**given.symbols, test_lint.AWETH: "aWETH"})
    (found,) = lint(Cases([loan], baskets=[with_it]), NOW)
    assert found.fault is Fault.CONTRADICTION
    assert found.why == "basket rule 0 counts and sells aWETH, the collateral that loan rule 0 lives from"
    assert lint(Cases([loan], baskets=[given]), NOW) == ()
