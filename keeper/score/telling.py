"""A journal's account for people and scripts: tables, JSON, and CSV with a row per action.

Money is rounded only here. Text that comes from a chain is printed as text and never as markup.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.domain.rules import RuleKey
from keeper.domain.texts import count_text, date_text, span_text
from keeper.domain.units import decimal_text
from keeper.score.account import Account, Sum
from keeper.score.shortfall import Scored, Shortfall

Kinds = Mapping[str, str]
_PARTS: Final = ("gas", "fee", "impact", "delay", "slippage")
_SHORT: Final = 30 * 86_400
_ROW: Final = (
    "intent", "block", "time", "kind", "thresholds", "owner", "rule", "action", "state", "done", "blocks", "money",
    "worth", "traded", *(f"{part}_planned" for part in _PARTS), "cost_planned", *_PARTS, "cost",
    "gas_wei_planned", "gas_wei",
)  # fmt: skip


def account_json(found: Account, kinds: Kinds) -> dict[str, Any]:
    """All of it; wei as text, money as numbers in the `money` each entry names."""
    return {
        "from": found.start,
        "to": found.end,
        "blocks": [found.first.number, found.last.number],
        "open": found.open,
        "actions": [_action_json(each, kinds) for each in found.actions],
        "rules": [{**_key_json(key, kinds), **_sum_json(each, found)} for key, each in found.rules.items()],
        "kinds": [{"kind": kind, **_sum_json(each, found)} for (kind, _), each in found.kinds.items()],
        "plan": _promise_json(found, kinds),
        "notes": notes(found),
    }


def write_csv(found: Account, kinds: Kinds, file: IO[str]) -> None:
    """A row per action; what is not known is empty."""
    writer = csv.DictWriter(file, _ROW, lineterminator="\n")
    writer.writeheader()
    for each in found.actions:
        told = _action_json(each, kinds)
        planned, realised = told.pop("planned"), told.pop("realised")
        told |= {f"{name}_planned": value for name, value in (planned or {}).items()}
        told |= realised or {}
        writer.writerow({name: told.get(name) for name in _ROW})


def notes(found: Account) -> list[str]:
    """What a reader of the figures must know."""
    told = []
    unvalued = sum(each.unvalued for each in found.rules.values())
    if found.open:
        told.append(f"{count_text(found.open, 'action')} under way, in no block yet: not counted")
    if unvalued:
        what = count_text(unvalued, "action")
        told.append(
            f"{what} without prices in the plan or swaps in the receipt: only their gas in wei is told"
        )
    if 0 < found.seconds < _SHORT:
        told.append(f"a year's figures are {span_text(found.seconds)} stretched to a year")
    if found.unpriced:
        told.append(
            "the price of what gas is paid in is not known everywhere: say it with --ether, or name its token"
        )
    return told


def print_account(console: Console, found: Account, kinds: Kinds) -> None:
    """Every action, then every rule and kind, and beside the plan where one was given."""
    console.print(_actions(found, kinds))
    console.print(_sums(found, kinds))
    if found.promise:
        console.print(_promised(found, kinds))
    for note in notes(found):
        console.print(Text(f"note: {note}", "dim"), soft_wrap=True)


def _actions(found: Account, kinds: Kinds) -> Table:
    span = f"{date_text(found.start)}, {span_text(found.seconds)}"
    table = Table(title=f"actions since {span}", title_justify="left")
    for name in ("block", "rule", "action", "sold", *_PARTS, "cost", "planned"):
        table.add_column(name, justify="left" if name in ("rule", "action") else "right", overflow="fold")
    for each in found.actions:
        plan = each.flight.intent.plan
        what = plan.action if each.done else f"{plan.action}, {each.flight.state}"
        cells = (str(each.flight.intent.decided_block), _rule_text(plan.key, kinds), what)
        table.add_row(*map(Text, (*cells, *_money_cells(each))))
    return table


def _money_cells(each: Scored) -> tuple[str, ...]:
    if each.planned is None or each.realised is None:
        gas = f"{decimal_text(each.paid_wei, 18, 6)} ether"
        return ("", gas, *[""] * (len(_PARTS) + 1))
    parts = tuple(_figure(part) for part in _parts(each.realised).values())
    return (
        f"{_figure(each.traded)} {each.money}",
        *parts,
        _figure(each.realised.total),
        _figure(each.planned.total),
    )


def _sums(found: Account, kinds: Kinds) -> Table:
    table = Table(title="together", title_justify="left")
    names = ("rule", "done", "failed", "gas, ether", "cost", "planned", "bp of worth", "planned", "bp a year")
    for name in names:
        table.add_column(name, justify="left" if name == "rule" else "right", overflow="fold")
    rows = [(_rule_text(key, kinds), each) for key, each in found.rules.items()]
    rows += [(f"all {kind}s".replace("all s", "all others"), each) for (kind, _), each in found.kinds.items()]
    for name, each in rows:
        yearly = f"{each.realised_bps.total / found.years:,.1f}" if found.seconds else ""
        cells = (
            name, f"{each.done}", f"{each.failed}", decimal_text(each.paid_wei, 18, 6),
            f"{_figure(each.realised.total)} {each.money}", _figure(each.planned.total),
            f"{each.realised_bps.total:,.2f}", f"{each.planned_bps.total:,.2f}", yearly,
        )  # fmt: skip
        table.add_row(*map(Text, cells))
    return table


def _promised(found: Account, kinds: Kinds) -> Table:
    assert found.promise is not None
    table = Table(title=f"a year, beside the plan “{found.promise.title}”", title_justify="left")
    for name in ("rule", "figure", "planned", "nine in ten", "realised"):
        table.add_column(name, justify="left" if name in ("rule", "figure") else "right", overflow="fold")
    for key, figures in found.promised().items():
        for name, realised in figures.items():
            span = found.promise.intervals.get(name)
            told = f"{span[0]:,.4g} to {span[1]:,.4g}" if span else ""
            planned = found.promise.figures[name]
            cells = (_rule_text(key, kinds), name, f"{planned:,.4g}", told, f"{realised:,.4g}")
            table.add_row(*map(Text, cells))
    return table


def _promise_json(found: Account, kinds: Kinds) -> dict[str, Any] | None:
    if found.promise is None:
        return None
    intervals = {name: list(span) for name, span in found.promise.intervals.items()}
    return {
        "title": found.promise.title,
        "planned": dict(found.promise.figures),
        "intervals_90": intervals,
        "realised": [{**_key_json(key, kinds), **figures} for key, figures in found.promised().items()],
    }


def _action_json(each: Scored, kinds: Kinds) -> dict[str, Any]:
    intent = each.flight.intent
    return {
        "intent": intent.id,
        "block": intent.decided_block,
        "time": each.decided.timestamp,
        **_key_json(intent.plan.key, kinds),
        "action": intent.plan.action,
        "state": str(each.flight.state),
        "done": each.done,
        "blocks": each.blocks,
        "money": each.money or None,
        "ether": each.ether,
        "worth": each.worth,
        "traded": each.traded,
        "planned": each.planned and _parts_json(each.planned),
        "realised": each.realised and _parts_json(each.realised),
        "gas_wei_planned": str(each.planned_wei),
        "gas_wei": str(each.paid_wei),
    }


def _sum_json(each: Sum, found: Account) -> dict[str, Any]:
    yearly = found.seconds and {
        "done": each.done / found.years,
        "cost_bps": each.realised_bps.total / found.years,
        "cost_bps_planned": each.planned_bps.total / found.years,
    }
    return {
        "done": each.done,
        "failed": each.failed,
        "unvalued": each.unvalued,
        "money": each.money or None,
        "traded": each.traded,
        "planned": _parts_json(each.planned),
        "realised": _parts_json(each.realised),
        "planned_bps": _parts_json(each.planned_bps),
        "realised_bps": _parts_json(each.realised_bps),
        "gas_wei_planned": str(each.planned_wei),
        "gas_wei": str(each.paid_wei),
        "gas_wei_wasted": str(each.wasted_wei),
        "a_year": yearly or None,
    }


def _key_json(key: RuleKey, kinds: Kinds) -> dict[str, Any]:
    return {
        "kind": kinds.get(key.thresholds),
        "thresholds": key.thresholds,
        "owner": key.owner,
        "rule": key.id,
    }


def _parts_json(parts: Shortfall) -> dict[str, float]:
    return {**_parts(parts), "cost": parts.total}


def _parts(parts: Shortfall) -> dict[str, float]:
    return {name: asdict(parts)[name] for name in _PARTS}


def _rule_text(key: RuleKey, kinds: Kinds) -> str:
    return f"{key.owner[:6]}… {kinds.get(key.thresholds, '')} {key.id}"


def _figure(value: float) -> str:
    """Two decimals, or as many digits as tell what is less than that."""
    return f"{value:,.2f}" if abs(value) >= 1 or not value else f"{value:.2g}"
