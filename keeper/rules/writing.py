"""A rule as a call that its owner signs elsewhere: nothing here has a key.

Before a call is shown it is tried as its owner at the head, so that what the contract would refuse is refused now, in
its own words. A Safe takes the calls as one batch, in the format of its Transaction Builder.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

from eth_utils.address import is_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from keeper import app
from keeper.chain.assets import Assets
from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured, NodeRefused
from keeper.domain.loans import PLAIN, Band, Limits, LoanRule, Terms
from keeper.domain.plans import Asset, Call
from keeper.domain.texts import count_text, date_text, span_text
from keeper.domain.units import NOBODY, Address, decimal_text
from keeper.protocols.aave_v3 import GET_RESERVE_DATA, GET_RESERVES_LIST, read_reserve
from keeper.protocols.erc20 import BALANCE_OF
from keeper.protocols.loan_thresholds import (
    RULE_COUNT,
    SET_RULE,
    SET_RULE_AND_TERMS,
    rule_fields,
    terms_fields,
)
from keeper.protocols.methods import Method, address, revert_reason
from keeper.rules.lint import Case, Lint, lint
from keeper.settings import AddressText, Settings, checked_address, fault_text, meant

LOANS: Final = "loans"
_CLEAR_RULE: Final = Method("clear_rule", ("uint256",), ())
_APPROVE: Final = Method("approve", ("address", "uint256"), ("bool",))
_RAY: Final = 1e27


def _checked_token(text: str) -> str:
    if text.startswith("0x"):
        return checked_address(text)
    if not text.strip() or not text.isprintable():
        raise ValueError("is neither an address nor a symbol")
    return text


TokenText = Annotated[str, AfterValidator(_checked_token)]


class RuleText(BaseModel):
    """A rule on a loan as a person writes it, in a TOML file or in options: health as 1.4, amounts in whole tokens.

    Spans are in seconds, a token is an address or the symbol of one that Aave lists. `terms` holds what else the
    contract lets an owner ask for, by the contract's names and in its units.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    collateral: TokenText
    debt: TokenText
    floor: Decimal
    target: Decimal
    ceiling: Decimal = Decimal(0)
    slippage_bps: int = 100
    cooldown: int = Field(default=0, ge=0)
    max_step: Decimal = Field(gt=0)
    borrow_step: Decimal = Field(default=Decimal(0), ge=0)
    expiry: int | None = None
    days: Decimal = Field(default=Decimal(365), gt=0)
    keeper: AddressText = NOBODY
    terms: dict[str, bool | int | AddressText] = {}


@dataclass(frozen=True, slots=True)
class Written:
    """Calls for the owner to sign in their order, and what each does."""

    chain_id: int
    owner: Address
    calls: tuple[Call, ...]
    said: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The calls, as any wallet takes them."""
        calls = [
            {"to": call.to, "value": "0", "data": "0x" + call.data.hex(), "does": said}
            for call, said in zip(self.calls, self.said, strict=True)
        ]
        return {"chain": self.chain_id, "from": self.owner, "calls": calls}

    def to_safe(self) -> dict[str, Any]:
        """The same as a batch for the Transaction Builder of the Safe that is the owner."""
        transactions = [
            {
                "to": call.to,
                "value": "0",
                "data": "0x" + call.data.hex(),
                "contractMethod": None,
                "contractInputsValues": None,
            }
            for call in self.calls
        ]
        meta = {
            "name": "keeper rule",
            "description": "; ".join(self.said),
            "createdFromSafeAddress": self.owner,
        }
        return {
            "version": "1.0",
            "chainId": str(self.chain_id),
            "createdAt": int(time.time() * 1000),
            "meta": meta,
            "transactions": transactions,
        }


def read_rule(path: Path | None, options: Mapping[str, Any]) -> RuleText:
    """A rule from a file, from options, or from both, where an option replaces what the file says."""
    said: dict[str, Any] = {}
    if path is not None:
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Misconfigured(f"rule: {path} cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(f"rule: {path} is not TOML: {error}") from error
    said |= {name: value for name, value in options.items() if value is not None}
    try:
        return RuleText.model_validate(said)
    except ValidationError as error:
        raise Misconfigured(f"rule: {fault_text(error, RuleText)}") from None


def write_rule(
    settings: Settings, owner: str, id_: int | None, text: RuleText, thresholds: str | None, approve: bool
) -> Written:
    """The call that sets a rule of an owner, a new one without `id_`, and before it the allowance it lives from."""
    node, head, at, who = _meet(settings, owner, thresholds)
    held = Loans(node, at, [who])
    sold, owed = _tokens(node, held.aave, (text.collateral, text.debt), head)
    rule = _rule_of(text, sold, owed, head.timestamp)
    (counted,) = ask_together(node, [Call(at, RULE_COUNT.call(who))], head.hash)
    count = RULE_COUNT.read(counted or b"")[0]
    number = count if id_ is None else id_
    if number > count:
        raise Misconfigured(f"rule: {number} is past the end: {who} has {count_text(count, 'rule')}")
    if rule.terms == PLAIN:
        data = SET_RULE.call(number, rule_fields(rule))
    else:
        data = SET_RULE_AND_TERMS.call(number, rule_fields(rule), terms_fields(rule.terms))
    calls = [Call(at, data)]
    verb = "sets" if number == count else "replaces"
    said = [f"{verb} loan rule {number}: {rule_text(rule, sold, owed)}"]
    try_as_owner(node, who, calls[0], head)
    if approve:
        (told,) = ask_together(node, [Call(held.aave, GET_RESERVE_DATA.call(rule.collateral))], head.hash)
        token = read_reserve(told or b"").a_token
        if token == NOBODY:
            raise Misconfigured(f"rule: Aave at {held.aave} does not list {rule.collateral}")
        calls.insert(0, Call(token, _APPROVE.call(at, 2**256 - 1)))
        said.insert(0, f"lets {at} take the aToken of {sold.symbol}, {token}, without limit")
        try_as_owner(node, who, calls[0], head)
    return Written(settings.chain.id, who, tuple(calls), tuple(said))


def clear_rule(settings: Settings, owner: str, id_: int, thresholds: str | None) -> Written:
    """The call that takes a rule back."""
    node, head, at, who = _meet(settings, owner, thresholds)
    call = Call(at, _CLEAR_RULE.call(id_))
    try_as_owner(node, who, call, head)
    return Written(settings.chain.id, who, (call,), (f"clears rule {id_}",))


def lint_rules(settings: Settings, owner: str) -> tuple[int, tuple[Lint, ...]]:
    """How many rules on loans an owner has in all watched contracts, and everything that is wrong with them."""
    who = _address(owner)
    node = app.connect(settings)
    head = node.head()
    contracts = dict.fromkeys(watch.thresholds for watch in settings.watch if watch.kind == LOANS)
    cases: list[Case] = []
    for thresholds in contracts:
        cases += _cases(node, Loans(node, Address(thresholds), [who]), head)
    return len(cases), lint(cases, head.timestamp)


def _cases(node: Node, loans: Loans, head: Block) -> list[Case]:
    cases = []
    for sight in loans.observe(head).sights:
        if (rule := sight.rule) is None:
            continue
        finding, market = loans.consult(sight.key, rule, head)
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
        cases.append(Case(sight, finding, market, held, borrow_rate, supply_rate))
    return cases


def _rate(reserve: bytes, at: int) -> float:
    """A yearly rate among a reserve's words: 2 what suppliers earn, 4 what variable debt costs."""
    return float(GET_RESERVE_DATA.read(reserve)[0][at] / _RAY)


def _meet(settings: Settings, owner: str, thresholds: str | None) -> tuple[Node, Block, Address, Address]:
    """The node, its head, the contract that is meant, and the owner."""
    who = _address(owner)
    node = app.connect(settings)
    return node, node.head(), _contract(settings, who, thresholds), who


def _contract(settings: Settings, owner: Address, named: str | None) -> Address:
    if named is not None:
        return _address(named)
    loans = [watch for watch in settings.watch if watch.kind == LOANS]
    wanted = [watch for watch in loans if owner in watch.owners] or loans
    places = sorted({watch.thresholds for watch in wanted})
    if len(places) != 1:
        raise Misconfigured(
            f"rule: {len(places)} contracts for loans are watched; say which with --thresholds"
        )
    return Address(places[0])


def _tokens(node: Node, aave: Address, named: Sequence[str], head: Block) -> list[Asset]:
    """Tokens by their addresses, or by their symbols among those that Aave lists."""
    assets = Assets(node)
    found: list[Asset] = []
    listed: Sequence[Asset] = ()
    for name in named:
        if name.startswith("0x"):
            found += assets.of([Address(name)], head)
            continue
        if not listed:
            (told,) = ask_together(node, [Call(aave, GET_RESERVES_LIST.call())], head.hash)
            (reserves,) = GET_RESERVES_LIST.read(told or b"")
            listed = assets.of([address(each) for each in reserves], head)
        meant = [asset for asset in listed if asset.symbol.casefold() == name.casefold()]
        if len(meant) != 1:
            those = ", ".join(f"{asset.symbol} {asset.address}" for asset in meant or listed)
            raise Misconfigured(f"rule: Aave lists {count_text(len(meant), name)}; say the address: {those}")
        found += meant
    return found


def rule_text(rule: LoanRule, sold: Asset, owed: Asset) -> str:
    """All that a rule asks for, in a sentence."""
    band, limits, terms = rule.band, rule.limits, rule.terms
    floor, target, ceiling = (
        decimal_text(bps, 4) for bps in (band.floor_bps, band.target_bps, band.ceiling_bps)
    )
    measure, beyond = (
        ("leverage", ("above", "below")) if terms.in_leverage else ("health", ("below", "above"))
    )
    step, borrowed = (
        f"at most {decimal_text(each, owed.decimals)} {owed.symbol} at once"
        for each in (limits.max_step, terms.borrow_step)
    )
    told = [
        f"{sold.symbol} {sold.address} against {owed.symbol} {owed.address}",
        f"{beyond[0]} a {measure} of {floor} back to {target}, {step}",
    ]
    if band.ceiling_bps:
        does = f"borrows, {borrowed}" if terms.borrow_step else "does nothing, for want of a borrow_step"
        told.append(f"{beyond[1]} {ceiling} {does}")
    told.append(f"slippage {limits.slippage_bps} bps")
    told.append(f"cooldown {span_text(limits.cooldown) if limits.cooldown else 'none'}")
    told.append(f"expires {date_text(limits.expiry)}")
    told.append("anyone may act" if limits.keeper == NOBODY else f"only {limits.keeper} may act")
    plain = {"in_leverage", "borrow_step"}
    more = {field.name: getattr(terms, field.name) for field in fields(Terms) if field.name not in plain}
    told += [f"{name} {value}" for name, value in more.items() if value not in (0, NOBODY)]
    return "; ".join(told)


def _rule_of(text: RuleText, sold: Asset, owed: Asset, now: int) -> LoanRule:
    names = [field.name for field in fields(Terms)]
    for name in text.terms:
        if name not in names:
            raise Misconfigured(f"rule: terms.{name}: there is no such term; {meant(name, names)}")
        if (name == "feed") != isinstance(text.terms[name], str):
            kind = "an address" if name == "feed" else "a number"
            raise Misconfigured(f"rule: terms.{name}: is not {kind}")
    if text.borrow_step and "borrow_step" in text.terms:
        raise Misconfigured("rule: borrow_step: is said twice, in whole tokens and in terms")
    decimals, terms = owed.decimals, dict(text.terms)
    if text.borrow_step:
        terms["borrow_step"] = _scaled(text.borrow_step, decimals, "borrow_step")
    expiry = now + int(text.days * 86_400) if text.expiry is None else text.expiry
    band = Band(*(_scaled(each, 4, "a health") for each in (text.floor, text.target, text.ceiling)))
    step = _scaled(text.max_step, decimals, "max_step")
    limits = Limits(text.slippage_bps, text.cooldown, step, expiry, Address(text.keeper))
    asked: Mapping[str, Any] = terms
    return LoanRule(sold.address, owed.address, band, limits, Terms(**asked))


def _scaled(value: Decimal, places: int, what: str) -> int:
    """Exactly `value` in units of 10 ** -`places`."""
    scaled = value.scaleb(places) if value.is_finite() else Decimal("0.1")
    if scaled != scaled.to_integral_value() or not 0 <= scaled < 2**256:
        raise Misconfigured(f"rule: {value} is not {what} of at most {places} decimals")
    return int(scaled)


def try_as_owner(node: Node, owner: Address, call: Call, head: Block) -> None:
    """Make a call at a block without sending it; `Misconfigured` with the contract's own reason when it reverts."""
    message = {"from": owner, "to": call.to, "data": "0x" + call.data.hex()}
    try:
        node.ask("eth_call", message, {"blockHash": head.hash})
    except NodeRefused as refusal:
        raw = bytes.fromhex(refusal.data.removeprefix("0x")) if refusal.data else b""
        reason = revert_reason(raw) if raw else refusal.message
        raise Misconfigured(f"rule: the contract would refuse it: {reason}") from refusal


def _address(text: str) -> Address:
    if not is_address(text):
        raise Misconfigured(f"rule: {text} is not an address")
    return address(text)


def faults(lints: Sequence[Lint]) -> list[dict[str, Any]]:
    """Lints as JSON."""
    return [
        {
            "rules": [
                {"thresholds": key.thresholds, "owner": key.owner, "rule": key.id} for key in each.keys
            ],
            "fault": str(each.fault),
            "why": each.why,
        }
        for each in lints
    ]
