"""A journal's account for people and scripts: tables, JSON, and CSV with a row per action.

Money is rounded only here. Text that comes from a chain is printed as text and never as markup.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
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
_PLACES: Final = 2
_MORE_PLACES: Final = 5
"""Decimals of money, and of ether and of sums below one."""
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
    """Every rule's actions, then all rules and kinds together, and beside the plan where one was given."""
    console.print(Text(f"since {date_text(found.start)}, {span_text(found.seconds)}", "bold"))
    for key, together in found.rules.items():
        mine = [each for each in found.actions if each.flight.intent.plan.key == key]
        console.print(_actions(f"{_rule_text(key, kinds)}, in {together.money or 'ether'}", mine))
    console.print(_sums(found, kinds))
    if found.promise:
        console.print(_promised(found, kinds))
    for note in notes(found):
        console.print(Text(f"note: {note}", "dim"), soft_wrap=True)


def _table(title: str, left: str, *right: str) -> Table:
    """Narrow enough for a terminal of eighty."""
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(left, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _actions(title: str, actions: Sequence[Scored]) -> Table:
    table = _table(title, "action", "block", "sold", *_PARTS, "cost", "planned")
    totals = [abs(each.realised.total) for each in actions if each.realised]
    places = _PLACES if max(totals, default=0.0) >= 1 else _MORE_PLACES
    for each in actions:
        intent = each.flight.intent
        what = intent.plan.action if each.done else f"{intent.plan.action}, failed"
        row = [what, str(intent.decided_block)]
        if each.realised is None or each.planned is None:
            row += ["", decimal_text(each.paid_wei, 18, _MORE_PLACES), *[""] * (len(_PARTS) + 1)]
        else:
            figures = (*_parts(each.realised).values(), each.realised.total, each.planned.total)
            row += [_figure(each.traded, _PLACES), *(_figure(value, places) for value in figures)]
        table.add_row(*map(Text, row))
    return table


def _sums(found: Account, kinds: Kinds) -> Table:
    table = _table(
        "together", "rule", "done", "failed", "gas, ether", "cost", "planned", "bp", "planned", "bp a year"
    )
    rows = [(_rule_text(key, kinds), each) for key, each in found.rules.items()]
    rows += [(f"all {kind}s" if kind else "all others", each) for (kind, _), each in found.kinds.items()]
    for name, each in rows:
        places = _PLACES if abs(each.realised.total) >= 1 else _MORE_PLACES
        costs = [_figure(parts.total, places) for parts in (each.realised, each.planned)]
        shares = [_figure(parts.total, _PLACES) for parts in (each.realised_bps, each.planned_bps)]
        yearly = _figure(each.realised_bps.total / found.years, 1) if found.seconds else ""
        gas = decimal_text(each.paid_wei, 18, _MORE_PLACES)
        table.add_row(*map(Text, (name, str(each.done), str(each.failed), gas, *costs, *shares, yearly)))
    return table


def _promised(found: Account, kinds: Kinds) -> Table:
    assert found.promise is not None
    title = f"a year, beside the plan “{found.promise.title}”"
    table = _table(title, "rule", "figure", "planned", "nine in ten", "realised")
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


def _figure(value: float, places: int) -> str:
    """With so many decimals; what is nothing at that is told without a sign."""
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text
