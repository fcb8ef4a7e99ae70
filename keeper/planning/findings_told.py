"""What a plan found, told: the folder it leaves, JSON, and a table."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keeper.domain.errors import Misconfigured
from keeper.planning.figures import figure, number, numbers

if TYPE_CHECKING:
    from rich.console import Console

    from keeper.planner.chance import Held
    from keeper.planner.findings import Findings, Lived
    from keeper.planner.plan import Effort, Question

_SETS: Final = "keeper rule set "
_NAMED: Final = ("kind", "collateral", "debt", "assets")
_BOUNDED: Final = {"liquidations": "chance of liquidation", "cvar_95": "CVaR of a day at 95 %"}
_TITLES: Final = 20
"""How wide the column is that says what each figure is."""
_ON_SCREEN: Final = (
    "certainty_fee_bps",
    "cost_bps",
    "tracking_error",
    "trades",
    "max_drawdown",
    "cvar_95_day",
    "min_health",
    "liquidations",
)


def tell_plan(question: Question, effort: Effort, scheduler: str | None, out: Path, as_json: bool) -> None:
    """Find the rule, leave what is known of it in `out`, and tell it."""
    from keeper.planner.plan import plan as find
    from keeper.planner.workers import cluster
    from keeper.report.plan_page import write_plan

    if (effort.backend == "dask") != (scheduler is not None):
        raise Misconfigured("plan: --backend dask needs --scheduler, and nothing else does")
    with _progress() as on_progress:
        if scheduler is not None:
            with cluster(scheduler):
                found = find(question, effort, on_progress)
        else:
            found = find(question, effort, on_progress)
    told = json.dumps(_plan_json(found, out), indent=2, allow_nan=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "rule.toml").write_text(found.rule_file, encoding="utf-8")
        (out / "plan.json").write_text(f"{told}\n", encoding="utf-8")
        write_plan(found, out / "plan.html")
    except OSError as error:
        raise Misconfigured(f"plan: {out} cannot be written to ({error.strerror or error})") from error
    if as_json:
        print(told)
    else:
        from rich.console import Console

        _print_plan(Console(highlight=False), found, out)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error for each thing under way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        known: dict[str, Any] = {}

        def on_progress(what: str, done: int, of: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=of)
            bars.update(known[what], completed=done)

        yield on_progress


def _plan_json(found: Findings, out: Path) -> dict[str, Any]:
    front = found.front
    return {
        "kind": found.scores.kind,
        "title": found.title,
        "objective": found.objective,
        "risk_aversion": found.risk_aversion,
        "rule": tomllib.loads(found.rule_file),
        "command": _command(found, out),
        "planned": _lived_json(found.chosen),
        "bound": _held_json(found.held),
        "contest": [
            {
                "name": each.name,
                "rule": numbers(each.rule),
                "fee_bps": each.fee_bps,
                "is_on_chain": each.is_on_chain,
                "beaten": each.beaten,
            }
            for each in found.contest
        ],
        "compared": [_lived_json(each) for each in found.compared],
        "frontier": {
            "cost_bps": front.cost.tolist(),
            "risk": front.risk.tolist(),
            "risk_unit": found.risk_unit,
            "knee": front.knee,
            "rules": _members(found),
        },
        "theory": {
            name: {
                "trigger": point.band.trigger,
                "destination": point.band.destination,
                "cost_bps": point.cost_bps,
                "tracking_error": point.tracking_error,
            }
            for name, point in found.theory.items()
        },
        "crashes": {name: numbers(figures.table()) for name, figures in found.crashes.items()},
        "walk_forward": [
            {
                "trained": fold.trained,
                "tested": fold.tested,
                "rule": numbers(fold.rule),
                "trained_fee_bps": number(fold.trained_fee_bps),
                "tested_fee_bps": number(fold.tested_fee_bps),
                "best_fee_bps": number(fold.best_fee_bps),
            }
            for fold in found.folds
        ],
        "doubts": list(found.doubts),
        "notes": list(found.notes),
    }


def _members(found: Findings) -> list[dict[str, float | None]]:
    names = found.scores.parameters
    return [numbers({name: float(names[name][at]) for name in names}) for at in found.front.members]


def _lived_json(lived: Lived) -> dict[str, Any]:
    return {
        "name": lived.name,
        "rule": numbers(lived.rule),
        "metrics": numbers(lived.metrics.table()),
        "intervals_90": {name: list(span) for name, span in lived.intervals.items()},
    }


def _held_json(held: Held | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {
        "of": _BOUNDED[held.bound.figure],
        "at_most": held.bound.most,
        "confidence": held.bound.confidence,
        "estimate": held.estimate,
        "interval": [held.low, held.high],
        "interval_confidence": held.level,
        "paths": held.paths,
        "days": held.days,
        "attempts": held.attempts,
    }


def _print_plan(console: Console, found: Findings, out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from keeper.planner.findings import contest_told
    from keeper.report.plan_page import figures_of

    console.print(Text(f"{found.title}: {found.objective}", "bold"))
    # Rules across, of which there are few: figures across would be cut on a narrow terminal.
    table = Table()
    table.add_column("", min_width=_TITLES)
    everyone = (found.chosen, *found.compared)
    widest = max((console.width - _TITLES - 4) // len(everyone) - 3, 1)
    for lived in everyone:
        table.add_column(Text(lived.name), justify="right", max_width=widest, overflow="fold")
    for title, *figures in figures_of(found, _ON_SCREEN):
        table.add_row(title, *map(Text, figures))
    console.print(table)
    # As the file has it, where it has anything: rounded for the chain, and not once more for the screen.
    written = tomllib.loads(found.rule_file)
    told = [f"{name} {value}" for name, value in written.items() if name not in _NAMED]
    told += [f"{each['target_bps']} ± {each['band_bps']} bps" for each in written.get("assets", ())]
    console.print(Text(f"planned: {', '.join(told) or 'no rule'}"), soft_wrap=True)
    for sentence in contest_told(found.contest):
        console.print(Text(sentence), soft_wrap=True)
    if found.held is not None:
        console.print(Text(found.held.said), soft_wrap=True)
    for name, point in found.theory.items():
        console.print(
            f"{name}: trigger {figure(point.band.trigger)}, destination {figure(point.band.destination)}"
        )
    for doubt in found.doubts:
        console.print(Text(doubt, "yellow"))
    for note in found.notes:
        console.print(Text(f"note: {note}", "dim"))
    console.print(
        f"{out / 'plan.html'} has the frontier and all else, {out / 'rule.toml'} the rule for the chain",
        soft_wrap=True,
    )
    if command := _command(found, out):
        console.print(command, soft_wrap=True)


def _command(found: Findings, out: Path) -> str | None:
    """What sets the rule on chain, if anything does, as it is typed here."""
    from keeper.report.texts import command_text

    first = found.rule_file.partition("\n")[0].removeprefix("# ")
    if not first.startswith(_SETS):
        return None
    asked = first.removeprefix(_SETS).replace("rule.toml", shlex.quote(str(out / "rule.toml")), 1)
    return f"{command_text()} rule set {asked}"
