"""A simulation as one HTML file that stands alone, as the other pages do; `lives.html` holds its body."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from keeper.domain.texts import count_text
from keeper.report.lives import Life, LifeAct, Simulated, Told
from keeper.report.page import card_html, figure_html, table_html, write_page
from keeper.report.texts import clock_text, usd_text

_MOST_RULES: Final = 12
"""Whose measures are drawn; the tables have all."""
_MOVED: Final = 0.002


def write_lives(told: Simulated, path: Path) -> None:
    """Write the page to `path`."""
    write_page(
        path,
        "lives.html",
        f"Simulated: {told.title}",
        title=escape(told.title),
        summary=escape(summary(told)),
        cards=_cards(told),
        figures=_figures(told),
        rules=_rules(told),
        acts=_acts(told),
        seizures=_seizures(told),
        hours=_hours(told),
        hostile=_hostile(told),
        sources="".join(f"<li>{escape(each)}</li>" for each in (*told.notes, *told.sources)),
        length=escape(f"{told.seconds:.0f} s, {told.pace:,.0f} times as fast as it was"),
    )


def summary(told: Simulated) -> str:
    """What it came to, in a few sentences."""
    acts, failed = (sum(values) for values in zip(*map(_deeds, told.rules), strict=True))
    kept, alone = (_seized(told, guarded=guarded) for guarded in (True, False))
    said = (
        f"{count_text(told.hours, 'hour')} over {count_text(len(told.rules), 'rule')}. The keeper acted "
        f"{count_text(acts, 'time')}; with it there was {count_text(kept, 'liquidation')}, with nobody "
        f"{count_text(alone, 'liquidation')}."
    )
    if failed:
        said += f" {count_text(failed, 'further transaction')} came to nothing."
    return said + saved_text(told) + hostile_text(told)


def saved_text(told: Simulated) -> str:
    """What acting came to, as a sentence to follow others; nothing where there is no loan."""
    if told.saved is None:
        return ""
    which = "more" if told.saved >= 0 else "less"
    return (
        f" After fees, slippage and gas the accounts with loans ended with {usd_text(abs(told.saved))} {which} "
        "than with nobody at work."
    )


def hostile_text(told: Simulated) -> str:
    """What the hostile mempool did and cost, as a sentence to follow others; nothing where it was peaceful."""
    hostility, cost = told.hostility, told.hostile_cost
    if hostility is None:
        return ""
    held, outbid, sandwiched = (
        count_text(many, "transaction") for many in (hostility.held, hostility.outbid, hostility.sandwiched)
    )
    said = f" The mempool was hostile: it held back {held}, outbid {outbid} and sandwiched {sandwiched}"
    if hostility.sandwiched:
        made = "a gain" if hostility.taken >= 0 else "a loss"
        said += f", at {made} of {usd_text(abs(hostility.taken))} to the sandwicher before gas"
    said += "."
    if cost is not None:
        said += f" Beside the same hours in peace that cost {usd_text(cost)}, gas counted."
    return said


def _deeds(rule: Told) -> tuple[int, int]:
    return len(rule.guarded.acts), rule.guarded.failed


def _seized(told: Simulated, *, guarded: bool) -> int:
    """Liquidations, those of one account counted once however many rules its owner has."""
    lives = {
        rule.owner: rule.guarded if guarded else rule.alone for rule in told.rules if rule.kind == "loan"
    }
    return sum(len(life.liquidations) for life in lives.values())


def _cards(told: Simulated) -> str:
    from keeper.report import lives_plots as plots  # noqa: PLC0415

    worth = {name: (start, hours[-1]) for name, _, start, hours in plots.equities(told)}
    cards = []
    for kind, name in (("guarded", plots.WITH), ("calm", plots.PEACE), ("twin", plots.NOBODY)):
        lives = [(rule, life) for rule in told.rules for side, _, life in plots.sides(rule) if side == name]
        if not lives:
            continue
        seized = {rule.owner: len(life.liquidations) for rule, life in lives if rule.kind == "loan"}
        blocks = sum(life.blocks for _, life in lives)
        lines = [
            ("Liquidations", f"{sum(seized.values())}"),
            ("Not within", f"{sum(life.outside for _, life in lives) / max(blocks, 1):.1%} of blocks"),
            ("Actions", f"{sum(len(life.acts) for _, life in lives)}"),
            ("Failed", f"{sum(life.failed for _, life in lives)}"),
            ("Gas", usd_text(sum(life.gas for _, life in lives))),
        ]
        if name in worth:
            start, end = worth[name]
            lines += [("Equity, start", usd_text(start)), ("Equity, end", usd_text(end))]
        cards.append(card_html(kind, name[0].upper() + name[1:], lines))
    return "".join(cards)


def _figures(told: Simulated) -> str:
    from keeper.report import lives_plots as plots  # noqa: PLC0415

    hours = told.prices
    low = min(hour.low for hour in hours)
    acted = [act for rule in told.rules for act in rule.guarded.acts]
    said = (
        f"ETH began at {usd_text(hours[0].open)}, went as low as {usd_text(low)} and ended at "
        f"{usd_text(hours[-1].close)}. Triangles are acts of the keeper ({len(acted)}), crosses are liquidations."
    )
    drawn = [("price", "Price of ETH, and when the keeper acted", plots.price(told), said)]
    dollars = [hour.usdc for hour in hours]
    if max(dollars) - min(dollars) > _MOVED:
        said = f"At the end of each hour by the oracle: {min(dollars):.4f} at the lowest, {dollars[-1]:.4f} at the end."
        drawn.append(("dollar", "Price of USDC", plots.dollar(told), said))
    for at, rule in enumerate(told.rules[:_MOST_RULES]):
        drawn.append((f"rule{at}", _title(rule), plots.measure(rule), _measured(rule)))
    if acted:
        drawn.append(("cost", "What each act cost", plots.cost(told), _costs(acted)))
    if told.saved is not None:
        said = (
            "Collateral less debt by the oracle Aave uses, at the end of each hour, of all accounts together."
        )
        drawn.append(("equity", "Equity of the accounts with loans", plots.equity(told), said))
    left = len(told.rules) - _MOST_RULES
    more = f"<p>{count_text(left, 'more rule')} not drawn; the table below has them.</p>" if left > 0 else ""
    return "\n".join(figure_html(*figure) for figure in drawn) + more


def _title(rule: Told) -> str:
    return f"{rule.measure.capitalize()} of {rule.name}"


def _measured(rule: Told) -> str:
    kept, alone = rule.guarded, rule.alone
    worst = "lowest" if rule.kind == "loan" else "highest"
    with_it, without = (getattr(life, worst) or "unknown" for life in (kept, alone))
    band = f" The band: {rule.band}." if rule.band else ""
    return (
        f"The {worst} of each hour; of all blocks {with_it} with the keeper and {without} with nobody. Not within its "
        f"band: {kept.outside:,} of {count_text(kept.blocks, 'block')}, and {alone.outside:,} of "
        f"{count_text(alone.blocks, 'block')}.{band}"
    )


def _costs(acts: list[LifeAct]) -> str:
    told = [act.cost for act in acts if act.cost]
    fee, slippage = sum(cost.fee for cost in told), sum(cost.slippage for cost in told)
    gas = sum(act.gas * act.price for act in acts)
    return (
        f"Together {usd_text(fee + slippage + gas)}: {usd_text(fee)} in pool fees, {usd_text(slippage)} in slippage "
        f"and {usd_text(gas)} in gas, which the keeper pays."
    )


def _rules(told: Simulated) -> str:
    from keeper.report import lives_plots as plots  # noqa: PLC0415

    heads = (
        "Rule",
        "Life",
        "Not within",
        "Lowest",
        "Highest",
        "End",
        "Acts",
        "Failed",
        "Gas",
        "Liquidated",
        "Equity, end",
    )
    rows = [
        (
            rule.name,
            name,
            f"{life.outside:,} of {life.blocks:,}",
            life.lowest or "",
            life.highest or "",
            life.end or "",
            f"{len(life.acts)}",
            f"{life.failed}",
            usd_text(life.gas),
            f"{len(life.liquidations)}",
            _equity(life),
        )
        for rule in told.rules
        for name, _, life in plots.sides(rule)
    ]
    return table_html("Every rule", heads, rows, "")


def _equity(life: Life) -> str:
    return "" if life.equity_end is None else usd_text(life.equity_end)


def _acts(told: Simulated) -> str:
    heads = (
        "Time (UTC)",
        "Block",
        "Rule",
        "ETH price",
        "Measure",
        "Fee",
        "Slippage",
        "Gas",
        "Blocks",
        "Moves",
        "Why",
    )
    found = sorted(
        ((act, rule) for rule in told.rules for act in rule.guarded.acts), key=lambda each: each[0].block
    )
    rows = [
        (
            clock_text(act.time),
            f"{act.block:,}",
            rule.name,
            usd_text(act.price),
            f"{_number(act.before)} → {_number(act.after)}",
            usd_text(act.cost.fee) if act.cost else "",
            usd_text(act.cost.slippage) if act.cost else "",
            usd_text(act.gas * act.price),
            f"{act.delayed}",
            act.moves,
            act.why,
        )
        for act, rule in found
    ]
    return table_html("What the keeper did", heads, rows, "The keeper never had to act.", words=2)


def _seizures(told: Simulated) -> str:
    from keeper.report import lives_plots as plots  # noqa: PLC0415

    rows = [
        (clock_text(time), rule.name, name, usd_text(usd))
        for rule in told.rules
        for name, _, life in plots.sides(rule)
        for time, usd in life.liquidations
    ]
    heads = ("Time (UTC)", "Rule of the account", "Life", "ETH price")
    return table_html("Liquidations", heads, sorted(rows), "Nobody was liquidated.")


def _hours(told: Simulated) -> str:
    from keeper.report import lives_plots as plots  # noqa: PLC0415

    worth = plots.equities(told)
    drawn = told.rules[:_MOST_RULES]
    heads = ["Hour (UTC)", "ETH", "ETH, low", "ETH, high", "USDC"]
    heads += [f"{rule.name}, {name}" for rule in drawn for name, _, _ in plots.sides(rule)]
    heads += [f"Equity, {name}" for name, *_ in worth]
    rows = [
        (
            clock_text(hour.time),
            *(usd_text(usd) for usd in (hour.close, hour.low, hour.high)),
            f"{hour.usdc:.4f}",
            *(
                _number(plots.worst_of(rule, life.hours[at]))
                for rule in drawn
                for _, _, life in plots.sides(rule)
            ),
            *(usd_text(hours[at]) for _, _, _, hours in worth),
        )
        for at, hour in enumerate(told.prices)
    ]
    return table_html("Hour by hour", heads, rows, "")


def _hostile(told: Simulated) -> str:
    if told.hostility is None:
        return ""
    return (
        "<li><b>In peace</b> is the same history with the keeper and without the hostile mempool; the difference is "
        "what that cost. It sandwiches to do harm, whether or not that pays.</li>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
