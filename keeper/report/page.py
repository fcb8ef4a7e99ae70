"""The play as one HTML file: nothing is fetched, so it reads the same from a disk, in a mail and in ten years.

plotly's own script is written into the file, and a content policy forbids the browser to load anything else. Plots take
their ink from the page, which follows the reader's light or dark setting; every plotted figure also stands in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from keeper.domain.errors import Misconfigured
from keeper.report.record import (
    Record,
    clock_text,
    count_text,
    health_text,
    summary,
    usd_text,
)

_LIMITS_OF_TABLES = 500


def require_plotly() -> None:
    """`Misconfigured` when plotly is not installed, said before a minute's play rather than after it."""
    try:
        import plotly  # noqa: F401, PLC0415
    except ImportError as error:
        raise Misconfigured("report: the page with plots needs plotly; install the extra `sim`") from error


def write_html(record: Record, path: Path) -> None:
    """Write the page to `path`."""
    # plotly takes a third of a second to import, and the screen does without it.
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    from keeper.report import plots  # noqa: PLC0415

    figures = [
        ("price", "Price of ETH, and when the keeper acted", plots.price(record), _price_caption(record)),
        ("health", "Health of both loans, hour by hour", plots.health(record), _health_caption(record)),
        ("cost", "What each act cost", plots.cost(record), _cost_caption(record)),
        ("equity", "Equity of both loans", plots.equity(record), _equity_caption(record)),
    ]
    text = Template(_PAGE).substitute(
        title=escape(record.title),
        summary=escape(summary(record)),
        cards=_cards(record),
        figures="\n".join(_figure(*figure) for figure in figures),
        acts=_acts(record),
        seizures=_seizures(record),
        reasons=_reasons(record),
        hours=_hours(record),
        terms=_terms(record),
        sources="".join(f"<li>{escape(source)}</li>" for source in record.sources),
        late=escape(count_text(record.late, "block") + " here"),
        length=escape(f"{record.blocks:,} blocks in {record.wall_s:.1f} s"),
        style=_STYLE,
        script=_SCRIPT,
        plotly=get_plotlyjs(),
    )
    path.write_text(text, encoding="utf-8")


def _figure(name: str, title: str, figure: str, caption: str) -> str:
    # A "</script>" inside the data would end it.
    data = figure.replace("</", "<\\/")
    return f"""<section aria-labelledby="{name}-title">
<h2 id="{name}-title">{escape(title)}</h2>
<figure>
<div class="plot" id="{name}" role="img" aria-label="{escape(caption)}"></div>
<script type="application/json" data-plot="{name}">{data}</script>
<figcaption>{escape(caption)}</figcaption>
</figure>
</section>"""


def _price_caption(record: Record) -> str:
    low = min(hour.price_low for hour in record.hours)
    first, last = record.hours[0].price_open, record.hours[-1].price
    return (
        f"ETH began at {usd_text(first)}, went as low as {usd_text(low)} and ended at {usd_text(last)}. Triangles are the "
        f"keeper’s acts ({len(record.acts)}), crosses are liquidations ({len(record.seizures)}); the band is each hour’s range."
    )


def _health_caption(record: Record) -> str:
    terms = record.terms
    return (
        f"Each line is the lowest health of the hour. The rule acts below {terms.floor:.2f} and lands on {terms.target:.2f}; "
        f"below 1 Aave lets anyone liquidate. Lowest of all blocks: guarded {health_text(record.guarded.min_health)}, "
        f"twin {health_text(record.twin.min_health)}."
    )


def _cost_caption(record: Record) -> str:
    if not record.acts:
        return "The keeper never had to act, so nothing was spent."
    cost = record.cost
    return (
        f"All acts together cost {usd_text(cost.total)}: {usd_text(cost.fee)} in pool fees, {usd_text(cost.slippage)} in "
        f"slippage, {usd_text(cost.gas)} in gas, which the keeper pays."
    )


def _equity_caption(record: Record) -> str:
    return (
        f"Collateral minus debt by Aave's oracle, at the end of each hour. Guarded: {usd_text(record.guarded.equity_start)} to "
        f"{usd_text(record.guarded.equity_end)}; twin: {usd_text(record.twin.equity_start)} to {usd_text(record.twin.equity_end)}."
    )


def _cards(record: Record) -> str:
    cards = []
    for name, side in (("Guarded", record.guarded), ("Twin, without a rule", record.twin)):
        lines = [
            ("Liquidations", f"{side.liquidations:,}"),
            ("Lost to liquidators", usd_text(side.penalty)),
            ("Lowest health", health_text(side.min_health)),
            ("Equity, start", usd_text(side.equity_start)),
            ("Equity, end", usd_text(side.equity_end)),
        ]
        if side is record.guarded:
            lines[1:2] = [
                ("Acts of the keeper", f"{len(record.acts):,}"),
                ("Their cost", usd_text(record.cost.total)),
            ]
        items = "".join(
            f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in lines
        )
        kind = "guarded" if side is record.guarded else "twin"
        cards.append(f'<section class="card {kind}"><h2>{escape(name)}</h2><dl>{items}</dl></section>')
    return "\n".join(cards)


def _acts(record: Record) -> str:
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
    heads = ("Time (UTC)", "Block", "Health", "Repaid", "Sold", "Pool fee", "Slippage", "Gas", "Why")
    note = ""
    if record.failed:
        note = f"<p>{count_text(record.failed, 'further transaction')} failed on chain, for {usd_text(record.failed_gas)} of gas.</p>"
    return _table("What the keeper did", heads, rows, "The keeper never had to act.", words=1) + note


def _seizures(record: Record) -> str:
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
    heads = (
        "Time (UTC)",
        "Block",
        "Loan",
        "ETH price",
        "Debt repaid",
        "To the liquidator",
        "Lost by the loan",
    )
    return _table("Liquidations", heads, rows, "Nobody was liquidated.")


def _reasons(record: Record) -> str:
    rows = [
        (clock_text(reason.time), f"{reason.block:,}", reason.verdict, reason.health, reason.why, reason.done)
        for reason in record.reasons
    ]
    heads = ("Block time", "Block", "Verdict", "Health", "Why", "What followed")
    quiet = record.turns - len(record.reasons)
    note = f"<p>The keeper took {record.turns:,} turns; in the other {quiet:,} the journal says “within: health: at or above the floor”.</p>"
    return _table("The journal’s reasons", heads, rows, "No turn called for anything.", words=2) + note


def _hours(record: Record) -> str:
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
    heads = (
        "Hour (UTC)",
        "ETH, last",
        "ETH, lowest",
        "Guarded, lowest",
        "Twin, lowest",
        "Guarded equity",
        "Twin equity",
    )
    return _table("Hour by hour", heads, rows, "")


def _table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str, words: int = 0
) -> str:
    """A table whose last `words` columns are prose and whose others are figures; a long one is cut, and says so."""
    if not rows:
        return f"<h2>{escape(title)}</h2><p>{escape(empty)}</p>"
    kinds = ["figures"] * (len(heads) - words) + ["words"] * words
    head = "".join(
        f'<th scope="col" role="columnheader" class="{kind}">{escape(name)}</th>'
        for kind, name in zip(kinds, heads, strict=True)
    )
    # A phone shows each row as a card, in which every cell carries its column's name; the roles keep it a table.
    body = "\n".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" class="{kind}" data-name="{escape(name)}">{escape(cell)}</td>'
            for kind, name, cell in zip(kinds, heads, row, strict=True)
        )
        + "</tr>"
        for row in rows[:_LIMITS_OF_TABLES]
    )
    cut = len(rows) - _LIMITS_OF_TABLES
    more = f"<p>And {cut:,} more, not shown.</p>" if cut > 0 else ""
    return f"""<h2>{escape(title)}</h2>
<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}"><table role="table">
<thead role="rowgroup"><tr role="row">{head}</tr></thead>
<tbody role="rowgroup">
{body}
</tbody></table></div>{more}"""


def _terms(record: Record) -> str:
    terms = record.terms
    return escape(
        f"Both loans began with {terms.collateral_eth:g} ETH as collateral and {terms.debt_usdc:,.2f} USDC of debt, at a health of "
        f"{terms.health_start:.2f}. The rule of the guarded one: act below {terms.floor:.2f}, land on {terms.target:.2f}, lose at most "
        f"{terms.slippage_bps / 100:g} % of what is sold, repay at most {terms.max_step:,.2f} USDC at once, and wait "
        f"{terms.cooldown // 60} minutes between acts; any keeper may act."
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:">
<title>A guarded loan and its twin: $title</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<p class="when">$title</p>
<h1>A loan with a rule, and its twin without</h1>
<p class="lead">$summary</p>
</header>
<div class="cards">
$cards
</div>
<noscript><p>The plots need JavaScript; every figure in them also stands in the tables below.</p></noscript>
$figures
<section>$acts</section>
<section>$seizures</section>
<section>$reasons</section>
<details><summary>Every hour in figures</summary>
$hours
</details>
<section>
<h2>How to read this</h2>
<p>$terms</p>
<ul>
<li>The chain, Aave V3, Uniswap V3, the contract, the keeper and the liquidator are the real programs on a local chain; the play took $length.</li>
<li>Each hour goes through its open, low, high and close, the low first because it is the harder order, in moves of at most 2 %. Oracle and pool move together: an arbitrageur trades the pool to each new price.</li>
<li>Keeper and liquidator see the same block, and what they send competes for the next, 12 seconds later, the highest bid first. The liquidator bids more. A keeper slower than 12 seconds misses the block ($late).</li>
<li><b>Health</b> is Aave’s health factor, read at every block, right after the price moved and after each transaction. <b>Equity</b> is collateral minus debt by Aave’s oracle, without the borrowed money both still hold.</li>
<li><b>Pool fee</b> is the pool’s fee on the amount sold. <b>Slippage</b> is everything else the swap lost by the oracle: price impact, and the pool’s distance from the oracle. Both have left the equity shown. <b>Gas</b> is gas used × price paid × ETH price; the keeper pays it, so the equity shown is before gas.</li>
<li>What a liquidation cost is what the account’s equity fell by in its block: the liquidator’s bonus and Aave’s share of it.</li>
<li>One USDC is one dollar throughout. All times are UTC and the price history’s own.</li>
</ul>
<h2>Where the history comes from</h2>
<ul>$sources</ul>
</section>
</main>
<script>$plotly</script>
<script>$script</script>
</body>
</html>
"""

_STYLE = """
:root { --ink: #1b2430; --soft: #56616e; --paper: #ffffff; --sheet: #f5f6f8; --line: #dde1e7; --range: rgba(86, 97, 110, 0.18); --guarded: #1f6fd6; --twin: #c9541c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ebf0; --soft: #a3adb9; --paper: #12161c; --sheet: #1b212a; --line: #323b47; --range: rgba(163, 173, 185, 0.2); --guarded: #6aa9ff; --twin: #ff9a62; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0.2rem 0 0.8rem; text-wrap: balance; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.5rem; }
.when { margin: 0; color: var(--soft); }
.lead { font-size: 1.08rem; max-width: 46rem; margin: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; margin-top: 1.5rem; }
.card { background: var(--sheet); border-radius: 8px; border-top: 4px solid; padding: 0.8rem 1rem 1rem; }
.card h2 { margin: 0 0 0.5rem; }
.guarded { border-color: var(--guarded); }
.twin { border-color: var(--twin); }
dl { margin: 0; }
dl div { display: flex; justify-content: space-between; gap: 1rem; padding: 0.15rem 0; }
dt { color: var(--soft); }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: 0.92rem; max-width: 46rem; }
.plot { width: 100%; height: 21rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .words { text-align: left; }
td.words { white-space: normal; min-width: 14rem; }
tbody tr { border-top: 1px solid var(--line); }
@media (max-width: 42rem) {
  table, tbody, tr { display: block; }
  thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; white-space: nowrap; }
  tr { padding: 0.4rem 0; }
  td, th:first-child, td:first-child { display: flex; justify-content: space-between; gap: 1.5rem; text-align: right; padding: 0.12rem 0.8rem; }
  td.words { min-width: 0; text-align: right; }
  td::before { content: attr(data-name); color: var(--soft); white-space: nowrap; }
  .plot { height: 19rem; }
}
details { margin-top: 2.2rem; }
summary { cursor: pointer; font-weight: 600; }
a { color: var(--guarded); }
li { margin: 0.3rem 0; }
li, section > p { max-width: 46rem; }
:focus-visible { outline: 2px solid var(--guarded); outline-offset: 2px; }
"""

_SCRIPT = """
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    const style = getComputedStyle(document.documentElement);
    const named = name => style.getPropertyValue("--" + name).trim();
    for (const source of document.querySelectorAll("script[data-plot]")) {
      const text = source.textContent.replace(/"var\\(--([a-z]+)\\)"/g, (_, name) => JSON.stringify(named(name)));
      const figure = JSON.parse(text);
      Plotly.react(source.dataset.plot, figure.data, figure.layout, {responsive: true, displayModeBar: false});
    }
  }
  paint();
  dark.addEventListener("change", paint);
})();
"""
