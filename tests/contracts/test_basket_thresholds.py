"""Acting on baskets: what drifted comes back to where its rule says, and the view agrees with the act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.basket_stage import (
    ADMIN,
    BARRED,
    BLIND,
    BREACHED,
    DAY,
    DOLLAR,
    KEEPER,
    OWNER,
    RULE,
    STRANGER,
    WAD,
    WITHIN,
    Rule,
    Stage,
    Trade,
)
from tests.contracts.loan_stage import BASE, PRICES, compiled_vyper

BASKET = ("WETH", "USDC", "WBTC")
MILLION = {"WETH": 500_000, "USDC": 300_000, "WBTC": 200_000}
ETHER = PRICES["WETH"]


def drifted(stage: Stage, price: int = 3_200 * BASE, **changes: Any) -> Rule:
    """A million dollars on target, until ether went to another price: at 3,200 its share is 56.1 %."""
    rule = stage.rule(**changes)
    stage.hold(MILLION)
    stage.set_rule(rule)
    stage.set_price("WETH", price)
    return rule


def test_contract__as_deployed__fits_a_contract_of_24_kilobytes(baskets: Stage) -> None:
    for at in (baskets.thresholds, baskets.ask(baskets.thresholds, "CHECK()", "(address)")):
        assert len(baskets.node.ask("eth_getCode", at, "latest")) // 2 - 1 <= 24_576


def test_basket__on_its_targets__is_within_its_bands(baskets: Stage) -> None:
    baskets.hold(MILLION)
    baskets.set_rule(baskets.rule())
    found = baskets.check()
    assert (found.verdict, found.why, found.trades) == (WITHIN, "basket: within its bands", ())
    assert found.measure <= 10


@pytest.mark.parametrize("destination", [0, 5_000, 10_000])
@pytest.mark.parametrize("price", [1_900 * BASE, 3_200 * BASE])
def test_basket__one_asset_drifts_out__lands_on_its_destination(
    baskets: Stage, destination: int, price: int
) -> None:
    drifted(baskets, price, destination_bps=destination)
    before = baskets.shares(BASKET)
    found = baskets.check()
    assert (found.verdict, found.why) == (BREACHED, "basket: an asset has drifted out of its band")
    assert found.measure == pytest.approx(abs(before["WETH"] - 50) / 5 * 10_000, rel=1e-3)
    outcome = baskets.act(found)
    after = baskets.shares(BASKET)
    side = 1 if price > ETHER else -1
    # A tolerance of 5 % lets a basket land short, so nothing is aimed nearer to the edge than twice that.
    landed = min(destination, 9_000) / 10_000 * 5
    assert after["WETH"] == pytest.approx(50 + side * landed, abs=0.05)
    assert outcome.measure == pytest.approx(landed / 5 * 10_000, abs=200)
    assert baskets.check().verdict == WITHIN
    # Turnover is what it takes and no more: half of what drifted, if half-way is where it lands.
    whole = baskets.value(BASKET) / WAD
    assert outcome.sold / DOLLAR == pytest.approx(
        abs(before["WETH"] - 50 - side * landed) / 100 * whole, rel=0.02
    )


def test_basket__only_ether_drifted__the_least_drifted_asset_is_not_touched(baskets: Stage) -> None:
    drifted(baskets, destination_bps=10_000)
    held = {s: baskets.balance(s) for s in BASKET}
    baskets.act()
    moved = {s for s in BASKET if baskets.balance(s) != held[s]}
    assert moved == {"WETH", "USDC"}


def test_basket__two_assets_drifted_apart__are_traded_for_each_other(baskets: Stage) -> None:
    baskets.hold({"WETH": 620_000, "USDC": 290_000, "WBTC": 90_000})
    baskets.set_rule(baskets.rule())
    (trade,) = baskets.check().trades[:1]
    assert (trade.sell, trade.buy) == (baskets.tokens["WETH"], baskets.tokens["WBTC"])
    baskets.act()
    assert baskets.check().verdict == WITHIN


def test_basket__bought_for_dollars_alone__is_filled_in_one_action(baskets: Stage) -> None:
    baskets.hold({"WETH": 0, "USDC": 1_000_000, "WBTC": 0})
    baskets.set_rule(baskets.rule(slippage_bps=200, spot_bps=600))
    found = baskets.check()
    assert (found.verdict, len(found.trades)) == (BREACHED, 2), found.why
    baskets.act(found)
    shares = baskets.shares(BASKET)
    # Dollars go down to the middle of their band; more than the others' own destinations take up, so ether gets more.
    assert shares["USDC"] == pytest.approx(32.5, abs=0.25)
    assert shares["WBTC"] == pytest.approx(17.5, abs=0.3)
    assert baskets.check().verdict == WITHIN


def test_basket__relative_band__is_a_share_of_each_target(baskets: Stage) -> None:
    # A fifth of the target: ether may be 40 to 60 %, bitcoin 16 to 24 %.
    drifted(baskets, band_bps=2_000, relative=True)
    assert baskets.check().verdict == WITHIN
    baskets.set_price("WETH", ETHER)
    baskets.set_price("WBTC", PRICES["WBTC"] * 13 // 10)
    found = baskets.check()
    assert baskets.shares(BASKET)["WBTC"] == pytest.approx(24.53, abs=0.01)
    assert found.verdict == BREACHED, found.why
    baskets.act(found)
    assert baskets.shares(BASKET)["WBTC"] == pytest.approx(22, abs=0.05)


def test_basket__cap_inside_the_band__is_the_band_above(baskets: Stage) -> None:
    drifted(baskets, 2_800 * BASE, cap_bps=5_250)
    found = baskets.check()
    assert baskets.shares(BASKET)["WETH"] == pytest.approx(52.83, abs=0.01)
    assert found.verdict == BREACHED, found.why
    baskets.act(found)
    assert baskets.shares(BASKET)["WETH"] == pytest.approx(51.25, abs=0.05)
    baskets.set_price("WETH", 2_200 * BASE)
    assert baskets.check().verdict == WITHIN


def test_basket__needs_more_than_a_step__takes_whole_steps_until_it_is_back(baskets: Stage) -> None:
    drifted(baskets, max_step=5_000, cooldown=0)
    sold = []
    while (found := baskets.check()).verdict == BREACHED:
        sold.append(baskets.act(found).sold / DOLLAR)
    assert found.verdict == WITHIN
    assert len(sold) > 1
    assert all(value == pytest.approx(5_000, rel=1e-4) for value in sold[:-1])
    assert sold[-1] < 5_001


def test_urgency__drift_grows__slippage_and_openness_grow_with_it(baskets: Stage) -> None:
    drifted(baskets, public_bps=1_000, bounty_bps=10, bounty_cap=50 * DOLLAR)
    calm = baskets.check()
    assert calm.urgency == (calm.measure - 10_000) * 10_000 // 20_000 < 1_200
    baskets.set_price("WETH", 4_000 * BASE)
    found = baskets.check()
    assert found.urgency == (found.measure - 10_000) * 10_000 // 20_000 > 1_000
    assert found.open
    held = baskets.balance("WETH", STRANGER)
    outcome = baskets.act(found, sender=STRANGER)
    due = min(50, outcome.sold / DOLLAR / 1_000)
    assert (baskets.balance("WETH", STRANGER) - held) / WAD * 4_000 == pytest.approx(due, rel=1e-2)
    assert outcome.lost / DOLLAR > due


def test_budget__actions_cost__is_charged_and_comes_back(baskets: Stage) -> None:
    drifted(baskets, cooldown=0, budget=1_000 * DOLLAR)
    first = baskets.act().lost
    assert baskets.words()[2] >> 8 & (2**64 - 1) == first
    assert baskets.words()[2] >> 72 & (2**40 - 1) == baskets.time()
    baskets.set_price("WETH", 2_000 * BASE)
    second = baskets.act().lost
    spent = baskets.words()[2] >> 8 & (2**64 - 1)
    assert first + second - 10 * DOLLAR < spent <= first + second
    assert baskets.words()[2] & 0xFF == 2


def test_budget__is_too_small_for_what_acting_would_cost__bars_and_says_so(baskets: Stage) -> None:
    drifted(baskets, budget=10 * DOLLAR)
    found = baskets.check()
    assert (found.verdict, found.why) == (BARRED, "rule: the loss is above what is left of the budget")


# What is in the way is told before it is tried


def test_check__no_rule__says_so(baskets: Stage) -> None:
    assert baskets.check().why == "rule: none is set"
    assert baskets.check(2**256 - 1).verdict == BARRED


def test_check__expired_cooling_or_used_up__says_so(baskets: Stage) -> None:
    rule = drifted(baskets, cooldown=3_600, daily=1)
    baskets.act()
    baskets.set_price("WETH", 2_000 * BASE)
    assert (baskets.check().verdict, baskets.check().why) == (BARRED, "rule: cooling down")
    # To the first minute of a UTC day, where one more action is all there is.
    baskets.pass_time(DAY - baskets.time() % DAY)
    baskets.act()
    baskets.set_price("WETH", 3_200 * BASE)
    baskets.pass_time(3_600)
    assert baskets.check().why == "rule: it has acted as often as it may in a day"
    baskets.set_rule(replace(rule, limits=replace(rule.limits, expiry=baskets.time() + 10)))
    baskets.pass_time(20)
    assert baskets.check().why == "rule: expired"


@pytest.mark.parametrize(
    ("answer", "ago", "why"),
    [
        (0, 0, "oracle: a price is not positive"),
        (-1, 0, "oracle: a price is not positive"),
        (3_200_000 * BASE, 0, "oracle: a price is out of its bounds"),
        (3_200 * BASE, 8 * DAY, "oracle: a price is too old"),
    ],
)
def test_check__feed_makes_no_sense__is_blind_and_says_why(
    baskets: Stage, answer: int, ago: int, why: str
) -> None:
    drifted(baskets)
    baskets.send(ADMIN, baskets.feeds["WBTC"], "set_at(int256,uint256)", answer, baskets.time() - ago)
    assert (baskets.check().verdict, baskets.check().why) == (BLIND, why)


def test_check__allowance_missing_or_short__says_so_before_and_after_the_drift(baskets: Stage) -> None:
    baskets.hold(MILLION)
    baskets.set_rule(baskets.rule())
    baskets.approve(OWNER, "USDC", baskets.thresholds, 0)
    assert (baskets.check().verdict, baskets.check().why) == (
        WITHIN,
        "allowance: the owner has granted none of an asset",
    )
    baskets.set_price("WETH", 3_200 * BASE)
    assert baskets.check().verdict == BREACHED
    baskets.approve(OWNER, "WETH", baskets.thresholds, WAD)
    assert (baskets.check().verdict, baskets.check().why) == (
        BARRED,
        "allowance: one is short of what must be sold",
    )


def test_check__pools_stray_from_the_feeds__says_so(baskets: Stage) -> None:
    drifted(baskets)
    for other in ("USDC", "WBTC"):
        baskets.push_pool("WETH", other, 3_100 * BASE * BASE // PRICES[other])
    assert (baskets.check().verdict, baskets.check().why) == (
        BARRED,
        "pool: none of a pair has liquidity in range at the feeds' price",
    )


def test_check__basket_is_empty_or_dust__is_left_alone(baskets: Stage) -> None:
    baskets.set_rule(baskets.rule())
    assert (baskets.check().verdict, baskets.check().why) == (WITHIN, "basket: worth less than a dollar")
    baskets.mint("USDC", OWNER, 999_999)
    assert baskets.check().verdict == WITHIN
    baskets.mint("USDC", OWNER, 1)
    assert baskets.check().measure > 10_000


def test_check__balances_beyond_reason__answers_all_the_same(baskets: Stage) -> None:
    baskets.set_rule(baskets.rule(weights={"ODD": 5_000, "USDC": 5_000}))
    for amount, why in (
        (2**127, "basket: worth more than can be weighed"),
        (2**128, "token: a balance cannot be read"),
    ):
        with baskets.undone():
            baskets.mint("ODD", OWNER, amount)
            assert (baskets.check().verdict, baskets.check().why) == (BLIND, why)


# Volatility


def test_bands__follow_volatility__between_the_two_the_owner_wrote(baskets: Stage) -> None:
    assets = tuple(replace(a, band_bps=200, widest_bps=1_000) for a in baskets.rule().assets)
    rule = replace(baskets.rule(), assets=assets, sigmas_bps=10_000, horizon=7 * DAY)
    baskets.hold(MILLION)
    baskets.set_rule(rule)
    baskets.set_price("WETH", 2_900 * BASE)
    # 53.7 % is out of a band of 2 %, and nothing is known of volatility yet.
    assert baskets.check().verdict == WITHIN
    with baskets.undone():
        measured(baskets, 0.001)
        assert baskets.check().verdict == BREACHED
    measured(baskets, 0.02)
    # Two per cent a day up and down: 38 % a year, 5.3 % a week.
    assert baskets.check().verdict == WITHIN
    assert baskets.check().measure == pytest.approx(3.7 / 5.29 * 10_000, rel=0.03)
    baskets.pass_time(3 * DAY + 1)
    assert baskets.check().measure == pytest.approx(3.7 / 10 * 10_000, rel=0.03)


def measured(stage: Stage, daily: float) -> None:
    """Fourteen days of every feed going up and down by this much, and back to where it was."""
    for n in range(15):
        for symbol in BASKET:
            price = stage.price(symbol)
            stage.set_feed(symbol, round(price * (1 + daily) if n % 2 else price))
            stage.send(STRANGER, stage.volatility, "poke(address)", stage.feeds[symbol])
            stage.set_feed(symbol, price)
        stage.pass_time(DAY)


# Rules


def test_rule__is_written__comes_back_as_written(baskets: Stage) -> None:
    rule = replace(baskets.rule(), relative=True, sigmas_bps=123, horizon=720 * 3_600, spot_bps=77)
    mined = baskets.set_rule(rule)
    back = baskets.ask(baskets.thresholds, "rule_of(address,uint256)", f"({RULE})", OWNER, 0)
    assert lowered(back) == lowered(rule.fields())
    assert len(baskets.words()) == 9
    assert len(mined.logs) == 1
    baskets.send(OWNER, baskets.thresholds, "clear_rule(uint256)", 0)
    assert baskets.words() == ()
    assert baskets.ask(baskets.thresholds, "rule_count(address)", "(uint256)", OWNER) == 1


def lowered(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(map(lowered, value))
    return value.lower() if isinstance(value, str) else value


def asset(**changes: Any) -> Any:
    def edit(rule: Rule) -> Rule:
        return replace(rule, assets=(replace(rule.assets[0], **changes), *rule.assets[1:]))

    return edit


def bound(**changes: Any) -> Any:
    return lambda rule: replace(rule, **changes)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda r: replace(r, assets=r.assets[:1]), "rule: fewer than two assets"),
        (lambda r: replace(r, assets=(*r.assets[:2], r.assets[0])), "rule: an asset is there twice"),
        (asset(target_bps=0), "rule: a target is zero"),
        (asset(target_bps=4_999), "rule: the targets do not make a whole"),
        (asset(target_bps=5_001), "rule: the targets do not make a whole"),
        (bound(cap_bps=5_000), "rule: a target is not below the cap"),
        (bound(cap_bps=10_001), "rule: cap is above the whole"),
        (bound(destination_bps=10_001), "rule: destination is outside the band"),
        (bound(max_step=0), "rule: max_step is zero"),
        (bound(max_step=2**32), "rule: a value does not fit its place"),
        (bound(spot_bps=0), "rule: spot is zero"),
        (bound(spot_bps=1_001), "rule: spot is above 1000 bps"),
        (bound(full_bps=10_000), "rule: full urgency is not beyond the band"),
        (bound(full_bps=2**16), "rule: a value does not fit its place"),
        (bound(sigmas_bps=1), "rule: only sigmas, or only a horizon"),
        (bound(sigmas_bps=1, horizon=3_601), "rule: a value does not fit its place"),
        (asset(band_bps=0, widest_bps=0), "rule: a band is zero"),
        (asset(band_bps=501), "rule: a band is wider than its widest"),
        (asset(widest_bps=501), "rule: a fixed band has two widths"),
        (asset(band_bps=10_001, widest_bps=10_001), "rule: a band is wider than the whole"),
        (asset(low=0), "rule: a price's lower bound is zero"),
        (asset(low=2**48, high=2**49), "oracle: a price is out of its bounds"),
        (asset(high=2**56), "rule: a value does not fit its place"),
        (asset(max_age=2**24), "rule: a value does not fit its place"),
        (asset(high=ETHER - 1), "oracle: a price is out of its bounds"),
        (asset(feed=KEEPER), "oracle: a feed does not answer"),
        (lambda r: replace(r, limits=replace(r.limits, budget=0)), "rule: budget is zero"),
    ],
)
def test_rule__one_field_is_wrong__is_refused_with_the_reason(baskets: Stage, edit: Any, reason: str) -> None:
    rule = edit(baskets.rule())
    told = baskets.refusal_to(OWNER, baskets.thresholds, f"set_rule(uint256,{RULE})", 0, rule.fields())
    assert told == reason


def test_rule__token_without_decimals__is_refused(baskets: Stage) -> None:
    for token in (KEEPER, baskets.uniswap.factory):
        rule = asset(token=token)(baskets.rule())
        baskets.refusal_to(OWNER, baskets.thresholds, f"set_rule(uint256,{RULE})", 0, rule.fields())


def test_rule__of_eight_assets__fits(baskets: Stage) -> None:
    shares = {"WETH": 3_000, "USDC": 2_000, "WBTC": 2_000, "MUTE": 1_000, "HOOK": 1_000, "ODD": 1_000}
    baskets.set_rule(baskets.rule(weights=shares))
    assert len(baskets.words()) == 15
    baskets.set_rule(baskets.rule())
    assert len(baskets.words()) == 9


def test_volatility__does_not_exist__a_rule_cannot_follow_it(baskets: Stage) -> None:
    other = baskets.other_thresholds()
    rule = replace(baskets.rule(), sigmas_bps=1, horizon=3_600)
    reason = baskets.refusal_to(OWNER, other, f"set_rule(uint256,{RULE})", 0, rule.fields())
    assert reason == "rule: no volatility is measured here"


def test_artifact__constructor__names_the_advisor_alone() -> None:
    assert compiled_vyper("BasketThresholds").constructor == ("address",)


# Routes


def test_rebalance__routed_through_a_third_asset__is_judged_by_the_sum_of_its_trades(baskets: Stage) -> None:
    baskets.hold({"WETH": 620_000, "USDC": 300_000, "WBTC": 80_000})
    baskets.set_rule(baskets.rule())
    direct = baskets.check().trades
    (pair,) = [t for t in direct if t.buy == baskets.tokens["WBTC"]]
    through = baskets.tokens["USDC"]
    bought = pair.amount_in * 2_500 // 10**12 * 990 // 1000
    legs = [replace(pair, buy=through, min_out=0), Trade(through, pair.buy, 500, bought, 0)]
    outcome = baskets.rebalance([*legs, *(t for t in direct if t != pair)])
    assert outcome.measure <= 10_000
