"""A rule on a loan as a person writes it, as the contract takes it, and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.loans import PLAIN, Band, Limits, LoanRule, Terms
from keeper.domain.plans import Asset, Call
from keeper.domain.units import NOBODY, Address, decimal_text
from keeper.protocols.aave_v3 import APPROVE_DELEGATION, GET_RESERVE_DATA, read_reserve
from keeper.protocols.loan_thresholds import SET_RULE, SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.rules.tokens import tokens_on_aave
from keeper.rules.wording import APPROVE, WITHOUT_LIMIT, RuleText, TokenText, Worded, limits_text, scaled
from keeper.settings import AddressText, Settings, meant

_SAID_ALREADY: Final = frozenset({"in_leverage", "borrow_step"})


class LoanText(RuleText):
    """Health as 1.4, amounts in whole tokens; `terms` holds what else the contract lets an owner ask for, by the
    contract's names and in its units.
    """

    collateral: TokenText
    debt: TokenText
    floor: Decimal
    target: Decimal
    ceiling: Decimal = Decimal(0)
    max_step: Decimal = Field(gt=0)
    borrow_step: Decimal = Field(default=Decimal(0), ge=0)
    terms: dict[str, bool | int | AddressText] = Field(default_factory=dict)


def worded(
    node: Node, settings: Settings, at: Address, who: Address, number: int, text: LoanText, head: Block
) -> Worded:
    """The rule for the contract `at`, and what it lives from: the aToken's allowance, and credit where it borrows."""
    aave = Loans(node, at, [who]).aave
    sold, owed = tokens_on_aave(node, aave, (text.collateral, text.debt), head)
    rule = _rule_of(text, sold, owed, head.timestamp)
    if rule.terms == PLAIN:
        data = SET_RULE.call(number, rule_fields(rule))
    else:
        data = SET_RULE_AND_TERMS.call(number, rule_fields(rule), terms_fields(rule.terms))
    calls = [Call(aave, GET_RESERVE_DATA.call(asset)) for asset in (rule.collateral, rule.debt)]
    reserves = [read_reserve(told or b"") for told in ask_together(node, calls, head.hash)]
    token, debt = reserves[0].a_token, reserves[1].variable_debt
    if NOBODY in (token, debt):
        raise Misconfigured(
            f"rule: Aave at {aave} does not list {rule.collateral if token == NOBODY else rule.debt}"
        )
    grants = [
        (
            Call(token, APPROVE.call(at, WITHOUT_LIMIT)),
            f"lets {at} take the aToken of {sold.symbol}, {token}, without limit",
        )
    ]
    if rule.borrows:
        credit = f"lets {at} borrow {owed.symbol} on the account's credit, by {debt}, without limit"
        grants.append((Call(debt, APPROVE_DELEGATION.call(at, WITHOUT_LIMIT)), credit))
    return Worded(data, rule_text(rule, sold, owed), tuple(grants))


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
    told += limits_text(limits.slippage_bps, limits.cooldown, limits.expiry, limits.keeper)
    more = {
        field.name: getattr(terms, field.name) for field in fields(Terms) if field.name not in _SAID_ALREADY
    }
    told += [f"{name} {value}" for name, value in more.items() if value not in (0, NOBODY)]
    return "; ".join(told)


def _rule_of(text: LoanText, sold: Asset, owed: Asset, now: int) -> LoanRule:
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
        terms["borrow_step"] = scaled(text.borrow_step, decimals, "borrow_step")
    band = Band(*(scaled(each, 4, "a health") for each in (text.floor, text.target, text.ceiling)))
    step = scaled(text.max_step, decimals, "max_step")
    limits = Limits(text.slippage_bps, text.cooldown, step, text.expires(now), Address(text.keeper))
    asked: Mapping[str, Any] = terms
    return LoanRule(sold.address, owed.address, band, limits, Terms(**asked))
