"""A chain of its own for the range contract's tests: real Uniswap, deep pools, and hands on every price.

Everything is told in ticks from `start`, the tick at which the pools are opened: 2,500 USDC a WETH in either order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any, Final

from keeper import contracts
from keeper.chain.node import Node
from keeper.devnet import aave_v3, uniswap_v3
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil
from keeper.devnet.artifacts import Compiled, compiled
from keeper.devnet.transactions import Mined, Queue, call, calldata, decoded, reason_in, send
from keeper.devnet.uniswap_v3 import TICK_SPACING, Uniswap
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address
from keeper.protocols.multicall3 import MULTICALL3
from keeper.protocols.ticks import MAX_TICK, MIN_TICK, sqrt_price_at, tick_down
from tests.contracts.loan_stage import (
    NEVER,
    NOW,
    WAD,
    compiled_vyper,
    create,
    mined_together,
    mint,
    take_back,
)

ADMIN, LENDER, OWNER, KEEPER, STRANGER, TRADER, BUYER = DEV_ACCOUNTS[:7]
USD: Final = 10**6
DAY: Final = 86_400
HOLD: Final = 300
WITHIN, BREACHED, BARRED, BLIND = range(4)
NOTHING, RECENTRE, EXIT, COMPOUND = range(4)
WHOLE: Final = 10**8

RULE: Final = (
    "(uint256,uint256,uint256,int256,int256,int256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
)
PLAN: Final = "(bool,uint256,uint256,uint256)"
FINDING: Final = "(uint8,uint8,int256,int256,int256,bool,uint256,uint256,uint256,string)"
POSITION: Final = (
    "(uint96,address,address,address,uint24,int24,int24,uint128,uint256,uint256,uint128,uint128)"
)
SLOT0: Final = "(uint160,int24,uint16,uint16,uint16,uint8,bool)"
MINTING: Final = "(address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256)"
ROUTE: Final = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
DECIMALS: Final = {"WETH": 18, "USDC": 6, "HOOK": 18, "MUTE": 6, "TOLL": 18}
LIQUID: Final = 50_000 * WAD


@dataclass(frozen=True)
class Rule:
    """A rule's fields in the contract's order."""

    token_id: int
    below: int = 600
    above: int = 600
    buffer: int = 100
    cutoff_low: int = MIN_TICK
    cutoff_high: int = MAX_TICK
    exit_low: int = 0
    exit_high: int = 0
    direction: int = 0
    placement: int = 0
    hold: int = HOLD
    deviation: int = 50
    slippage_bps: int = 50
    placed_bps: int = 9_900
    compound_at: int = 0
    cooldown: int = 3_600
    expiry: int = NOW + 365 * DAY
    daily: int = 4
    budget_bps: int = 100
    refill: int = 7 * DAY
    keeper: Address = NOBODY

    def values(self) -> tuple[Any, ...]:
        """In the order of the struct."""
        return tuple(getattr(self, f.name) for f in fields(self))


@dataclass(frozen=True)
class Finding:
    """What `check` answers."""

    verdict: int
    action: int
    measure: int
    lower: int
    upper: int
    sells_token0: bool
    amount: int
    bought: int
    lost: int
    why: str


@dataclass(frozen=True)
class Position:
    """One NFT of the manager."""

    nonce: int
    operator: str
    token0: str
    token1: str
    fee: int
    lower: int
    upper: int
    liquidity: int
    growth_0: int
    growth_1: int
    owed_0: int
    owed_1: int


@dataclass
class Stage:
    """The chain, what stands on it, and the verbs the tests are written in."""

    node: Node
    uniswap: Uniswap
    tokens: dict[str, Address]
    thresholds: Address
    range_check: Address
    start: int
    spacing: int = field(default=10)

    # What the chain says

    def ask(self, to: Address, signature: str, returns: str, *arguments: Any) -> Any:
        """One view call; a single return value comes bare."""
        values = call(self.node, to, signature, returns, *arguments)
        return values[0] if len(values) == 1 else values

    def balance(self, token: Address, who: Address) -> int:
        """Of any token."""
        return int(self.ask(token, "balanceOf(address)", "(uint256)", who))

    def pair(self, a: str = "WETH", b: str = "USDC") -> tuple[str, str]:
        """The two symbols as token0 and token1."""
        return (a, b) if int(self.tokens[a], 16) < int(self.tokens[b], 16) else (b, a)

    def pool(self, a: str = "WETH", b: str = "USDC", fee: int = 500) -> Address:
        """The factory's pool."""
        pair = (self.tokens[a], self.tokens[b], fee)
        return Address(self.ask(self.uniswap.factory, "getPool(address,address,uint24)", "(address)", *pair))

    def tick(self, pool: Address | None = None) -> int:
        """The pool's, from `start`."""
        return int(self.ask(pool or self.pool(), "slot0()", SLOT0)[1]) - self.start

    def price(self, pool: Address | None = None) -> int:
        """The pool's, as a square root."""
        return int(self.ask(pool or self.pool(), "slot0()", SLOT0)[0])

    def holder(self, token_id: int) -> Address:
        """Of a position."""
        return Address(self.ask(self.uniswap.position_manager, "ownerOf(uint256)", "(address)", token_id))

    def position(self, token_id: int) -> Position:
        """One NFT."""
        manager = self.uniswap.position_manager
        return Position(*self.ask(manager, "positions(uint256)", POSITION, token_id))

    def edges(self, token_id: int) -> tuple[int, int]:
        """A position's, from `start`."""
        position = self.position(token_id)
        return position.lower - self.start, position.upper - self.start

    def rule_of(self, id_: int = 0, owner: Address = OWNER) -> Rule:
        """The rule as the contract has it."""
        return Rule(*self.ask(self.thresholds, "rule_of(address,uint256)", f"({RULE})", owner, id_))

    def check(self, id_: int = 0, owner: Address = OWNER) -> Finding:
        """The contract's own verdict."""
        return Finding(*self.ask(self.thresholds, "check(address,uint256)", f"({FINDING})", owner, id_))

    def verdict(self, id_: int = 0, owner: Address = OWNER) -> tuple[int, str]:
        """Of that, what is decided and why."""
        found = self.check(id_, owner)
        return found.verdict, found.why

    def time(self) -> int:
        """The newest block's time."""
        return self.node.head().timestamp

    def purse(self, who: Address, a: str = "WETH", b: str = "USDC") -> tuple[int, int]:
        """What somebody holds of token0 and token1."""
        first, second = self.pair(a, b)
        return self.balance(self.tokens[first], who), self.balance(self.tokens[second], who)

    def last_id(self) -> int:
        """The newest position's."""
        manager = self.uniswap.position_manager
        supply = self.ask(manager, "totalSupply()", "(uint256)")
        return int(self.ask(manager, "tokenByIndex(uint256)", "(uint256)", supply - 1))

    # What people do

    def send(self, sender: Address, to: Address, signature: str, *arguments: Any, value: int = 0) -> Mined:
        """A transaction that must succeed."""
        return send(self.node, sender, to, signature, *arguments, value=value)

    def rule(self, token_id: int, **changes: Any) -> Rule:
        """A rule whose cutoffs are told from `start`."""
        for name in ("cutoff_low", "cutoff_high"):
            if name in changes:
                changes[name] += self.start
        return Rule(token_id, **changes)

    def set_rule(self, rule: Rule, id_: int = 0, owner: Address = OWNER) -> None:
        """Write a rule."""
        self.send(owner, self.thresholds, f"set_rule(uint256,{RULE})", id_, rule.values())

    def open(
        self,
        lower: int = -600,
        upper: int = 600,
        liquidity: int = WAD // 10,
        owner: Address = OWNER,
        a: str = "WETH",
        b: str = "USDC",
        fee: int = 500,
        *,
        approves: bool = True,
    ) -> int:
        """A position between two ticks from `start`, its contract made an operator; about 300,000 dollars."""
        first, second = self.pair(a, b)
        low, high = self.start + lower, self.start + upper
        manager = self.uniswap.position_manager
        at = min(max(self.price(self.pool(a, b, fee)), sqrt_price_at(low)), sqrt_price_at(high))
        amount0 = (liquidity << 96) * (sqrt_price_at(high) - at) // sqrt_price_at(high) // at
        amount1 = liquidity * (at - sqrt_price_at(low)) >> 96
        for symbol, amount in ((first, amount0), (second, amount1)):
            self.mint(symbol, owner, 2 * amount + 10**6)
            self.approve(owner, self.tokens[symbol], manager, 0)
            self.approve(owner, self.tokens[symbol], manager)
        minting = (
            *(self.tokens[first], self.tokens[second], fee, low, high),
            *(amount0 + 10, amount1 + 10, 0, 0, owner, NEVER),
        )
        self.send(owner, manager, f"mint({MINTING})", minting)
        if approves:
            self.send(owner, manager, "setApprovalForAll(address,bool)", self.thresholds, True)
        return self.last_id()

    def approve(self, owner: Address, token: Address, spender: Address, amount: int = NEVER) -> None:
        """Grant an allowance."""
        self.send(owner, token, "approve(address,uint256)", spender, amount)

    def mint(self, symbol: str, to: Address, amount: int) -> None:
        """New tokens out of nothing, or for WETH out of an account's made-up ether."""
        mint(self.node, symbol, self.tokens[symbol], to, amount)

    def plan(self, found: Finding, **changes: Any) -> tuple[Any, ...]:
        """What `check` sizes, as a plan; a hair is left to drift."""
        plan = {
            "sells_token0": found.sells_token0,
            "amount": found.amount,
            "least": found.bought * 9_999 // 10_000,
            "deadline": NEVER,
            **changes,
        }
        return tuple(plan.values())

    def act(
        self,
        found: Finding | None = None,
        id_: int = 0,
        owner: Address = OWNER,
        sender: Address = KEEPER,
        **changes: Any,
    ) -> Mined:
        """Act on a rule as `check` sizes it."""
        found = found or self.check(id_, owner)
        verb = "compound" if found.action == COMPOUND else "rebalance"
        plan = self.plan(found, **changes)
        return self.send(sender, self.thresholds, f"{verb}(address,uint256,{PLAN})", owner, id_, plan)

    def refusal(self, found: Finding | None = None, **changes: Any) -> str:
        """The reason for which acting is refused; an error when it is not."""
        try:
            self.act(found, **changes)
        except NodeRefused as refusal:
            return reason_in(refusal.data)
        raise AssertionError("the contract accepted")

    def would_refuse(
        self, found: Finding, id_: int = 0, owner: Address = OWNER, sender: Address = KEEPER
    ) -> str:
        """The reason for which the plan would be refused in the newest block's own time; empty if it would not be."""
        verb = "compound" if found.action == COMPOUND else "rebalance"
        data = calldata(f"{verb}(address,uint256,{PLAN})", owner, id_, self.plan(found))
        try:
            self.node.ask("eth_call", {"from": sender, "to": self.thresholds, "data": data}, "latest")
        except NodeRefused as refusal:
            return reason_in(refusal.data)
        return ""

    def refusal_to(self, sender: Address, to: Address, signature: str, *arguments: Any) -> str:
        """The reason for which any call is refused; an error when it is not."""
        try:
            self.send(sender, to, signature, *arguments)
        except NodeRefused as refusal:
            return reason_in(refusal.data)
        raise AssertionError("the contract accepted")

    def followed(self, mined: Mined) -> tuple[int, int]:
        """Of a recentring: the new position, and what was lost in hundred-millionths."""
        (log,) = [log for log in mined.logs if log["address"].lower() == self.thresholds.lower()]
        values = decoded("(uint256,uint256,int256,int256,uint256,uint256)", log["data"])
        return int(values[1]), int(values[5])

    # What the world does

    def push(self, tick: int, a: str = "WETH", b: str = "USDC", fee: int = 500) -> None:
        """Trade a pool to a tick from `start`."""
        target, pool = sqrt_price_at(self.start + tick), self.pool(a, b, fee)
        now = self.price(pool)
        if now == target:
            return
        first, second = self.pair(a, b)
        sold, bought = (first, second) if target < now else (second, first)
        route = (self.tokens[sold], self.tokens[bought], fee, TRADER, NEVER, 10**40, 0, target)
        self.send(TRADER, self.uniswap.swap_router, f"exactInputSingle({ROUTE})", route)

    def settle(self, tick: int, seconds: int = HOLD + 1, **pool: Any) -> None:
        """The price goes there, and stays for the hold."""
        self.push(tick, **pool)
        self.pass_time(seconds)

    def trade(self, times: int = 1, span: int = 200) -> None:
        """Others trade up and down around where the price is, and pay the positions their fees."""
        here = self.price()
        at = self.tick()
        for _ in range(times):
            self.push(at + span)
            self.push(at - span)
        first, second = self.pair()
        sold, bought = (first, second) if here < self.price() else (second, first)
        route = (self.tokens[sold], self.tokens[bought], 500, TRADER, NEVER, 10**40, 0, here)
        self.send(TRADER, self.uniswap.swap_router, f"exactInputSingle({ROUTE})", route)

    def pass_time(self, seconds: int) -> None:
        """Means catch up and cooldowns end."""
        self.node.ask("evm_increaseTime", hex(seconds))
        self.node.ask("evm_mine")

    def create(self, name: str, *arguments: Any) -> Address:
        """Deploy one of this project's contracts, mocks among them."""
        return create(self.node, compiled_vyper(name), *arguments)

    def open_pool(
        self, a: str, b: str, fee: int = 500, liquidity: int = LIQUID, observations: int = 100
    ) -> None:
        """A pool at `start`, with so much liquidity over the full range, that remembers."""
        manager = self.uniswap.position_manager
        first, second = self.pair(a, b)
        tokens = (self.tokens[first], self.tokens[second])
        signature = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)"
        self.send(ADMIN, manager, signature, *tokens, fee, sqrt_price_at(self.start))
        widest = tick_down(MAX_TICK, TICK_SPACING[fee])
        root = sqrt_price_at(self.start)
        amounts = ((liquidity << 96) // root, liquidity * root >> 96)
        for symbol, amount in zip((first, second), amounts, strict=True):
            for who, much in ((ADMIN, amount + 10**20), (TRADER, 10_000 * amount + 10**20)):
                self.mint(symbol, who, much)
            self.approve(ADMIN, self.tokens[symbol], manager, 0)
            self.approve(ADMIN, self.tokens[symbol], manager)
        minting = (*tokens, fee, -widest, widest, *amounts, 0, 0, ADMIN, NEVER)
        self.send(ADMIN, manager, f"mint({MINTING})", minting)
        signature = "increaseObservationCardinalityNext(uint16)"
        self.send(ADMIN, self.pool(a, b, fee), signature, observations)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back."""
        snapshot = self.node.ask("evm_snapshot")
        try:
            yield
        finally:
            take_back(self.node, snapshot)


def shipped(name: str) -> Compiled:
    """A contract as it ships, which `tests/house` proves to be its source compiled; compiling takes long."""
    artifact = contracts.load(name)
    return compiled(name, {"abi": artifact.abi, "bytecode": artifact.bytecode.hex(), "linkReferences": {}})


@contextmanager
def raised(weth_first: bool) -> Iterator[Stage]:
    """A stage with WETH as token0 of its pool with USDC, or token1."""
    with Anvil(timestamp=NOW) as anvil:
        node = anvil.node
        multicall = files("keeper").joinpath("data", "multicall3.hex").read_text(encoding="ascii").strip()
        node.ask("anvil_setCode", MULTICALL3, multicall)
        with mined_together(node) as queue:
            tokens = _tokens(queue, weth_first)
            uniswap = uniswap_v3.deploy(queue, tokens["WETH"])
            range_check = queue.create(shipped("RangeCheck"), uniswap.position_manager)
            thresholds = queue.create(shipped("RangeThresholds"), uniswap.position_manager, range_check)
        stage = Stage(node, uniswap, tokens, thresholds, range_check, -198_080 if weth_first else 198_080)
        for token in tokens.values():
            stage.approve(TRADER, token, uniswap.swap_router)
        stage.open_pool("WETH", "USDC")
        stage.pass_time(HOLD + 1)
        yield stage


def _tokens(queue: Queue, weth_first: bool) -> dict[str, Address]:
    load = aave_v3.load_core()
    one, two = queue.next_addresses(2)
    order = ["WETH", "USDC"] if (int(one, 16) < int(two, 16)) == weth_first else ["USDC", "WETH"]
    tokens: dict[str, Address] = {}
    for symbol in (*order, "HOOK", "MUTE", "TOLL"):
        if symbol == "WETH":
            tokens[symbol] = queue.create(load("WETH9"))
        elif symbol == "USDC":
            tokens[symbol] = queue.create(load("MintableERC20"), symbol, symbol, DECIMALS[symbol])
        else:
            mock = compiled_vyper(f"mocks/{symbol.lower()}_token_mock")
            tokens[symbol] = queue.create(mock, DECIMALS[symbol])
    return tokens
