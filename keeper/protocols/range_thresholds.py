"""The contract that is the law for ranges: its rules, its own verdict, the calls that act; the lens that reads many.

Source: contracts/interfaces/IRangeThresholds.vyi; the packed words are contracts/range_rules.vy's, the rows
contracts/RangeLens.vy's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.errors import Blind
from keeper.domain.flights import Log
from keeper.domain.plans import Call
from keeper.domain.ranges import (
    Action,
    Direction,
    Edges,
    Leaving,
    Past,
    Placement,
    Range,
    RangeMarket,
    RangeRule,
    RangeSight,
)
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind
from keeper.protocols.lenses import LENS
from keeper.protocols.liquidity import worth_down
from keeper.protocols.methods import Method, address
from keeper.protocols.ticks import sqrt_price_at

_RULE: Final = f"(uint256,uint256,uint256,int256,int256,int256,{'uint256,' * 14}address)"
_FINDING: Final = "(uint8,uint8,int256,int256,int256,bool,uint256,uint256,uint256,string)"
_PLAN: Final = "(bool,uint256,uint256,uint256)"
_ROW: Final = (
    "(uint256,uint256,uint256,uint256,address,bool,address,address,uint24,int24,int24,uint128,"
    "uint256,uint256,address,uint160,int24,int256,int256,uint128)"
)

MANAGER: Final = Method("MANAGER", (), ("address",))
FACTORY: Final = Method("FACTORY", (), ("address",))
RULE_COUNT: Final = Method("rule_count", ("address",), ("uint256",))
SET_RULE: Final = Method("set_rule", ("uint256", _RULE), ())
CHECK: Final = Method("check", ("address", "uint256"), (_FINDING,))
WORDS_OF: Final = Method("words_of", ("address", "uint256"), ("uint256", "uint256", "uint256"))
REBALANCE: Final = Method("rebalance", ("address", "uint256", _PLAN), ("uint256", "uint256"))
COMPOUND: Final = Method("compound", ("address", "uint256", _PLAN), ("uint256", "uint256"))
_READ: Final = Method("read", ("address", "address", "address", "address[]", "uint256[]"), (f"{_ROW}[]",))

RULE_SET_TOPIC: Final = "0x" + keccak(text=f"RuleSet(address,uint256,{_RULE})").hex()
_LOST: Final = frozenset(
    ("0x" + keccak(text=event).hex(),)
    for event in (
        "Recentred(address,uint256,address,uint256,uint256,int256,int256,uint256,uint256)",
        "Exited(address,uint256,address,uint256,uint256,uint256,uint256)",
    )
)
"""The topics of those logs whose last word is what was lost."""
MOST_ROWS: Final = 256
"""More positions than this are too much gas for one question."""
_2_BITS: Final = 2**2 - 1
_8_BITS: Final = 2**8 - 1
_16_BITS: Final = 2**16 - 1
_24_BITS: Final = 2**24 - 1
_32_BITS: Final = 2**32 - 1
_40_BITS: Final = 2**40 - 1
_96_BITS: Final = 2**96 - 1
_POSITION: Final = 1
_POOL: Final = 2
_MEAN: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The contract's own verdict; sizes come with everything there is to do."""

    kind: Kind
    action: Action
    measure: int
    edges: Edges
    sells_token0: bool
    amount: int
    bought: int
    lost: int
    why: str


def read_finding(returned: bytes) -> Finding:
    """What `check` returned."""
    ((kind, action, measure, lower, upper, sells_token0, amount, bought, lost, why),) = CHECK.read(returned)
    if kind >= len(Kind) or action >= len(Action):
        raise Blind(f"contract: check answered with verdict {kind} and action {action}, which there are not")
    edges = Edges(lower, upper)
    return Finding(Kind(kind), Action(action), measure, edges, sells_token0, amount, bought, lost, why)


def act_call(
    key: RuleKey, action: Action, sells_token0: bool, amount: int, least: int, deadline: int
) -> Call:
    """The call that acts on a rule; `least` and `deadline` are the keeper's own bounds inside the rule's."""
    method = COMPOUND if action is Action.COMPOUND else REBALANCE
    return Call(key.thresholds, method.call(key.owner, key.id, (sells_token0, amount, least, deadline)))


def lost_logged(key: RuleKey, logs: Sequence[Log]) -> int | None:
    """What a recentring or an exit lost of the value taken out, in hundred-millionths, as its log says."""
    mine = (f"0x{int(key.owner, 16):064x}", f"0x{key.id:064x}")
    for log in logs:
        if (
            log.address.lower() == key.thresholds.lower()
            and log.topics[:1] in _LOST
            and log.topics[1:3] == mine
        ):
            return int(log.data[-64:], 16)
    return None


def rule_fields(rule: RangeRule) -> tuple[str | int, ...]:
    """A rule in the order of the contract's struct, which is that of its fields."""
    return tuple(getattr(rule, name) for name in RangeRule.__slots__)


def unpack_rule(a: int, b: int, c: int) -> tuple[RangeRule | None, Past]:
    """A rule and what it has done, from its three storage words; None where no rule is set."""
    if a == 0:
        return None, Past(0, 0, 0, 0)
    rule = RangeRule(
        token_id=c >> 192,
        below=a & _24_BITS,
        above=a >> 24 & _24_BITS,
        buffer=_signed(a >> 48),
        cutoff_low=_signed(a >> 72),
        cutoff_high=_signed(a >> 96),
        exit_low=Leaving(a >> 212 & _2_BITS),
        exit_high=Leaving(a >> 214 & _2_BITS),
        direction=Direction(a >> 208 & _2_BITS),
        placement=Placement(a >> 210 & _2_BITS),
        hold=a >> 120 & _24_BITS,
        deviation=a >> 192 & _16_BITS,
        slippage_bps=b >> 80 & _16_BITS,
        placed_bps=b >> 64 & _16_BITS,
        compound_at=c >> 96 & _96_BITS,
        cooldown=a >> 144 & _24_BITS,
        expiry=b & _40_BITS,
        daily=b >> 40 & _8_BITS,
        budget_bps=b >> 48 & _16_BITS,
        refill=a >> 168 & _24_BITS,
        keeper=address(f"0x{b >> 96:040x}"),
    )
    return rule, Past(c & _40_BITS, c >> 40 & _16_BITS, c >> 56 & _8_BITS, c >> 64 & _32_BITS)


def sights_call(thresholds: Address, manager: Address, factory: Address, keys: Sequence[RuleKey]) -> Call:
    """One question for the rules and positions of up to `MOST_ROWS` keys; the lens must be lent."""
    owners, ids = [key.owner for key in keys], [key.id for key in keys]
    return Call(LENS, _READ.call(thresholds, manager, factory, owners, ids))


def read_sights(keys: Sequence[RuleKey], returned: bytes) -> Iterator[RangeSight]:
    """The sights in what `sights_call` returned."""
    (rows,) = _READ.read(returned)
    if len(rows) != len(keys):
        raise Blind(f"chain: the lens told {len(rows)} rows of {len(keys)} rules")
    for key, row in zip(keys, rows, strict=True):
        a, b, c, known, holder, approved, token0, token1, fee, lower, upper, liquidity, *rest = row
        fees0, fees1, pool, price, tick, mean, spacing, in_range = rest
        try:
            rule, past = unpack_rule(a, b, c)
        except ValueError as error:
            raise Blind(
                f"contract: rule {key.id} of {key.owner} is packed in another way ({error})"
            ) from error
        held = market = None
        worth = 0
        if known >= _POSITION:
            tokens = (address(holder), address(token0), address(token1))
            held = Range(*tokens, fee, Edges(lower, upper), liquidity, (fees0, fees1), approved)
        if known >= _POOL:
            seen = mean if known >= _MEAN else None
            market = RangeMarket(address(pool), price, tick, seen, spacing, in_range)
        if known >= _MEAN:
            worth = worth_down(fees0, fees1, sqrt_price_at(mean))
        yield RangeSight(key, rule, past, held, market, worth)


def _signed(bits: int) -> int:
    """The lowest 24 bits in two's complement."""
    return (bits & _24_BITS ^ 1 << 23) - (1 << 23)
