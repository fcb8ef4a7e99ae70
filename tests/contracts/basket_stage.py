"""A chain of its own for the basket's tests: real Uniswap, deep pools of every pair, and hands on every feed and token.

Built of the loan stage's bricks. Baskets need no Aave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import combinations
from typing import Any, Final

from keeper.chain.node import Node
from keeper.devnet import aave_v3, uniswap_v3
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil
from keeper.devnet.transactions import Mined, call, reason_in, send
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address
from keeper.protocols.methods import address
from keeper.protocols.multicall3 import MULTICALL3
from tests.contracts.loan_stage import (
    BASE,
    DECIMALS,
    NOW,
    PRICES,
    compiled_vyper,
    create,
    mined_together,
    mint,
    push_pool,
    take_back,
    worth,
)

ADMIN, LENDER, OWNER, KEEPER, STRANGER, TRADER = DEV_ACCOUNTS[:6]
DAY: Final = 86_400
DOLLAR: Final = 10**8
WAD: Final = 10**18
NEVER: Final = 2**255
DEPTH: Final = 50_000_000
WITHIN, BREACHED, BARRED, BLIND = range(4)

ASSET: Final = f"(address,address,{','.join(['uint256'] * 6)})"
LIMITS: Final = f"(address,{','.join(['uint256'] * 11)})"
RULE: Final = f"({ASSET}[],bool,{','.join(['uint256'] * 7)},{LIMITS})"
TRADE: Final = "(address,address,uint24,uint256,uint256)"
PLAN: Final = f"({TRADE}[],uint256)"
FINDING: Final = f"(uint8,uint256,uint256,bool,{TRADE}[],string)"
REBALANCE: Final = f"rebalance(address,uint256,{PLAN})"


class Fields:
    """A struct in the contract's order."""

    def fields(self) -> tuple[Any, ...]:
        """Nested structs are opened too."""
        values = (getattr(self, name) for name in getattr(self, "__dataclass_fields__"))  # noqa: B009
        return tuple(_opened(value) for value in values)


def _opened(value: Any) -> Any:
    if isinstance(value, Fields):
        return value.fields()
    return tuple(map(_opened, value)) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Limits(Fields):
    """What `limits.vy` bounds."""

    keeper: str = KEEPER
    expiry: int = NOW + 365 * DAY
    cooldown: int = 60
    daily: int = 0
    slippage_bps: int = 50
    slippage_urgent_bps: int = 200
    gas_cap: int = 0
    public_bps: int = 0
    bounty_bps: int = 0
    bounty_cap: int = 0
    budget: int = 50_000 * DOLLAR
    window: int = DAY


@dataclass(frozen=True)
class Asset(Fields):
    """One asset of a rule."""

    token: Address
    feed: Address
    max_age: int
    low: int
    high: int
    target_bps: int
    band_bps: int
    widest_bps: int


@dataclass(frozen=True)
class Rule(Fields):
    """What an owner writes."""

    assets: tuple[Asset, ...]
    relative: bool = False
    destination_bps: int = 5_000
    cap_bps: int = 10_000
    max_step: int = 10_000_000
    spot_bps: int = 200
    full_bps: int = 30_000
    sigmas_bps: int = 0
    horizon: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Trade(Fields):
    """One swap."""

    sell: Address
    buy: Address
    fee: int
    amount_in: int
    min_out: int


@dataclass(frozen=True)
class Finding:
    """What `check` answers."""

    verdict: int
    measure: int
    urgency: int
    open: bool
    trades: tuple[Trade, ...]
    why: str


@dataclass(frozen=True)
class Outcome:
    """What an action returned, in dollars with 8 decimals, and the transaction."""

    mined: Mined
    sold: int
    lost: int
    measure: int


@dataclass
class Stage:
    """The chain, what stands on it, and the verbs the tests are written in."""

    node: Node
    uniswap: Uniswap
    tokens: dict[str, Address]
    feeds: dict[str, Address]
    volatility: Address
    thresholds: Address

    # What the chain says

    def ask(self, to: Address, signature: str, returns: str, *arguments: Any) -> Any:
        """One view call; a single return value comes bare."""
        values = call(self.node, to, signature, returns, *arguments)
        return values[0] if len(values) == 1 else values

    def balance(self, symbol: str, who: Address = OWNER) -> int:
        """In units."""
        return int(self.ask(self.tokens[symbol], "balanceOf(address)", "(uint256)", who))

    def price(self, symbol: str) -> int:
        """The feed's, dollars with 8 decimals."""
        return int(self.ask(self.feeds[symbol], "latestAnswer()", "(int256)"))

    def value(self, symbols: Sequence[str], who: Address = OWNER) -> int:
        """Of what somebody holds of these, by the feeds, in WAD dollars."""
        return sum(self.balance(s, who) * self.price(s) * (WAD // BASE) // 10 ** DECIMALS[s] for s in symbols)

    def shares(self, symbols: Sequence[str], who: Address = OWNER) -> dict[str, float]:
        """Of the whole, in percent."""
        whole = self.value(symbols, who)
        return {s: 100 * self.value([s], who) / whole for s in symbols}

    def check(self, id_: int = 0, owner: Address = OWNER, thresholds: Address | None = None) -> Finding:
        """The contract's own verdict."""
        at = thresholds or self.thresholds
        (found,) = call(self.node, at, "check(address,uint256)", f"({FINDING})", owner, id_)
        trades = tuple(Trade(address(t[0]), address(t[1]), *t[2:]) for t in found[4])
        return Finding(*found[:4], trades, found[5])

    def words(self, id_: int = 0, owner: Address = OWNER) -> tuple[int, ...]:
        """The rule as stored."""
        return tuple(self.ask(self.thresholds, "words_of(address,uint256)", "(uint256[])", owner, id_))

    def time(self) -> int:
        """The newest block's time."""
        return self.node.head().timestamp

    def pool(self, one: str, other: str, fee: int = 500) -> Address:
        """The factory's pool."""
        pair = (self.tokens[one], self.tokens[other], fee)
        return Address(self.ask(self.uniswap.factory, "getPool(address,address,uint24)", "(address)", *pair))

    def asset(self, symbol: str, target_bps: int, band_bps: int = 500, **changes: Any) -> Asset:
        """An asset as an owner would write it, its bounds a third and three times today's price."""
        price = PRICES[symbol]
        written = {
            "max_age": 7 * DAY,
            "low": price // 3,
            "high": price * 3,
            "widest_bps": band_bps,
            **changes,
        }
        return Asset(
            self.tokens[symbol], self.feeds[symbol], target_bps=target_bps, band_bps=band_bps, **written
        )

    def rule(self, *, weights: dict[str, int] | None = None, band_bps: int = 500, **changes: Any) -> Rule:
        """Half ether, three tenths dollars, two tenths bitcoin, unless told otherwise."""
        weights = weights or {"WETH": 5_000, "USDC": 3_000, "WBTC": 2_000}
        bounds = {name: changes.pop(name) for name in tuple(changes) if name in Limits.__dataclass_fields__}
        assets = tuple(self.asset(symbol, share, band_bps) for symbol, share in weights.items())
        return Rule(assets, limits=Limits(**bounds), **changes)

    # What people do

    def send(self, sender: Address, to: Address, signature: str, *arguments: Any) -> Mined:
        """A transaction that must succeed."""
        return send(self.node, sender, to, signature, *arguments)

    def set_rule(self, rule: Rule, id_: int = 0, owner: Address = OWNER) -> Mined:
        """Write a rule."""
        return self.send(owner, self.thresholds, f"set_rule(uint256,{RULE})", id_, rule.fields())

    def hold(self, dollars: dict[str, int], owner: Address = OWNER) -> None:
        """Give an account a basket, and the contract its allowances without limit."""
        for symbol, value in dollars.items():
            self.mint(symbol, owner, value * BASE * 10 ** DECIMALS[symbol] // PRICES[symbol])
            self.approve(owner, symbol, self.thresholds)

    def mint(self, symbol: str, to: Address, amount: int) -> None:
        """Out of nothing."""
        mint(self.node, symbol, self.tokens[symbol], to, amount)

    def approve(self, owner: Address, symbol: str, spender: Address, amount: int = NEVER) -> None:
        """Grant an allowance."""
        self.send(owner, self.tokens[symbol], "approve(address,uint256)", spender, amount)

    def rebalance(
        self,
        trades: Sequence[Trade],
        deadline: int = NEVER,
        id_: int = 0,
        owner: Address = OWNER,
        sender: Address = KEEPER,
        thresholds: Address | None = None,
    ) -> Outcome:
        """Act on a rule."""
        to = thresholds or self.thresholds
        plan = (tuple(trade.fields() for trade in trades), deadline)
        mined = self.send(sender, to, REBALANCE, owner, id_, plan)
        # before, after, sold, lost, bounty
        words = next(
            bytes.fromhex(log["data"][2:]) for log in mined.logs if log["address"].lower() == to.lower()
        )
        _, measure, sold, lost, _ = (int.from_bytes(words[n : n + 32], "big") for n in range(0, 160, 32))
        return Outcome(mined, sold, lost, measure)

    def act(self, found: Finding | None = None, **changes: Any) -> Outcome:
        """Act on a rule as `check` sizes it."""
        found = found or self.check(changes.get("id_", 0), changes.get("owner", OWNER))
        return self.rebalance(found.trades, **changes)

    def refusal(self, trades: Sequence[Trade], **changes: Any) -> str:
        """The reason for which acting is refused; an error when it is not."""
        try:
            self.rebalance(trades, **changes)
        except NodeRefused as refusal:
            return reason_in(refusal.data)
        raise AssertionError("the contract accepted")

    def refusal_to(self, sender: Address, to: Address, signature: str, *arguments: Any) -> str:
        """The reason for which any call is refused; an error when it is not."""
        try:
            self.send(sender, to, signature, *arguments)
        except NodeRefused as refusal:
            return reason_in(refusal.data)
        raise AssertionError("the contract accepted")

    # What the world does

    def set_feed(self, symbol: str, price: int) -> None:
        """Move the oracle only."""
        self.send(ADMIN, self.feeds[symbol], "set(int256)", price)

    def set_price(self, symbol: str, price: int) -> None:
        """Move the oracle and, for each other token, the pool with it."""
        self.set_feed(symbol, price)
        for other in self.tokens:
            if other != symbol and int(self.pool(symbol, other), 16):
                self.push_pool(symbol, other, price * BASE // self.price(other))

    def push_pool(self, sold: str, bought: str, price: int, fee: int = 500) -> None:
        """Trade a pool until one whole `sold` costs `price` hundred-millionths of a whole `bought`."""
        paid = price * 10 ** DECIMALS[bought] // BASE
        pool = self.pool(sold, bought, fee)
        push_pool(self.node, self.uniswap, self.tokens, pool, (sold, bought), paid, fee)

    def open_pool(self, sold: str, bought: str, dollars: int, fee: int = 500) -> None:
        """A pool at the first prices, or more liquidity in it, over the full range."""
        amounts = {self.tokens[s]: worth(s, dollars) for s in (sold, bought)}
        with mined_together(self.node) as queue:
            uniswap_v3.open_pool(queue, self.uniswap, amounts, fee)
            uniswap_v3.add_liquidity(queue, self.uniswap, amounts, fee, ADMIN)

    def pass_time(self, seconds: int) -> None:
        """Cooldowns end, budgets refill; feeds fall silent."""
        self.node.ask("evm_increaseTime", hex(seconds))
        self.node.ask("evm_mine")

    def create(self, name: str, *arguments: Any) -> Address:
        """Deploy one of this project's contracts, mocks among them."""
        return create(self.node, compiled_vyper(name), *arguments)

    def other_thresholds(self, sequencer: Address = NOBODY, volatility: Address = NOBODY) -> Address:
        """The contract again, beside other feeds."""
        basket_check = self.create("BasketCheck", self.uniswap.factory, sequencer, volatility)
        return self.create("BasketThresholds", basket_check)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back."""
        snapshot = self.node.ask("evm_snapshot")
        try:
            yield
        finally:
            take_back(self.node, snapshot)


@contextmanager
def raised(symbols: Sequence[str], odd: Sequence[str] = ()) -> Iterator[Stage]:
    """A stage with these tokens deployed in this order; `odd` ones are pooled with dollars only."""
    with Anvil(timestamp=NOW) as anvil:
        node = anvil.node
        load = aave_v3.load_core()
        tokens: dict[str, Address] = {}
        with mined_together(node) as queue:
            for symbol in (*symbols, *odd):
                if symbol == "WETH":
                    tokens[symbol] = queue.create(load("WETH9"))
                elif symbol in odd:
                    mock = compiled_vyper(f"mocks/{symbol.lower()}_token_mock")
                    tokens[symbol] = queue.create(mock, DECIMALS[symbol])
                else:
                    tokens[symbol] = queue.create(load("MintableERC20"), symbol, symbol, DECIMALS[symbol])
            feeds = {s: queue.create(compiled_vyper("Feed"), f"{s} / USD", 8, PRICES[s]) for s in tokens}
            uniswap = uniswap_v3.deploy(queue, tokens["WETH"])
            volatility = queue.create(compiled_vyper("Volatility"), 7 * DAY, 3_600)
            basket_check = queue.create(compiled_vyper("BasketCheck"), uniswap.factory, NOBODY, volatility)
            thresholds = queue.create(compiled_vyper("BasketThresholds"), basket_check)
        # What a keeper asks its questions through.
        multicall = files("keeper").joinpath("data", "multicall3.hex").read_text(encoding="ascii").strip()
        node.ask("anvil_setCode", MULTICALL3, multicall)
        stage = Stage(node, uniswap, tokens, feeds, volatility, thresholds)
        for symbol in tokens:
            for who, share in ((TRADER, 1_000), (ADMIN, 10)):
                stage.mint(symbol, who, share * worth(symbol, DEPTH))
            stage.approve(TRADER, symbol, uniswap.swap_router)
            stage.approve(ADMIN, symbol, uniswap.position_manager)
        for one, other in combinations(symbols, 2):
            stage.open_pool(one, other, DEPTH)
        for symbol in odd:
            stage.open_pool(symbol, "USDC", DEPTH)
        yield stage
