"""What must not go on: when to stop acting until a person has looked, told from the flights alone.

Everything here is pure. A breaker that has tripped is latched in the journal, which gives no nonce while one is; what
was sent before is still followed. The operator's limits bound one action each; these bound what many add up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from keeper.domain.flights import Flight, Log, Purpose, State
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, GWEI, Address, decimal_text

DAY: Final = 86_400
HOUR: Final = 3_600

REVERTS: Final = "reverts"
SLIPPAGE: Final = "slippage"
GAS: Final = "gas"
TURNOVER: Final = "turnover"
FREQUENCY: Final = "frequency"
REORG: Final = "reorg"
QUORUM: Final = "quorum"
EQUITY: Final = "equity"
DIVERGENCE: Final = "divergence"
_SELL: Final = "sell"
_NOTHING_SOLD: Final = frozenset({State.ABANDONED, State.CANCELLED, State.REPLACED, State.REVERTED_FINAL})
_TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""The topic of ERC-20's `Transfer(address,address,uint256)`."""
_SWAP: Final = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
"""The topic of Uniswap V3's `Swap(address,address,int256,int256,uint160,uint128,int24)`, of its pool's own words."""
_WORD: Final = 64
_LONGEST_REASON: Final = 200
NAMES: Final = (REVERTS, SLIPPAGE, GAS, TURNOVER, FREQUENCY, REORG, QUORUM, EQUITY, DIVERGENCE)
PAUSE: Final = "pause"
"""The latch that no breaker trips: a person sets it, and a person takes it back."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """How much is too much: reverted actions in a row, basis points sold beyond the rehearsal, wei of gas in a day,
    actions in an hour, seconds without a quorum, and for any token that is named, how many of it are sold in a day.

    `equity_bps_per_day` is how much of its worth a position may lose in the blocks of a day's actions on it;
    `divergence_bps` how far a pool may be from the price a rule goes by, now and over `divergence_seconds`, 0 being
    however far.
    """

    reverts: int = 12
    slippage_bps: int = 100
    gas_wei_per_day: int = 10**18
    actions_per_hour: int = 60
    quorum_seconds: float = 300.0
    sold_per_day: Mapping[Address, Decimal] = field(default_factory=dict)
    equity_bps_per_day: int = 2_000
    divergence_bps: int = 0
    divergence_seconds: int = 600


@dataclass(frozen=True, slots=True)
class Trip:
    """A breaker that must be latched, and why."""

    name: str
    why: str


def pause_text(reason: str) -> str:
    """Why nothing is sent while a person has paused it, with their own reason as far as it can be seen."""
    seen = "".join(letter for letter in reason if letter.isprintable()).strip()[:_LONGEST_REASON]
    return f"pause: a person asked for it ({seen})" if seen else "pause: a person asked for it"


def too_many_reverts(flights: Sequence[Flight], limits: BreakerLimits) -> Trip | None:
    """The newest actions that are in a block, oldest first, all reverted; a cancellation says nothing of either."""
    failed = 0
    for flight in reversed(flights):
        if flight.receipt is None or flight.attempt(flight.receipt.hash).purpose is not Purpose.ACT:
            continue
        if flight.receipt.succeeded:
            break
        failed += 1
    if failed < limits.reverts:
        return None
    return Trip(
        REVERTS, f"breaker: the last {failed} actions reverted, and {limits.reverts} in a row are too many"
    )


def too_much_gas(flights: Iterable[Flight], now: int, limits: BreakerLimits) -> Trip | None:
    """What the flights of a day have paid for gas, failures and cancellations included."""
    paid = sum(f.receipt.gas_cost for f in flights if f.receipt is not None and _since(f, now - DAY))
    if paid < limits.gas_wei_per_day:
        return None
    return Trip(
        GAS,
        f"breaker: {paid // GWEI} gwei were paid for gas within a day, and {limits.gas_wei_per_day // GWEI} is "
        "the limit",
    )


def too_much_sold(flights: Iterable[Flight], now: int, limits: BreakerLimits) -> Trip | None:
    """What the actions of a day have sold of each token that has a limit, or may still sell."""
    sold: dict[Address, int] = {}
    for flight in flights:
        failed = flight.receipt is not None and not flight.receipt.succeeded
        if failed or flight.state in _NOTHING_SOLD or not _since(flight, now - DAY):
            continue
        for move in flight.intent.rehearsal.moves:
            if move.verb != _SELL or move.asset.address not in limits.sold_per_day:
                continue
            total = sold[move.asset.address] = sold.get(move.asset.address, 0) + move.amount
            most = limits.sold_per_day[move.asset.address]
            if total > int(most.scaleb(move.asset.decimals)):
                told = decimal_text(total, move.asset.decimals)
                return Trip(
                    TURNOVER,
                    f"breaker: {told} of {move.asset.address} were sold within a day, and {most} is the limit",
                )
    return None


def too_often(flights: Iterable[Flight], now: int, limits: BreakerLimits) -> Trip | None:
    """How many nonces were used or are held within an hour."""
    count = sum(f.state is not State.ABANDONED and _since(f, now - HOUR) for f in flights)
    if count < limits.actions_per_hour:
        return None
    return Trip(
        FREQUENCY, f"breaker: {count} actions within an hour, and {limits.actions_per_hour} is the limit"
    )


def too_far_off(flights: Iterable[Flight], limits: BreakerLimits) -> Trip | None:
    """An action that sold more than its rehearsal, by what its receipt says was paid into swaps."""
    for flight in flights:
        receipt = flight.receipt
        if receipt is None or not receipt.succeeded:
            continue
        for move in flight.intent.rehearsal.moves:
            actual = _paid_into_swaps(receipt.logs, move.asset.address) if move.verb == _SELL else 0
            if (actual - move.amount) * BPS > limits.slippage_bps * move.amount:
                return Trip(
                    SLIPPAGE,
                    f"breaker: an action sold {actual} of {move.asset.address} where its rehearsal sold {move.amount}, "
                    f"more than {limits.slippage_bps} basis points beyond it",
                )
    return None


def moved(flight: Flight) -> bool:
    """Whether a position was acted on in a block, and its worth may have changed by that."""
    receipt = flight.receipt
    acted = receipt is not None and flight.attempt(receipt.hash).purpose is Purpose.ACT and receipt.succeeded
    return acted and bool(flight.intent.rehearsal.moves)


def too_much_lost(
    flights: Iterable[Flight], lost_bps: Mapping[str, int], now: int, limits: BreakerLimits
) -> Trip | None:
    """What a day's actions on one rule have cost, each by the worth of its position before and after its own block.

    What the market does between them is no loss of theirs, so that a crash trips nothing. `lost_bps` is by intent.
    """
    lost: dict[RuleKey, int] = {}
    for flight in flights:
        if not moved(flight) or not _since(flight, now - DAY):
            continue
        key = flight.intent.plan.key
        total = lost[key] = lost.get(key, 0) + lost_bps.get(flight.intent.id, 0)
        if total > limits.equity_bps_per_day:
            return Trip(
                EQUITY,
                f"breaker: rule {key.id} of {key.owner} lost {total} basis points of its position's worth by a day's "
                f"actions, and {limits.equity_bps_per_day} is the limit",
            )
    return None


def prices_apart(quotes: Iterable[Quote], limits: BreakerLimits) -> Trip | None:
    """A price that rules go by, and that a pool gives otherwise both now and over a while."""
    if not limits.divergence_bps:
        return None
    for quote in quotes:
        apart = quote.apart_bps
        if abs(apart) > limits.divergence_bps:
            side = "above" if apart > 0 else "below"
            return Trip(
                DIVERGENCE,
                f"breaker: pool {quote.pool} has {quote.sold} in {quote.bought} at least {abs(apart)} basis points "
                f"{side} the price that rules go by, now and over {limits.divergence_seconds} s, and "
                f"{limits.divergence_bps} is the limit",
            )
    return None


def undone_when_final(number: int, was: str, is_now: str) -> Trip | None:
    """A block that was final and has another hash now."""
    if was == is_now:
        return None
    return Trip(
        REORG,
        f"breaker: block {number} was final as {was} and is {is_now} now, so nothing that was final can be relied on",
    )


def without_quorum(seconds: float, limits: BreakerLimits) -> Trip | None:
    """How long too few endpoints have agreed."""
    if seconds < limits.quorum_seconds:
        return None
    return Trip(
        QUORUM,
        f"breaker: no quorum of endpoints for {seconds:.0f} s, and {limits.quorum_seconds:.0f} s is the limit",
    )


def _paid_into_swaps(logs: Sequence[Log], token: Address) -> int:
    """How much of a token pools took for what they gave.

    A transfer of what a pool says it swapped for is one; liquidity put into that pool, or taken out of it, is not.
    """
    asked = {
        (log.address.lower(), amount) for log in logs if log.topics[:1] == (_SWAP,) for amount in _taken(log)
    }
    return sum(
        int(log.data, 16)
        for log in logs
        if log.address.lower() == token.lower()
        and log.topics[:1] == (_TRANSFER,)
        and len(log.topics) == 3
        and len(log.data) == 2 + _WORD
        and ("0x" + log.topics[2][-40:].lower(), int(log.data, 16)) in asked
    )


def _taken(swap: Log) -> tuple[int, ...]:
    """What a pool took of its two tokens: the positive ones of the first two words, whoever else may log the like."""
    if len(swap.data) < 2 + 2 * _WORD:
        return ()
    words = [int(swap.data[at : at + _WORD], 16) for at in (2, 2 + _WORD)]
    return tuple(word for word in words if 0 < word < 2**255)


def _since(flight: Flight, then: int) -> bool:
    """Whether it was decided after `then`, in doubt yes: its deadline lies a little after its decision."""
    return flight.intent.deadline > then
