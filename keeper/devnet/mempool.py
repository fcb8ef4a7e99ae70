"""Those who stand between the keeper and the next block: a peaceful mempool, and one that holds back, outbids and robs.

What the hostile one does to each nonce of its victim, in this order:

    held        for some blocks the transaction is left out, whatever it bids
    outbid      then a crowd pays up to so many times the history's gas, as long as that prices the victim out
    sandwiched  in the block that takes it in, its swap is run ahead of as far as it still goes through, and back after,
                whether or not that pays the sandwicher: harm is its aim

Assumes: Anvil, whose blocks are filled by the cap on the fee, highest first, and whose pool gives transactions up and
takes them again. The victim's turn is over when a block is to be mined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.actors import SWAP
from keeper.devnet.transactions import calldata
from keeper.devnet.world import POOL_FEE, World
from keeper.domain.errors import NodeRefused
from keeper.domain.units import BASE, BPS, GWEI, Address
from keeper.protocols.uniswap_v3 import SWAP_TOPIC, read_swap

SANDWICHER: Final = Address(
    to_checksum_address(keccak(text="keeper: the sandwicher of a hostile mempool")[12:])
)
"""Nobody's account, so that no owner's is touched."""
_HOLDS: Final = {"WETH": 10**6, "USDC": 10**10}
_AHEAD_BPS: Final = (100, 50, 25, 10)
"""How far it tries to run ahead, the farthest first; of the square root of the price it is half as much."""
_GAS: Final = 2_000_000
_NEVER: Final = 2**255


class Mempool(Protocol):
    """Whoever decides what is in the next block."""

    def mine(self, base_fee: int | None) -> int:
        """Mine one block at the history's base fee (wei); its number."""


@dataclass(frozen=True, slots=True)
class Peaceful:
    """Takes in whatever pays."""

    world: World

    def mine(self, base_fee: int | None) -> int:
        """Mine one block with all that waits."""
        return self.world.mine(base_fee=base_fee)


@dataclass(slots=True)
class Hostile:
    """Holds back, outbids and sandwiches what `victim` sends; what it did is counted.

    `hold` and `outbid` are blocks, `spike` the most that the crowd pays, in times of the history's base fee. `taken` is
    what the sandwiches brought, in US dollars by the oracle before their gas; `spared` counts swaps that none fitted.
    """

    world: World
    victim: Address
    hold: int = 2
    outbid: int = 2
    spike: float = 3.0
    sandwiched: int = 0
    spared: int = 0
    taken: float = 0.0
    _held: dict[int, int] = field(default_factory=dict)
    _priced_out: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give the sandwicher its purse, and let the router spend it."""
        world = self.world
        world.node.ask("anvil_impersonateAccount", SANDWICHER)
        world.node.ask("anvil_setBalance", SANDWICHER, hex(10**24))
        for symbol, amount in _HOLDS.items():
            reserve = world.reserve(symbol)
            held = hex(amount * 10**reserve.decimals)
            world.node.ask("anvil_dealERC20", SANDWICHER, reserve.token, held)
            world.approve(SANDWICHER, reserve.token, world.uniswap.swap_router)

    @property
    def held(self) -> int:
        """How many nonces of the victim's were held back."""
        return len(self._held)

    @property
    def outbids(self) -> int:
        """How many were priced out of a block or more."""
        return len(self._priced_out)

    def mine(self, base_fee: int | None) -> int:
        """Mine one block, after whatever is to be done about what the victim has waiting."""
        waiting = self._waiting()
        if not waiting:
            return self.world.mine(base_fee=base_fee)
        held = {n: each for n, each in waiting.items() if self._held.get(n, 0) < self.hold}
        for nonce in held:
            self._held[nonce] = self._held.get(nonce, 0) + 1
        free = {n: each for n, each in waiting.items() if n not in held}
        usual = self.world.node.head().base_fee if base_fee is None else base_fee
        fee = self._crowded(free, usual)
        # Anvil drops for good what cannot pay for the block under way.
        out = held | {n: each for n, each in free.items() if _cap(each) < fee}
        raw = self._withdraw(out)
        # The nonce that comes first is the one sure to be taken in.
        first = [free[nonce] for nonce in sorted(free)[:1] if _cap(free[nonce]) > fee]
        before = self._worth() if first else 0.0
        laid = [each for each in first if self._sandwich(each, fee)]
        block = self.world.mine(base_fee=fee)
        if laid:
            self.taken += self._worth() - before
        self._give_back(raw, usual)
        return block

    def _waiting(self) -> dict[int, Mapping[str, Any]]:
        """What the victim has in the pool, by nonce."""
        pending: dict[str, dict[str, Mapping[str, Any]]] = self.world.node.ask("txpool_content")["pending"]
        mine = {who.lower(): sent for who, sent in pending.items()}.get(self.victim.lower(), {})
        return {int(nonce): sent for nonce, sent in mine.items()}

    def _crowded(self, free: Mapping[int, Mapping[str, Any]], base_fee: int) -> int:
        """The base fee of a block into which a crowd presses that would rather have it than the victim."""
        most = int(base_fee * self.spike)
        out = [
            n for n, each in free.items() if _cap(each) < most and self._priced_out.get(n, 0) < self.outbid
        ]
        if not out:
            return base_fee
        for nonce in out:
            self._priced_out[nonce] = self._priced_out.get(nonce, 0) + 1
        return most

    def _withdraw(self, out: Mapping[int, Mapping[str, Any]]) -> list[str]:
        """Take transactions out of the pool, to be given back after the block."""
        node = self.world.node
        hashes = [each["hash"] for _, each in sorted(out.items())]
        raw: list[str] = node.ask_many([("eth_getRawTransactionByHash", [each]) for each in hashes])
        for each in hashes:
            node.ask("anvil_dropTransaction", each)
        return raw

    def _give_back(self, raw: list[str], base_fee: int) -> None:
        if raw:
            self.world.node.ask("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        for each in raw:
            try:
                self.world.node.ask("eth_sendRawTransaction", each)
            except NodeRefused:
                continue  # the victim has sent it again itself, or what replaces it

    def _sandwich(self, victim: Mapping[str, Any], fee: int) -> bool:
        """Lay one around the victim's swap, as far ahead as it bears; whether there is one."""
        sells_token0 = self._direction(victim)
        if sells_token0 is None:
            return False
        now = self.world.pool_sqrt_price()
        for bps in _AHEAD_BPS:
            part = now * bps // (2 * BPS)
            ahead = self._trade(sells_token0, now - part if sells_token0 else now + part)
            if self._goes_through(ahead, victim):
                back = self._trade(not sells_token0, now)
                self._send(ahead, _cap(victim) + GWEI, fee)
                self._send(back, _cap(victim) - 1, fee)
                self.sandwiched += 1
                return True
        self.spared += 1
        return False

    def _direction(self, victim: Mapping[str, Any]) -> bool | None:
        """Whether the swap in it sells the pool's token0; None where it has none, or would fail."""
        options = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
        trace = self.world.node.ask("debug_traceCall", _call(victim), "latest", options)
        if trace.get("error"):
            return None
        for log in _logs(trace):
            if log["address"].lower() == self.world.pool.lower() and log["topics"][0] == SWAP_TOPIC:
                swap = read_swap(log["data"])
                return None if swap is None else swap.amount0 > 0
        return None

    def _goes_through(self, ahead: Mapping[str, Any], victim: Mapping[str, Any]) -> bool:
        """Whether both succeed, one after the other, in a block of their own."""
        calls = {"blockStateCalls": [{"calls": [ahead, _call(victim)]}]}
        (block,) = self.world.node.ask("eth_simulateV1", calls, "latest")
        return all(call["status"] == "0x1" for call in block["calls"])

    def _trade(self, sells_token0: bool, sqrt_price: int) -> dict[str, Any]:
        """A swap that ends at a square root price, as far as the purse lasts."""
        world = self.world
        sold, bought = (
            (world.weth, world.usdc) if sells_token0 == world.weth_is_token0 else (world.usdc, world.weth)
        )
        amount = _HOLDS[sold.symbol] * 10**sold.decimals // 2
        terms = (sold.token, bought.token, POOL_FEE, SANDWICHER, _NEVER, amount, 0, sqrt_price)
        return {
            "from": SANDWICHER,
            "to": world.uniswap.swap_router,
            "data": calldata(SWAP, terms),
            "gas": hex(_GAS),
        }

    def _send(self, trade: Mapping[str, Any], cap: int, fee: int) -> None:
        fees = {"maxFeePerGas": hex(cap), "maxPriorityFeePerGas": hex(min(GWEI, cap - fee))}
        self.world.node.ask("eth_sendTransaction", {**trade, **fees})

    def _worth(self) -> float:
        """What the sandwicher holds, in US dollars by the oracle."""
        world = self.world
        held = (
            world.balance(symbol, SANDWICHER) * world.price(symbol) / 10 ** world.reserve(symbol).decimals
            for symbol in _HOLDS
        )
        return float(sum(held) / BASE)


def _cap(sent: Mapping[str, Any]) -> int:
    """The most that a waiting transaction pays for a unit of gas."""
    return int(sent.get("maxFeePerGas") or sent["gasPrice"], 16)


def _call(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A waiting transaction as a call, whatever it bids."""
    return {"from": sent["from"], "to": sent["to"], "data": sent["input"], "gas": sent["gas"]}


def _logs(trace: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every log of a call and of those within it."""
    yield from trace.get("logs", ())
    for call in trace.get("calls", ()):
        yield from _logs(call)
