"""What every rule that a person writes has in common, and what becomes of it: calldata, a sentence, grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from eth_utils.address import is_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.plans import Asset, Call
from keeper.domain.texts import count_text, date_text, span_text
from keeper.domain.units import NOBODY, Address
from keeper.protocols.aave_v3 import APPROVE_DELEGATION, BORROW_ALLOWANCE
from keeper.protocols.erc20 import ALLOWANCE
from keeper.protocols.methods import Method, address
from keeper.protocols.uniswap_v3 import IS_OPERATOR, SET_OPERATOR
from keeper.settings import AddressText, checked_address

APPROVE: Final = Method("approve", ("address", "uint256"), ("bool",))
WITHOUT_LIMIT: Final = 2**256 - 1
_STANDING: Final = {
    APPROVE.selector: ALLOWANCE,
    APPROVE_DELEGATION.selector: BORROW_ALLOWANCE,
    SET_OPERATOR.selector: IS_OPERATOR,
}
"""What tells of a grant whether it stands; all take the owner and whom it is given to."""


def _checked_token(text: str) -> str:
    if text.startswith("0x"):
        return checked_address(text)
    if not text.strip() or not text.isprintable():
        raise ValueError("is neither an address nor a symbol")
    return text


TokenText = Annotated[str, AfterValidator(_checked_token)]


class RuleText(BaseModel):
    """What a person may say of any rule: spans in seconds, a token by its address or its symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slippage_bps: int = 100
    cooldown: int = Field(default=0, ge=0)
    expiry: int | None = None
    days: Decimal = Field(default=Decimal(365), gt=0)
    keeper: AddressText = NOBODY

    def expires(self, now: int) -> int:
        """The last unix second in which the rule holds."""
        return now + int(self.days * 86_400) if self.expiry is None else self.expiry


@dataclass(frozen=True, slots=True)
class Worded:
    """A rule as the calldata that sets it and as a sentence, and the grants it lives from, each with its own."""

    data: bytes
    said: str
    grants: tuple[tuple[Call, str], ...]


def scaled(value: Decimal, places: int, what: str) -> int:
    """Exactly `value` in units of 10 ** -`places`."""
    number = value.scaleb(places) if value.is_finite() else Decimal("0.1")
    if number != number.to_integral_value() or not 0 <= number < 2**256:
        raise Misconfigured(f"rule: {value} is not {what} of at most {places} decimals")
    return int(number)


def limits_text(slippage_bps: int, cooldown: int, expiry: int, keeper: Address) -> list[str]:
    """What every rule says of its limits."""
    return [
        f"slippage {slippage_bps} bps",
        f"cooldown {span_text(cooldown) if cooldown else 'none'}",
        f"expires {date_text(expiry)}",
        "anyone may act" if keeper == NOBODY else f"only {keeper} may act",
    ]


def lacking(
    node: Node, owner: Address, at: Address, grants: Sequence[tuple[Call, str]], head: Block
) -> list[str]:
    """What those grants to the contract `at` do of which nothing stands yet."""
    views = [_STANDING[call.data[:4]] for call, _ in grants]
    calls = [Call(call.to, view.call(owner, at)) for (call, _), view in zip(grants, views, strict=True)]
    answers = ask_together(node, calls, head.hash) if calls else ()
    return [
        does
        for (_, does), view, answer in zip(grants, views, answers, strict=True)
        if not answer or not view.read(answer)[0]
    ]


def meant_of(name: str, listed: Sequence[Asset], who: str) -> Asset:
    """The one listed token with a symbol."""
    found = [asset for asset in listed if asset.symbol.casefold() == name.casefold()]
    if len(found) != 1:
        those = ", ".join(f"{asset.symbol} {asset.address}" for asset in found or listed)
        raise Misconfigured(f"rule: {who} lists {count_text(len(found), name)}; say the address: {those}")
    return found[0]


def address_of(text: str) -> Address:
    """The address a person wrote."""
    if not is_address(text):
        raise Misconfigured(f"rule: {text} is not an address")
    return address(text)
