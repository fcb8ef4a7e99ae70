"""What people and scripts are shown: tables by rich, and the same facts as JSON.

Text that comes from a chain (symbols, reasons) is printed as text and never as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.domain.blocks import Block
from keeper.domain.flights import Flight
from keeper.domain.foresight import Foreseen, Foresight
from keeper.domain.plans import Intent, Move
from keeper.domain.rules import RuleKey
from keeper.domain.texts import date_text, span_text
from keeper.domain.units import GWEI, NOBODY, decimal_text
from keeper.domain.verdicts import Kind, Verdict

if TYPE_CHECKING:
    from keeper.desk import Explained
    from keeper.doctor import Finding
    from keeper.journal.journal import Latch, Page
    from keeper.positions.port import Look
    from keeper.turn import Turn

Kinds = Mapping[str, str]
"""What each contract holds rules for, in the singular, as `Settings.kinds` says it."""
_GRADES = {"GOOD": "green", "POOR": "yellow", "BAD": "bold red"}
_SPANS = frozenset({"cooldown", "hold", "window", "horizon"})
_COLOURS = {Kind.WITHIN: "green", Kind.BREACHED: "bold red", Kind.BARRED: "yellow", Kind.BLIND: "magenta"}


def console(stderr: bool = False) -> Console:
    """Where tables and progress go."""
    return Console(highlight=False, stderr=stderr)


def print_json(content: Any) -> None:
    """One JSON value on one line."""
    print(json.dumps(content), flush=True)


def verdict_json(verdict: Verdict, kinds: Kinds) -> dict[str, Any]:
    """A verdict; its measure as decimal text, because a float would round what a threshold decides."""
    return {
        "kind": kinds.get(verdict.key.thresholds),
        "thresholds": verdict.key.thresholds,
        "owner": verdict.key.owner,
        "rule": verdict.key.id,
        "verdict": verdict.kind.name.lower(),
        "why": verdict.why,
        verdict.measure.name: verdict.measure.text,
    }


def intent_json(intent: Intent) -> dict[str, Any]:
    """A rehearsed plan."""
    return {
        "intent": intent.id,
        "thresholds": intent.plan.key.thresholds,
        "owner": intent.plan.key.owner,
        "rule": intent.plan.key.id,
        "action": intent.plan.action,
        "moves": [_move_json(move) for move in intent.rehearsal.moves],
        f"{intent.rehearsal.after.name}_after": intent.rehearsal.after.text,
        "gas_limit": intent.gas_limit,
        "worth": intent.worth and {"wei": str(intent.worth.wei), "why": intent.worth.why},
        "deadline": intent.deadline,
        "decided_block": intent.decided_block,
    }


def flight_json(flight: Flight) -> dict[str, Any]:
    """What became of an intent."""
    receipt = flight.receipt
    return {
        **intent_json(flight.intent),
        "state": str(flight.state),
        "why": flight.why,
        "nonce": flight.nonce,
        "attempts": [attempt.hash for attempt in flight.attempts],
        "receipt": receipt
        and {
            "hash": receipt.hash,
            "block": receipt.block,
            "succeeded": receipt.succeeded,
            "gas_used": receipt.gas_used,
            "gas_cost_wei": str(receipt.gas_cost),
        },
    }


def latch_json(latch: Latch) -> dict[str, Any]:
    """What holds the keeper stopped, or held it."""
    return {"name": latch.name, "block": latch.block, "why": latch.why}


def turn_json(turn: Turn, dry_run: bool, kinds: Kinds) -> dict[str, Any]:
    """One turn."""
    return {
        "block": turn.block.number,
        "hash": turn.block.hash,
        "verdicts": [verdict_json(verdict, kinds) for verdict in turn.verdicts],
        "rehearsed" if dry_run else "sent": [intent_json(intent) for intent in turn.intents],
        "changes": [
            {**flight_json(change.flight), "before": str(change.before), "alarm": change.alarm}
            for change in turn.changes
        ],
        "trouble": list(turn.trouble),
        "tripped": list(turn.tripped),
        **({} if turn.foreseen is None else foreseen_json(turn.foreseen, kinds)),
    }


def foreseen_json(foreseen: Foreseen, kinds: Kinds) -> dict[str, Any]:
    """What is within reach of its trigger, and what would stop the action."""
    return {
        "ahead": [
            {
                "kind": kinds.get(each.key.thresholds),
                "thresholds": each.key.thresholds,
                "owner": each.key.owner,
                "rule": each.key.id,
                "early_seconds": each.reach.early,
                "median_seconds": each.reach.median,
                "obstacles": [{"cause": found.cause.value, "why": found.why} for found in each.obstacles],
            }
            for each in foreseen.foresights
        ],
        "untold": list(foreseen.untold),
    }


def look_json(block: Block, looks: Sequence[Look], kinds: Kinds) -> dict[str, Any]:
    """Every rule as it stands."""
    return {
        "block": block.number,
        "positions": [
            {
                **verdict_json(look.verdict, kinds),
                **look.rule,
                "moves": [_move_json(move) for move in look.moves],
            }
            for look in looks
        ],
    }


def explained_json(explained: Explained, kinds: Kinds) -> dict[str, Any]:
    """The page asked for, and under `before` the one that says when something was last not within its band."""
    before = explained.before
    return {**page_json(explained.page, kinds), "before": before and page_json(before, kinds)}


def page_json(page: Page, kinds: Kinds) -> dict[str, Any]:
    """What the journal holds of one owner at one turn."""
    return {
        "block": page.block.number,
        "hash": page.block.hash,
        "note": page.note,
        "verdicts": [verdict_json(verdict, kinds) for verdict in page.verdicts],
        "decided": [flight_json(flight) for flight in page.flights],
        "under_way": [flight_json(flight) for flight in page.open],
        "next": page.later and flight_json(page.later),
    }


def fields_told(look: Look) -> dict[str, str]:
    """A rule's fields for a person: tokens by name, amounts in whole ones, moments as dates, spans in words."""
    return {name: look.told.get(name) or _field_text(name, value) for name, value in look.rule.items()}


def _field_text(name: str, value: str | int) -> str:
    if name == "expiry" and isinstance(value, int):
        return date_text(value)
    if name in _SPANS and isinstance(value, int):
        return span_text(value) if value else "none"
    return "anyone" if name == "keeper" and value == NOBODY else str(value)


def print_looks(console: Console, block: Block, looks: Sequence[Look], kinds: Kinds) -> None:
    """Positions, bands and verdicts as a table."""
    if not looks:
        console.print(
            Text(
                f"block {block.number}: none of the watched owners has written a rule yet; keeper rule set does"
            )
        )
        return
    table = Table(title=f"block {block.number}", title_justify="left")
    for column in ("owner", "rule", "measure", "band", "verdict", "why"):
        table.add_column(column, overflow="fold")
    for look in looks:
        table.add_row(
            Text(_short(look.verdict.key.owner)),
            Text(_rule_text(look.verdict.key, kinds)),
            Text(str(look.verdict.measure)),
            Text(look.band),
            _kind(look.verdict.kind),
            Text(look.verdict.why),
        )
    console.print(table)


def print_foreseen(console: Console, foreseen: Foreseen, kinds: Kinds, within: str) -> None:
    """What is within reach of its trigger as a table, the soonest first."""
    for why in foreseen.untold:
        _line(console, Text(why, style=_COLOURS[Kind.BLIND]))
    if not foreseen.foresights:
        console.print(Text(f"ahead: no rule is within reach of its trigger in {within}"))
        return
    table = Table(title=f"within reach of a trigger in {within}", title_justify="left")
    for column in ("owner", "rule", "measure", "perhaps in", "more likely in", "what would stop the action"):
        table.add_column(column, overflow="fold")
    for each in foreseen.foresights:
        table.add_row(
            Text(_short(each.key.owner)),
            Text(_rule_text(each.key, kinds)),
            Text(str(each.measure)),
            Text(span_text(each.reach.early)),
            Text(span_text(each.reach.median)),
            _stopping(each),
        )
    console.print(table)


def _stopping(foresight: Foresight) -> Text:
    if not foresight.obstacles:
        return Text("nothing that is known", style=_COLOURS[Kind.WITHIN])
    return Text("\n".join(found.why for found in foresight.obstacles), style=_COLOURS[Kind.BARRED])


def print_rules(console: Console, block: Block, looks: Sequence[Look], kinds: Kinds) -> None:
    """Each rule with all its fields, and its contract's word."""
    for look in looks:
        key = look.verdict.key
        title = f"{_rule_text(key, kinds)} at {key.thresholds}, block {block.number}"
        table = Table(title=title, title_justify="left")
        for column in ("field", "value"):
            table.add_column(column, overflow="fold")
        for name, told in fields_told(look).items():
            table.add_row(Text(name.replace("_", " ")), Text(told))
        verdict = _kind(look.verdict.kind)
        verdict.append(f" at {look.verdict.measure}: {look.verdict.why}", style="default")
        table.add_row(Text("verdict"), verdict)
        if look.moves:
            table.add_row(Text("would"), Text(_moves_text(look.moves)))
        console.print(table)


def print_devnet(console: Console, manifest: dict[str, Any]) -> None:
    """Where everything on the devnet is."""
    table = Table(title=f"devnet at {manifest['url']}, chain {manifest['chain_id']}", title_justify="left")
    for column in ("what", "address"):
        table.add_column(column, overflow="fold")
    named = {
        "LoanThresholds": manifest.get("thresholds"),
        "RangeThresholds": manifest.get("range_thresholds"),
        "BasketThresholds": manifest.get("basket_thresholds"),
        "Multicall3": manifest.get("multicall"),
    }
    named |= {f"Aave {name}": place for name, place in manifest["aave"].items()}
    named |= {f"Uniswap {name}": place for name, place in manifest["uniswap"].items()}
    named |= {"WETH/USDC pool": manifest.get("pool")}
    for reserve in manifest.get("reserves", ()):
        named |= {reserve["symbol"]: reserve["token"], f"{reserve['symbol']} feed": reserve["feed"]}
    named |= {f"account: {role}": account for role, account in manifest["roles"].items()}
    for name, place in named.items():
        if place and place != NOBODY:
            table.add_row(Text(name.replace("_", " ")), Text(str(place)))
    console.print(table)
    console.print(Text("The accounts are Anvil's public ones: unlocked here, and nobody's anywhere else."))


def print_turn(console: Console, turn: Turn, dry_run: bool, kinds: Kinds) -> None:
    """One line for a quiet turn, and one more for each thing that happened."""
    counts = {kind: sum(verdict.kind is kind for verdict in turn.verdicts) for kind in Kind}
    line = Text(f"block {turn.block.number}  ")
    for kind, count in counts.items():
        if count:
            line.append(f"{count} {kind.name.lower()}  ", style=_COLOURS[kind])
    _line(console, line)
    for trouble in turn.trouble:
        _line(console, Text(f"  {trouble}", style=_COLOURS[Kind.BLIND]))
    for why in turn.tripped:
        _line(console, Text(f"  {why}", style="bold red"))
    if turn.foreseen is not None:
        _print_ahead(console, turn.foreseen, kinds)
    for change in turn.changes:
        style = "bold red" if change.alarm else ""
        _line(console, Text(f"  {change.flight.state}: {change.flight.why}", style=style))
    for verdict in turn.verdicts:
        if verdict.kind is not Kind.WITHIN:
            line = Text(f"  {_short(verdict.key.owner)} {_rule_text(verdict.key, kinds)} ")
            line.append_text(_kind(verdict.kind))
            line.append(f" at {verdict.measure}: {verdict.why}")
            _line(console, line)
    for intent in turn.intents:
        key, verb = intent.plan.key, "would " if dry_run else ""
        rehearsed, whose = intent.rehearsal, f"{_short(key.owner)} {_rule_text(key, kinds)}"
        _line(console, Text(f"  {whose}: {verb}{_moves_text(rehearsed.moves)}, to {rehearsed.after}"))


def _print_ahead(console: Console, foreseen: Foreseen, kinds: Kinds) -> None:
    """A line for each obstacle that a turn foresaw."""
    for why in foreseen.untold:
        _line(console, Text(f"  ahead: {why}", style=_COLOURS[Kind.BLIND]))
    for each in foreseen.foresights:
        whose = f"{_short(each.key.owner)} {_rule_text(each.key, kinds)}"
        for found in each.obstacles:
            when = span_text(each.reach.early)
            _line(
                console,
                Text(f"  ahead: {whose}, perhaps in {when}: {found.why}", style=_COLOURS[Kind.BARRED]),
            )


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """What the doctor found."""
    return {
        "findings": [
            {"subject": each.subject, "grade": each.grade.name.lower(), "said": each.said, "next": each.next}
            for each in findings
        ]
    }


def print_finding(console: Console, finding: Finding) -> None:
    """One line for what was found, and one for what to do about it."""
    style = _GRADES[finding.grade.name]
    line = Text(f"{finding.grade.name.lower():<5}", style=style)
    line.append(finding.said, style="")
    _line(console, line)
    if finding.next:
        _line(console, Text(f"     {finding.next}"))


def print_explained(console: Console, asked: int | None, explained: Explained, kinds: Kinds) -> None:
    """The reasons for what was done, and for what was not."""
    page, before = explained.page, explained.before
    if asked is not None and asked != page.block.number:
        _line(
            console,
            Text(f"block {asked} was not judged; the newest turn before it is of block {page.block.number}"),
        )
    told = {flight.intent.id for flight in before.flights} if before else set()
    _print_page(console, page, kinds, told)
    if before:
        _line(console, Text("the last block before it in which a rule was not within its band:"))
        _print_page(console, before, kinds, set())


def _print_page(console: Console, page: Page, kinds: Kinds, told: Set[str]) -> None:
    """One turn, without the flights that are told elsewhere."""
    _line(console, Text(f"block {page.block.number} {page.block.hash}", style="bold"))
    if page.note:
        _line(console, Text(f"  {page.note}"))
    for verdict in page.verdicts:
        line = Text(f"  {_rule_text(verdict.key, kinds)} ")
        line.append_text(_kind(verdict.kind))
        line.append(f" at {verdict.measure}: {verdict.why}")
        _line(console, line)
    for flight in page.flights:
        _line(console, Text(f"  decided here: {flight_text(flight)}"))
    for flight in page.open:
        if flight.intent.id not in told:
            _line(console, Text(f"  {_standing(flight)}: {flight_text(flight)}"))
    if page.later and not page.flights:
        _line(console, Text(f"  next: block {page.later.intent.decided_block}: {flight_text(page.later)}"))


def _standing(flight: Flight) -> str:
    """How far one has come that was under way when its page was written."""
    where = f"decided in block {flight.intent.decided_block}"
    if flight.state.ended:
        return f"{where}, over by now"
    return f"{where}, under way" if flight.state.awaiting else f"{where}, not final yet"


def _line(console: Console, text: Text) -> None:
    """Between words on a terminal; in a pipe or a file a line stays whole."""
    console.print(text, soft_wrap=not console.is_terminal)


def flight_text(flight: Flight) -> str:
    """A flight in one line: what it moves, where it stands and why, and what its gas was worth."""
    moves = _moves_text(flight.intent.rehearsal.moves)
    text = f"{moves}, nonce {flight.nonce}; {flight.state}: {flight.why}"
    if flight.receipt:
        price = flight.receipt.gas_price / GWEI
        text += f" ({flight.receipt.hash}, {flight.receipt.gas_used} gas at {price:.2f} gwei)"
    doors = dict.fromkeys(door for attempt in flight.attempts for door in attempt.doors)
    if doors and list(doors) != ["public"]:
        text += f"; left by {', then '.join(doors)}"
    worth = flight.intent.worth
    if worth:
        text += f"; worth {decimal_text(worth.wei, 18, 4)} ETH of gas: {worth.why}"
    return text


def _move_json(move: Move) -> dict[str, Any]:
    """Amounts in the asset's own units, as text."""
    asset = move.asset
    return {
        "verb": move.verb,
        "asset": asset.address,
        "symbol": asset.symbol,
        "decimals": asset.decimals,
        "amount": str(move.amount),
        "pool_fee": move.fee,
    }


def _moves_text(moves: Sequence[Move]) -> str:
    return ", ".join(move.text for move in moves)


def _rule_text(key: RuleKey, kinds: Kinds) -> str:
    return f"{kinds.get(key.thresholds, '')} rule {key.id}".lstrip()


def _kind(kind: Kind) -> Text:
    return Text(kind.name.lower(), style=_COLOURS[kind])


def _short(address: str) -> str:
    return f"{address[:8]}…{address[-4:]}"
