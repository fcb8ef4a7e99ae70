"""The play as one HTML file: nothing is fetched, so it reads the same from a disk, in a mail and in ten years.

plotly's own script is written into the file, and a content policy forbids the browser to load anything else. Plots take
their ink from the page, which follows the reader's light or dark setting; what is plotted also stands in a table.
`page.html` holds its body; `frame.html`, `page.css` and `page.js` what it shares with other pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from keeper.domain.errors import Misconfigured
from keeper.domain.texts import count_text
from keeper.report.record import Record, summary
from keeper.report.stories import BasketStory, RangeStory
from keeper.report.texts import clock_text, health_text, usd_text

_MOST_ROWS: Final = 500


def require_plotly() -> None:
    """`Misconfigured` when plotly is not installed: better said before a minute's play than after it."""
    if find_spec("plotly") is None:
        raise Misconfigured("report: the page with plots needs plotly; install the extra `sim`")


def write_html(record: Record, path: Path) -> None:
    """Write the page to `path`."""
    # plotly takes a while to import, and the screen does without it.
    from keeper.report import plots  # noqa: PLC0415

    figures = [
        ("price", "Price of ETH, and when the keeper acted", plots.price(record), _price_caption(record)),
        ("health", "Health of both loans, hour by hour", plots.health(record), _health_caption(record)),
        ("cost", "What each act for the loan cost", plots.cost(record), _cost_caption(record)),
        ("equity", "Equity of both loans", plots.equity(record), _equity_caption(record)),
    ]
    if record.ranges:
        told = (plots.ranges(record.ranges), _range_caption(record.ranges))
        figures.append(("range", "A range that follows the price, and one that stays", *told))
    if record.baskets:
        told = (plots.baskets(record.baskets), _basket_caption(record.baskets))
        figures.append(("basket", "A basket held to its weight, and one left alone", *told))
    write_page(
        path,
        "page.html",
        f"A guarded loan and its twin: {record.title}",
        title=escape(record.title),
        summary=escape(summary(record)),
        cards=_cards(record),
        figures="\n".join(figure_html(*figure) for figure in figures),
        acts=_acts(record) + _others(record),
        seizures=_seizures(record),
        reasons=_reasons(record),
        hours=_hours(record),
        terms=escape(_terms(record)),
        sources="".join(f"<li>{escape(source)}</li>" for source in record.sources),
        move=f"{record.max_move_bps / 100:g}",
        late=escape(count_text(record.late, "block")),
        length=escape(f"{record.blocks:,} blocks in {record.wall_s:.1f} s"),
    )


def write_page(path: Path, body: str, name: str, **parts: str) -> None:
    """Write the page whose body is in the file beside this one, in the frame that all share; `parts` are HTML already."""
    # plotly takes a while to import, and the screen does without it.
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    whole = Template(_packaged("frame.html")).substitute(
        title=escape(name),
        body=Template(_packaged(body)).substitute(parts),
        style=_packaged("page.css"),
        paint=_packaged("page.js"),
        plotly=get_plotlyjs(),
    )
    path.write_text(whole, encoding="utf-8")


def _packaged(name: str) -> str:
    return files("keeper.report").joinpath(name).read_text(encoding="utf-8")


def figure_html(name: str, title: str, plot: str, caption: str) -> str:
    """A plot with its heading and caption; what it shows must also stand in a table."""
    data = plot.replace("</", "<\\/")  # which would end the script
    return f"""<section aria-labelledby="{name}-title">
<h2 id="{name}-title">{escape(title)}</h2>
<figure>
<div class="plot" id="{name}" role="img" aria-label="{escape(caption)}"></div>
<script type="application/json" data-plot="{name}">{data}</script>
<figcaption>{escape(caption)}</figcaption>
</figure>
</section>"""


def _price_caption(record: Record) -> str:
    hours = record.hours
    first, last, low = hours[0].price_open, hours[-1].price, min(hour.price_low for hour in hours)
    return (
        f"ETH began at {usd_text(first)}, went as low as {usd_text(low)} and ended at {usd_text(last)}. Triangles "
        f"are acts of the keeper ({len(record.acts)}), crosses are liquidations ({len(record.seizures)}); the band is "
        "the range of each hour."
    )


def _health_caption(record: Record) -> str:
    terms = record.terms
    return (
        f"Each line is the lowest health of the hour. The rule acts below {terms.floor:.2f} and lands on "
        f"{terms.target:.2f}; below 1 Aave lets anyone liquidate. The lowest of all blocks was "
        f"{health_text(record.guarded.min_health)} for the guarded loan and {health_text(record.twin.min_health)} for "
        "its twin."
    )


def _cost_caption(record: Record) -> str:
    cost = record.cost
    if not record.acts:
        return "The keeper never had to act, so nothing was spent."
    return (
        f"Together {usd_text(cost.total)}: {usd_text(cost.fee)} in pool fees, {usd_text(cost.slippage)} in slippage "
        f"and {usd_text(cost.gas)} in gas, which the keeper pays."
    )


def _equity_caption(record: Record) -> str:
    guarded, twin = record.guarded, record.twin
    return (
        "Collateral minus debt by the oracle Aave uses, at the end of each hour. Guarded: "
        f"{usd_text(guarded.equity_start)} to {usd_text(guarded.equity_end)}; twin: {usd_text(twin.equity_start)} to "
        f"{usd_text(twin.equity_end)}."
    )


def _range_caption(story: RangeStory) -> str:
    guarded, twin = story.guarded, story.twin
    return (
        f"The keeper moved the guarded range {count_text(len(story.acts), 'time')}; it was in range for "
        f"{guarded.in_range:.0%} of the blocks, its twin for {twin.in_range:.0%}. Guarded: "
        f"{usd_text(guarded.value_start)} to {usd_text(guarded.value_end)}; twin: {usd_text(twin.value_start)} to "
        f"{usd_text(twin.value_end)}. Moving after a fall sells low: whether the fees of being in range pay for it is "
        "for a planner to say."
    )


def _basket_caption(story: BasketStory) -> str:
    guarded, twin = story.guarded, story.twin
    return (
        f"The keeper reweighed {count_text(len(story.acts), 'time')}; the guarded weight was never farther than "
        f"{guarded.drift:.1%} from its target, its twin's as far as {twin.drift:.1%}. Guarded: "
        f"{usd_text(guarded.value_start)} to {usd_text(guarded.value_end)}; twin: {usd_text(twin.value_start)} to "
        f"{usd_text(twin.value_end)}."
    )


def _cards(record: Record) -> str:
    guarded, twin = (
        [
            ("Liquidations", f"{side.liquidations:,}"),
            ("Lost to liquidators", usd_text(side.penalty)),
            ("Lowest health", health_text(side.min_health)),
            ("Equity, start", usd_text(side.equity_start)),
            ("Equity, end", usd_text(side.equity_end)),
        ]
        for side in (record.guarded, record.twin)
    )
    guarded[2:2] = [
        ("Acts for the loan", f"{len(record.acts):,}"),
        ("Their fees, slippage and gas", usd_text(record.cost.total)),
    ]
    return card_html("guarded", "Guarded by a rule", guarded) + card_html(
        "twin", "Twin, without a rule", twin
    )


def card_html(kind: str, title: str, lines: Sequence[tuple[str, str]]) -> str:
    """A card of terms with their figures."""
    items = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in lines)
    return f'<section class="card {kind}"><h2>{escape(title)}</h2><dl>{items}</dl></section>\n'


def _acts(record: Record) -> str:
    heads = ("Time (UTC)", "Block", "Health", "Repaid", "Sold", "Pool fee", "Slippage", "Gas", "Why")
    rows = [
        (
            clock_text(act.time),
            f"{act.block:,}",
            f"{act.health_before:.3f} → {act.health_after:.3f}",
            usd_text(act.repaid),
            f"{act.sold:,.4f} ETH",
            usd_text(act.cost.fee),
            usd_text(act.cost.slippage),
            usd_text(act.cost.gas),
            act.why,
        )
        for act in record.acts
    ]
    table = table_html("What the keeper did", heads, rows, "The keeper never had to act.", words=1)
    if record.failed:
        failed = count_text(record.failed, "further transaction")
        table += f"<p>{failed} came to nothing, for {usd_text(record.failed_gas)} of gas.</p>"
    return table


def _others(record: Record) -> str:
    """What was done for the range and the basket."""
    told = ""
    if record.ranges:
        heads = ("Time (UTC)", "Block", "ETH price", "Range before", "Range after", "Lost", "Gas", "Why")
        moved = [
            (
                clock_text(act.time),
                f"{act.block:,}",
                usd_text(act.price),
                f"{usd_text(act.before.lower)} … {usd_text(act.before.upper)}",
                f"{usd_text(act.after.lower)} … {usd_text(act.after.upper)}",
                usd_text(act.lost),
                usd_text(act.gas),
                act.why,
            )
            for act in record.ranges.acts
        ]
        told += table_html(
            "What it did for the range", heads, moved, "The price never left the range.", words=1
        )
    if record.baskets:
        names = ("Time (UTC)", "Block", "ETH price", "Weight of ETH", "Lost", "Gas", "Why")
        reweighed = [
            (
                clock_text(act.time),
                f"{act.block:,}",
                usd_text(act.price),
                f"{act.before:.1%} → {act.after:.1%}",
                usd_text(act.lost),
                usd_text(act.gas),
                act.why,
            )
            for act in record.baskets.acts
        ]
        told += table_html(
            "What it did for the basket", names, reweighed, "The weights never left their bands.", words=1
        )
    return told


def _seizures(record: Record) -> str:
    heads = (
        "Time (UTC)",
        "Block",
        "Loan",
        "ETH price",
        "Debt repaid",
        "To the liquidator",
        "Lost by the loan",
    )
    rows = [
        (
            clock_text(seized.time),
            f"{seized.block:,}",
            "guarded" if seized.guarded else "twin",
            usd_text(seized.price),
            usd_text(seized.repaid),
            f"{seized.seized:,.4f} ETH",
            usd_text(seized.penalty),
        )
        for seized in record.seizures
    ]
    return table_html("Liquidations", heads, rows, "Nobody was liquidated.")


def _reasons(record: Record) -> str:
    heads = ("Block time", "Block", "Verdict", "At", "Why", "What followed")
    rows = [
        (
            clock_text(reason.time),
            f"{reason.block:,}",
            reason.verdict,
            reason.measure,
            reason.why,
            reason.done,
        )
        for reason in record.reasons
    ]
    table = table_html("The reasons in the journal", heads, rows, "No turn called for anything.", words=2)
    turns = f"The keeper took {count_text(record.turns, 'turn')}; in {record.quiet:,} of them the loan was within its band."
    return table + f"<p>{turns}</p>"


def _hours(record: Record) -> str:
    heads = ("Hour (UTC)", "ETH", "ETH, low", "Guarded, low", "Twin, low", "Guarded equity", "Twin equity")
    rows = [
        (
            clock_text(hour.time),
            usd_text(hour.price),
            usd_text(hour.price_low),
            health_text(hour.guarded_low),
            health_text(hour.twin_low),
            usd_text(hour.guarded_equity),
            usd_text(hour.twin_equity),
        )
        for hour in record.hours
    ]
    return table_html("Hour by hour", heads, rows, "")


def table_html(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str, words: int = 0
) -> str:
    """A table whose last `words` columns are prose, the others figures; one that is too long is cut, and says so."""
    if not rows:
        return f"<h2>{escape(title)}</h2><p>{escape(empty)}</p>"
    kinds = ["figures"] * (len(heads) - words) + ["words"] * words
    head = "".join(
        f'<th scope="col" role="columnheader" class="{kind}">{escape(name)}</th>'
        for kind, name in zip(kinds, heads, strict=True)
    )
    # A phone shows each row as a card, in which every cell tells its column's name; the roles keep it a table.
    body = "\n".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" class="{kind}" data-name="{escape(name)}">{escape(cell)}</td>'
            for kind, name, cell in zip(kinds, heads, row, strict=True)
        )
        + "</tr>"
        for row in rows[:_MOST_ROWS]
    )
    cut = len(rows) - _MOST_ROWS
    more = f"<p>And {cut:,} more, not shown.</p>" if cut > 0 else ""
    return f"""<h2>{escape(title)}</h2>
<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}"><table role="table">
<thead role="rowgroup"><tr role="row">{head}</tr></thead>
<tbody role="rowgroup">
{body}
</tbody></table></div>{more}"""


def _terms(record: Record) -> str:
    terms = record.terms
    return (
        f"Both loans began with {terms.collateral_eth:g} ETH as collateral and {terms.debt_usdc:,.2f} USDC of debt, at "
        f"a health of {terms.health_start:.2f}. The rule of the guarded one: act below {terms.floor:.2f}, land on "
        f"{terms.target:.2f}, lose at most {terms.slippage_bps / 100:g} % of what is sold, repay at most "
        f"{terms.max_step:,.2f} USDC at once, and wait {terms.cooldown // 60} minutes between acts; any keeper may act."
    )
