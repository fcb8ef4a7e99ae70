"""An owner's rules and everything around them as the chain shows them at one block, for the lint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from keeper import app
from keeper.chain.assets import Assets
from keeper.chain.baskets import Baskets
from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.ranges import Ranges
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols.aave_v3 import GET_RESERVE_DATA, read_reserve
from keeper.protocols.erc20 import BALANCE_OF
from keeper.rules.basket_faults import BasketCase
from keeper.rules.faults import Lint
from keeper.rules.lint import Cases, lint
from keeper.rules.loan_faults import LoanCase
from keeper.rules.range_faults import RangeCase
from keeper.rules.wording import address_of
from keeper.settings import Settings

_RAY: Final = 1e27


def lint_rules(settings: Settings, owner: str) -> tuple[int, tuple[Lint, ...]]:
    """How many rules an owner has in all watched contracts, and everything that is wrong with them."""
    who = address_of(owner)
    node = app.connect(settings)
    head = node.head()
    places = {
        kind: dict.fromkeys(Address(watch.thresholds) for watch in settings.watch if watch.kind == kind)
        for kind in app.KINDS
    }
    cases = Cases(
        [case for at in places["loans"] for case in _loans(node, Loans(node, at, [who]), head)],
        [case for at in places["ranges"] for case in _ranges(Ranges(node, at, [who]), head)],
        [case for at in places["baskets"] for case in _baskets(node, Baskets(node, at, [who]), head)],
    )
    return len(cases), lint(cases, head.timestamp)


def _loans(node: Node, loans: Loans, head: Block) -> Iterator[LoanCase]:
    for sight in loans.observe(head).sights:
        if (rule := sight.rule) is None:
            continue
        finding, market = loans.consult(sight.key, rule, head)
        (finding,) = loans.foretold([sight], [finding], head)
        calls = [Call(loans.aave, GET_RESERVE_DATA.call(asset)) for asset in (rule.collateral, rule.debt)]
        sold, owed = (answer or b"" for answer in ask_together(node, calls, head.hash))
        try:
            token = read_reserve(sold).a_token
            supply_rate, borrow_rate = _rate(sold, 2), _rate(owed, 4)
        except Blind:
            token, supply_rate, borrow_rate = NOBODY, 0.0, 0.0
        held = 0
        if token != NOBODY:
            (balance,) = ask_together(node, [Call(token, BALANCE_OF.call(sight.key.owner))], head.hash)
            (held,) = BALANCE_OF.read(balance or b"")
        yield LoanCase(sight, finding, market, token, held, borrow_rate, supply_rate)


def _rate(reserve: bytes, at: int) -> float:
    """A yearly rate among a reserve's words: 2 what suppliers earn, 4 what variable debt costs."""
    return float(GET_RESERVE_DATA.read(reserve)[0][at] / _RAY)


def _ranges(ranges: Ranges, head: Block) -> Iterator[RangeCase]:
    keys = ranges.keys.at(head)
    sights = [sight for sight in ranges.sights(keys, head) if sight.rule]
    findings = ranges.findings([sight.key for sight in sights], head)
    yield from map(RangeCase, sights, findings)


def _baskets(node: Node, baskets: Baskets, head: Block) -> Iterator[BasketCase]:
    assets = Assets(node)
    sights = [sight for sight in baskets.observe(head) if sight.rule]
    findings = baskets.findings([sight.key for sight in sights], head)
    for sight, finding in zip(sights, findings, strict=True):
        tokens = [asset.token for asset in sight.rule.assets] if sight.rule else []
        symbols = {each.address: each.symbol for each in assets.of(tokens, head)}
        yield BasketCase(sight, finding, baskets.venues(list(combinations(tokens, 2)), head), symbols)


def lint_json(count: int, lints: Sequence[Lint], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Lints as JSON."""
    return {
        "rules": count,
        "faults": [
            {
                "rules": [
                    {
                        "kind": kinds.get(key.thresholds),
                        "thresholds": key.thresholds,
                        "owner": key.owner,
                        "rule": key.id,
                    }
                    for key in each.keys
                ],
                "fault": str(each.fault),
                "why": each.why,
            }
            for each in lints
        ],
    }


def lint_text(lint: Lint, kinds: Mapping[str, str]) -> str:
    """One line for a person."""
    told, last = [], ""
    for key in lint.keys:
        kind = kinds[key.thresholds]
        told.append(str(key.id) if kind == last else f"{kind} rule {key.id}")
        last = kind
    return f"{' and '.join(told)}: {lint.fault}: {lint.why}"
