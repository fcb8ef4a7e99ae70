"""An owner's rules as calls that its owner signs elsewhere: nothing here has a key.

Before a call is shown it is tried as its owner at the head, so that what the contract would refuse is refused now, in
its own words. A Safe takes the calls as one batch, in the format of its Transaction Builder.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from keeper import app
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.plans import Call
from keeper.domain.texts import count_text
from keeper.domain.units import Address
from keeper.protocols.methods import Method, revert_reason
from keeper.rules import baskets, loans, ranges
from keeper.rules.baskets import BasketText
from keeper.rules.loans import LoanText
from keeper.rules.ranges import RangeText
from keeper.rules.wording import RuleText, Worded, address_of, lacking
from keeper.settings import Settings, fault_text, meant

_CLEAR_RULE: Final = Method("clear_rule", ("uint256",), ())
_RULE_COUNT: Final = Method("rule_count", ("address",), ("uint256",))
KINDS: Final[Mapping[str, tuple[type[RuleText], Callable[..., Worded]]]] = {
    "basket": (BasketText, baskets.worded),
    "loan": (LoanText, loans.worded),
    "range": (RangeText, ranges.worded),
}
"""How a rule of each kind is written, and what words it."""


@dataclass(frozen=True, slots=True)
class Written:
    """Calls for the owner to sign in their order, and what each does."""

    chain_id: int
    owner: Address
    calls: tuple[Call, ...]
    said: tuple[str, ...]
    lacking: tuple[str, ...] = ()
    """What the rule lives from beside them, and nobody has granted yet."""

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


def read_rule(path: Path | None, options: Mapping[str, Any], kind: str | None = None) -> RuleText:
    """A rule from a file, from options, or from both, where an option replaces what the file says.

    Its kind is the one given, else the file's `kind`, else a loan's. The option `assets` names the tokens of a basket:
    those of the file's assets in their order, or `TOKEN:TARGET_BPS:BAND_BPS` each where the file has none.
    """
    said: dict[str, Any] = {}
    if path is not None:
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Misconfigured(f"rule: {path} cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(f"rule: {path} is not TOML: {error}") from error
    within = said.pop("kind", None)
    if kind is not None and within not in (None, kind):
        raise Misconfigured(f"rule: {path} holds a rule on a {within}, and --kind says {kind}")
    name = str(kind or within or "loan")
    if name not in KINDS:
        raise Misconfigured(f"rule: kind: there is no {name}; {meant(name, list(KINDS))}")
    asked = {option: value for option, value in options.items() if value is not None}
    if named := asked.pop("assets", None):
        asked["assets"] = _assets(named, said.get("assets", []))
    model, _ = KINDS[name]
    try:
        return model.model_validate(said | asked)
    except ValidationError as error:
        raise Misconfigured(f"rule: {fault_text(error, model)}") from None


def _assets(named: list[str], said: Any) -> list[Any]:
    """The file's assets with their tokens named, or new ones."""
    given = [each.split(":") for each in named]
    if isinstance(said, list) and said:
        if len(said) != len(given) or any(len(each) > 1 for each in given):
            raise Misconfigured(
                f"rule: --asset: the file has {count_text(len(said), 'asset')}; name the token of each, in their order"
            )
        return [{**each, "token": token} for each, (token,) in zip(said, given, strict=True)]
    wanted = ("token", "target_bps", "band_bps")
    if any(len(each) != len(wanted) for each in given):
        raise Misconfigured("rule: --asset: say TOKEN:TARGET_BPS:BAND_BPS, such as WETH:6000:500")
    return [dict(zip(wanted, each, strict=True)) for each in given]


def kind_of(text: RuleText) -> str:
    """Of which kind a rule is."""
    return next(kind for kind, (model, _) in KINDS.items() if isinstance(text, model))


def write_rule(
    settings: Settings, owner: str, id_: int | None, text: RuleText, thresholds: str | None, approve: bool
) -> Written:
    """The call that sets a rule of an owner, a new one without `id_`, and before it the grants it lives from."""
    kind = kind_of(text)
    who = address_of(owner)
    at = _contract(settings, who, kind, thresholds)
    node = app.connect(settings)
    head = node.head()
    (counted,) = ask_together(node, [Call(at, _RULE_COUNT.call(who))], head.hash)
    if counted is None:
        raise Misconfigured(f"rule: {at} holds no rules on {kind}s")
    (count,) = _RULE_COUNT.read(counted)
    number = count if id_ is None else id_
    worded = KINDS[kind][1](node, settings, at, who, number, text, head)
    if number > count:
        raise Misconfigured(f"rule: {number} is past the end: {who} has {count_text(count, f'{kind} rule')}")
    call = Call(at, worded.data)
    try_as_owner(node, who, call, head)
    grants = worded.grants if approve else ()
    for grant, _ in grants:
        try_as_owner(node, who, grant, head)
    verb = "sets" if number == count else "replaces"
    said = f"{verb} {kind} rule {number}: {worded.said}"
    calls = (*(grant for grant, _ in grants), call)
    lacks = () if approve else tuple(lacking(node, who, at, worded.grants, head))
    return Written(settings.chain.id, who, calls, (*(does for _, does in grants), said), lacks)


def clear_rule(
    settings: Settings, owner: str, id_: int, thresholds: str | None, kind: str | None = None
) -> Written:
    """The call that takes a rule back; without `kind`, of the only contract that is watched."""
    who = address_of(owner)
    at = _contract(settings, who, kind, thresholds)
    node = app.connect(settings)
    call = Call(at, _CLEAR_RULE.call(id_))
    try_as_owner(node, who, call, node.head())
    named = settings.kinds.get(at, kind)
    return Written(settings.chain.id, who, (call,), (f"clears {named or 'a'} rule {id_} at {at}",))


def _contract(settings: Settings, owner: Address, kind: str | None, named: str | None) -> Address:
    """The contract that is meant: the one named, else the only one watched of the kind, for the owner first."""
    if named is not None:
        return address_of(named)
    there = [watch for watch in settings.watch if kind in (None, watch.kind.removesuffix("s"))]
    wanted = [watch for watch in there if owner in watch.owners] or there
    places = sorted({watch.thresholds for watch in wanted})
    if not places:
        raise Misconfigured(
            f"rule: no contract for {kind}s is watched; say which with --thresholds, or keeper init"
        )
    if len(places) > 1:
        which = f"for {kind}s " if kind else ""
        how = "--thresholds" if kind else "--kind"
        raise Misconfigured(f"rule: {len(places)} contracts {which}are watched; say which with {how}")
    return Address(places[0])


def try_as_owner(node: Node, owner: Address, call: Call, head: Block) -> None:
    """Make a call at a block without sending it; `Misconfigured` with the contract's own reason when it reverts."""
    message = {"from": owner, "to": call.to, "data": "0x" + call.data.hex()}
    try:
        node.ask("eth_call", message, {"blockHash": head.hash})
    except NodeRefused as refusal:
        raw = bytes.fromhex(refusal.data.removeprefix("0x")) if refusal.data else b""
        reason = revert_reason(raw) if raw else refusal.message
        raise Misconfigured(f"rule: the contract would refuse it: {reason}") from refusal
