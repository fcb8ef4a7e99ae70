"""A chain of its own for the contract's tests: real Aave and Uniswap, a lender, deep pools, and hands on every price.

Small on purpose, and open to tokens and feeds no sane market lists: `keeper.devnet` builds the protocols, this decides
what is listed and who holds what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import Any, Final

from vyper.compiler import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from keeper.chain.node import Node
from keeper.contracts import load
from keeper.devnet import aave_v3, aave_v36, uniswap_v3
from keeper.devnet.aave_v3 import Aave, Listing
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil
from keeper.devnet.artifacts import Compiled, compiled
from keeper.devnet.transactions import GAS, Mined, Queue, call, reason_in, receipt, send
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address

CONTRACTS: Final = Path(__file__).resolve().parents[2] / "contracts"
SHIPPED: Final = CONTRACTS.parent / "keeper" / "contracts"
ADMIN, LENDER, OWNER, KEEPER, STRANGER, TRADER, LIQUIDATOR = DEV_ACCOUNTS[:7]
BASE: Final = 10**8
WAD: Final = 10**18
WETH_PRICE: Final = 2_500 * BASE
NOW: Final = 1_700_000_000

RULE: Final = "(address,address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
TERMS: Final = f"(bool,{','.join(['uint256'] * 15)},address)"
PLAN: Final = "(uint8,uint256,uint256,uint24,uint256)"
ROUTE: Final = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
DECIMALS: Final = {"WETH": 18, "USDC": 6, "WBTC": 8, "MUTE": 6, "HOOK": 18, "ODD": 18}
PRICES: Final = {
    "WETH": WETH_PRICE,
    "USDC": BASE,
    "WBTC": 50_000 * BASE,
    "MUTE": BASE,
    "HOOK": 2_500 * BASE,
    "ODD": 20 * BASE,
}
NEVER: Final = 2**255
DEPTH: Final = 50_000_000
WITHIN, BREACHED, BARRED, BLIND = range(4)
DELEVERAGE, RELEVERAGE = range(2)
HALF_LIFE, INTERVAL = 86_400, 3_600


@lru_cache
def vyper_output(name: str) -> dict[str, Any]:
    """What the compiler makes of a contract of this project; `name` is its path under `contracts/`, without `.vy`."""
    path = CONTRACTS / f"{name}.vy"
    return compiled_source(path.read_text(encoding="utf-8"), path)


def compiled_source(source: str, path: Path | None = None) -> dict[str, Any]:
    """What the compiler makes of any Vyper source, which may say `from contracts import …`."""
    bundle = FilesystemInputBundle([CONTRACTS.parent])
    formats = ("abi", "bytecode", "bytecode_runtime", "opcodes_runtime", "asm")
    place = path or Path("test.vy")
    output: dict[str, Any] = compile_code(
        source, place, resolved_path=place, output_formats=formats, input_bundle=bundle
    )
    return output


def compiled_vyper(name: str) -> Compiled:
    """A contract of this project, ready to be deployed: as it ships, if it does, which spares compiling it again."""
    if (SHIPPED / f"{name}.json").is_file():
        shipped = load(name)
        output = {"abi": shipped.abi, "bytecode": shipped.bytecode.hex(), "linkReferences": {}}
        return compiled(name, output)
    return compiled(name, {**vyper_output(name), "linkReferences": {}})


@dataclass(frozen=True)
class Rule:
    """A rule's fields in the contract's order; amounts in the debt asset's unit."""

    collateral: Address
    debt: Address
    floor_bps: int = 11_000
    target_bps: int = 15_000
    ceiling_bps: int = 20_000
    slippage_bps: int = 100
    cooldown: int = 60
    max_step: int = 10**12
    expiry: int = NOW + 365 * 86_400
    keeper: Address = NOBODY

    def fields(self) -> tuple[Any, ...]:
        """In the order of the struct."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class Terms:
    """What may be added to a rule, in the contract's order."""

    in_leverage: bool = False
    borrow_step: int = 0
    speed_bps: int = 0
    hold: int = 0
    urgent_step: int = 0
    urgent_slippage_bps: int = 0
    daily: int = 0
    gas_cap: int = 0
    public_bps: int = 0
    bounty_bps: int = 0
    bounty_cap: int = 0
    budget: int = 0
    window: int = 0
    highest_bps: int = 0
    sigmas_bps: int = 0
    horizon: int = 0
    feed: Address = NOBODY

    def fields(self) -> tuple[Any, ...]:
        """In the order of the struct."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True)
class Finding:
    """What `check` answers; `repay` is what to borrow and `sell` what to buy when the action is to releverage."""

    verdict: int
    action: int
    health: int
    repay: int
    sell: int
    fee: int
    why: str


@dataclass
class Stage:
    """The chain, what stands on it, and the verbs the tests are written in."""

    node: Node
    aave: Aave
    uniswap: Uniswap
    tokens: dict[str, Address]
    feeds: dict[str, Address]
    thresholds: Address
    version: str
    volatility: Address
    rule: Rule = field(init=False)

    def __post_init__(self) -> None:
        self.rule = Rule(self.tokens["WETH"], self.tokens["USDC"])

    # What the chain says

    def ask(self, to: Address, signature: str, returns: str, *arguments: Any) -> Any:
        """One view call; a single return value comes bare."""
        values = call(self.node, to, signature, returns, *arguments)
        return values[0] if len(values) == 1 else values

    def account(self, user: Address = OWNER) -> tuple[int, ...]:
        """Aave's six numbers."""
        return call(
            self.node, self.aave.pool, "getUserAccountData(address)", f"({','.join(['uint256'] * 6)})", user
        )

    def health(self, user: Address = OWNER) -> int:
        """The health factor in WAD."""
        return self.account(user)[5]

    def price(self, symbol: str = "WETH") -> int:
        """Aave's, in base units a whole token."""
        return int(self.ask(self.aave.oracle, "getAssetPrice(address)", "(uint256)", self.tokens[symbol]))

    def balance(self, token: Address, who: Address) -> int:
        """Of a token, aToken or debt token."""
        return int(self.ask(token, "balanceOf(address)", "(uint256)", who))

    def reserve(self, symbol: str) -> tuple[Any, ...]:
        """Aave's reserve data; 8 is the aToken, 10 the variable debt token."""
        rates = ",".join(["uint128"] * 5)
        tokens = ",".join(["address"] * 4)
        kinds = f"uint256,{rates},uint40,uint16,{tokens},uint128,uint128,uint128"
        return tuple(
            call(self.node, self.aave.pool, "getReserveData(address)", f"({kinds})", self.tokens[symbol])
        )

    def a_token(self, symbol: str) -> Address:
        """The aToken of a reserve."""
        return Address(self.reserve(symbol)[8])

    def debt_token(self, symbol: str) -> Address:
        """The variable debt token of a reserve."""
        return Address(self.reserve(symbol)[10])

    def pool(self, sold: str, bought: str, fee: int = 500) -> Address:
        """The factory's pool."""
        pair = (self.tokens[sold], self.tokens[bought], fee)
        return Address(self.ask(self.uniswap.factory, "getPool(address,address,uint24)", "(address)", *pair))

    def check(self, id_: int = 0, owner: Address = OWNER) -> Finding:
        """The contract's own verdict."""
        returns = "((uint8,uint8,uint256,uint256,uint256,uint24,string))"
        (found,) = call(self.node, self.thresholds, "check(address,uint256)", returns, owner, id_)
        return Finding(*found)

    def time(self) -> int:
        """The newest block's time."""
        return self.node.head().timestamp

    # What people do

    def send(self, sender: Address, to: Address, signature: str, *arguments: Any, value: int = 0) -> Mined:
        """A transaction that must succeed."""
        return send(self.node, sender, to, signature, *arguments, value=value)

    def set_rule(
        self, rule: Rule | None = None, id_: int = 0, owner: Address = OWNER, terms: Terms | None = None
    ) -> None:
        """Write a rule, with terms if there are any."""
        written = (rule or self.rule).fields()
        if terms is None:
            self.send(owner, self.thresholds, f"set_rule(uint256,{RULE})", id_, written)
        else:
            signature = f"set_rule(uint256,{RULE},{TERMS})"
            self.send(owner, self.thresholds, signature, id_, written, terms.fields())

    def delegate(self, symbol: str = "USDC", amount: int = NEVER, owner: Address = OWNER) -> None:
        """Let the contract borrow in the owner's name."""
        self.send(
            owner, self.debt_token(symbol), "approveDelegation(address,uint256)", self.thresholds, amount
        )

    def open(
        self, collateral: int, debt: int, owner: Address = OWNER, sold: str = "WETH", bought: str = "USDC"
    ) -> None:
        """Supply and borrow, and grant the contract the aToken without limit."""
        pool = self.aave.pool
        self.mint(sold, owner, collateral)
        self.approve(owner, self.tokens[sold], pool)
        self.send(
            owner, pool, "supply(address,uint256,address,uint16)", self.tokens[sold], collateral, owner, 0
        )
        borrowed = (self.tokens[bought], debt, 2, 0, owner)
        self.send(owner, pool, "borrow(address,uint256,uint256,uint16,address)", *borrowed)
        self.approve(owner, self.a_token(sold), self.thresholds)

    def approve(self, owner: Address, token: Address, spender: Address, amount: int = NEVER) -> None:
        """Grant an allowance."""
        self.send(owner, token, "approve(address,uint256)", spender, amount)

    def mint(self, symbol: str, to: Address, amount: int) -> None:
        """New tokens out of nothing, or for WETH out of an account's made-up ether."""
        mint(self.node, symbol, self.tokens[symbol], to, amount)

    def rebalance(
        self,
        repay: int,
        max_sell: int = NEVER,
        fee: int = 500,
        deadline: int = NEVER,
        id_: int = 0,
        owner: Address = OWNER,
        sender: Address = KEEPER,
        action: int = DELEVERAGE,
    ) -> Mined:
        """Act on a rule."""
        plan = (action, repay, max_sell, fee, deadline)
        return self.send(sender, self.thresholds, f"rebalance(address,uint256,{PLAN})", owner, id_, plan)

    def act(self, found: Finding | None = None, **changes: Any) -> Mined:
        """Act on a rule as `check` sizes it."""
        found = found or self.check()
        limit = found.sell + 10 if found.action == DELEVERAGE else found.sell * 9_999 // 10_000
        sized = {"repay": found.repay, "max_sell": limit, "fee": found.fee, "action": found.action}
        return self.rebalance(**{**sized, **changes})

    def refusal(self, repay: int, **changes: Any) -> str:
        """The reason for which acting is refused; an error when it is not."""
        try:
            self.rebalance(repay, **changes)
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

    def set_price(self, price: int, sold: str = "WETH", bought: str = "USDC", fee: int = 500) -> None:
        """Move the oracle and the pool together, to this many base units a whole collateral."""
        self.set_feed(sold, price)
        self.push_pool(price, sold, bought, fee)

    def push_pool(self, price: int, sold: str = "WETH", bought: str = "USDC", fee: int = 500) -> None:
        """Trade a pool to a price, whatever the oracle says."""
        paid = price * 10 ** DECIMALS[bought] // BASE
        push_pool(
            self.node, self.uniswap, self.tokens, self.pool(sold, bought, fee), (sold, bought), paid, fee
        )

    def set_health(self, health: float) -> None:
        """Move the price of WETH, in oracle and pool, until the owner's only loan stands here."""
        _, debt, _, threshold, _, _ = self.account()
        held = self.balance(self.a_token("WETH"), OWNER)
        self.set_price(int(health * debt * 10_000 * WAD / (threshold * held)))

    def live(self, feed: Address, prices: Sequence[int], pause: int = 4 * INTERVAL) -> None:
        """Each price stands for `pause` seconds in a feed of its own, and is poked once."""
        for price in prices:
            self.pass_time(pause)
            self.send(ADMIN, feed, "set(int256)", price)
            self.send(STRANGER, self.volatility, "poke(address)", feed)

    def band(self, id_: int = 0, owner: Address = OWNER) -> tuple[int, int, int, bool]:
        """The band of a rule as it stands, and whether what it follows is known."""
        returns = "(uint256,uint256,uint256,bool)"
        floor, target, ceiling, known = call(
            self.node, self.thresholds, "band_of(address,uint256)", returns, owner, id_
        )
        return floor, target, ceiling, known

    def open_pool(self, sold: str, bought: str, dollars: int, fee: int = 500) -> None:
        """A pool at the oracle's price, or more liquidity in it, over the full range."""
        amounts = {self.tokens[s]: worth(s, dollars) for s in (sold, bought)}
        with mined_together(self.node) as queue:
            uniswap_v3.open_pool(queue, self.uniswap, amounts, fee)
            uniswap_v3.add_liquidity(queue, self.uniswap, amounts, fee, ADMIN)

    def govern(self, signature: str, *arguments: Any) -> None:
        """Change Aave's configuration."""
        self.send(ADMIN, self.aave.configurator, signature, *arguments)

    def pass_time(self, seconds: int) -> None:
        """Interest accrues and cooldowns end."""
        self.node.ask("evm_increaseTime", hex(seconds))
        self.node.ask("evm_mine")

    def create(self, name: str, *arguments: Any) -> Address:
        """Deploy one of this project's contracts, mocks among them."""
        return create(self.node, compiled_vyper(name), *arguments)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside is taken back."""
        snapshot = self.node.ask("evm_snapshot")
        try:
            yield
        finally:
            take_back(self.node, snapshot)


def take_back(node: Node, snapshot: str) -> None:
    """Undo everything since a snapshot.

    A receipt can be had before its transaction has left the pool, from which it would be mined a second time.
    """
    assert node.ask("evm_revert", snapshot)
    node.ask("anvil_dropAllTransactions")


def create(node: Node, contract: Compiled, *arguments: Any) -> Address:
    """Deploy a contract now."""
    with mined_together(node) as queue:
        return queue.create(contract, *arguments)


@contextmanager
def mined_together(node: Node) -> Iterator[Queue]:
    """A queue whose transactions share one block."""
    node.ask("evm_setAutomine", False)
    queue = Queue(node, ADMIN)
    yield queue
    queue.settle()
    node.ask("evm_setAutomine", True)


def worth(symbol: str, dollars: int) -> int:
    """Units of a token, at the price it starts with."""
    return dollars * BASE // PRICES[symbol] * 10 ** DECIMALS[symbol]


def mint(node: Node, symbol: str, token: Address, to: Address, amount: int) -> None:
    """Tokens out of nothing."""
    if symbol == "WETH":
        node.ask("anvil_setBalance", to, hex(amount + 10_000 * WAD))
        # WETH9 wraps whatever is sent to it without a word.
        sent = {"from": to, "to": token, "value": hex(amount), "gas": hex(GAS)}
        receipt(node, node.ask("eth_sendTransaction", sent))
    else:
        send(node, ADMIN, token, "mint(address,uint256)", to, amount)


def push_pool(
    node: Node,
    uniswap: Uniswap,
    tokens: dict[str, Address],
    pool: Address,
    pair: tuple[str, str],
    paid: int,
    fee: int,
) -> None:
    """Trade until one whole `pair[0]` costs `paid` units of `pair[1]`."""
    sold, bought = pair
    sold_first = int(tokens[sold], 16) < int(tokens[bought], 16)
    one = 10 ** DECIMALS[sold]
    target = isqrt((paid << 192) // one) if sold_first else isqrt((one << 192) // paid)
    slot = "(uint160,int24,uint16,uint16,uint16,uint8,bool)"
    price = int(call(node, pool, "slot0()", slot)[0])
    if price == target:
        return
    # Going down in price sells token0.
    sells_0 = target < price
    first, second = (sold, bought) if sold_first == sells_0 else (bought, sold)
    route = (tokens[first], tokens[second], fee, TRADER, NEVER, 10**36, 0, target)
    send(node, TRADER, uniswap.swap_router, f"exactInputSingle({ROUTE})", route)


def listings(tokens: dict[str, Address], feeds: dict[str, Address]) -> list[Listing]:
    """Every token, with WETH's and USDC's parameters as on mainnet in round numbers."""
    risk = {
        "WETH": (8_050, 8_300),
        "USDC": (7_700, 8_000),
        "WBTC": (7_300, 7_800),
        "MUTE": (7_700, 8_000),
        "HOOK": (8_050, 8_300),
    }
    return [
        Listing(
            symbol, DECIMALS[symbol], token, feeds[symbol], *risk[symbol], 10_500, 1_000, 8_000, 300, 8_000
        )
        for symbol, token in tokens.items()
    ]


@contextmanager
def raised(weth_first: bool, version: str = "3.0.2", extra: Sequence[str] = ("WBTC",)) -> Iterator[Stage]:
    """A stage with WETH as token0 of its pool with USDC, or token1; `extra` tokens are listed and pooled too."""
    with Anvil(timestamp=NOW) as anvil:
        node = anvil.node
        with mined_together(node) as queue:
            tokens, feeds = _tokens(queue, weth_first, extra)
            if version == "3.6":
                aave = aave_v36.deploy(
                    queue, aave_v36.load_compiled(), ADMIN, LIQUIDATOR, listings(tokens, feeds)
                )
            else:
                aave = aave_v3.deploy(queue, ADMIN, LIQUIDATOR, listings(tokens, feeds))
            uniswap = uniswap_v3.deploy(queue, tokens["WETH"])
            places = (aave.addresses_provider, uniswap.factory)
            check = queue.create(compiled_vyper("LoanCheck"), *places)
            sense = queue.create(compiled_vyper("LoanSense"))
            volatility = queue.create(compiled_vyper("Volatility"), HALF_LIFE, INTERVAL)
            thresholds = queue.create(compiled_vyper("LoanThresholds"), *places, sense, check, volatility)
        stage = Stage(node, aave, uniswap, tokens, feeds, thresholds, version, volatility)
        _furnish(stage, extra)
        yield stage


def _tokens(
    queue: Queue, weth_first: bool, extra: Sequence[str]
) -> tuple[dict[str, Address], dict[str, Address]]:
    load = aave_v3.load_core()
    one, two = queue.next_addresses(2)
    symbols = ["WETH", "USDC"] if (int(one, 16) < int(two, 16)) == weth_first else ["USDC", "WETH"]
    tokens: dict[str, Address] = {}
    for symbol in (*symbols, *extra):
        if symbol == "WETH":
            tokens[symbol] = queue.create(load("WETH9"))
        elif symbol in {"MUTE", "HOOK"}:
            tokens[symbol] = queue.create(
                compiled_vyper(f"mocks/{symbol.lower()}_token_mock"), DECIMALS[symbol]
            )
        else:
            tokens[symbol] = queue.create(load("MintableERC20"), symbol, symbol, DECIMALS[symbol])
    feeds = {
        symbol: queue.create(compiled_vyper("Feed"), f"{symbol} / USD", 8, PRICES[symbol])
        for symbol in tokens
    }
    return tokens, feeds


def _furnish(stage: Stage, extra: Sequence[str]) -> None:
    """A lender with much of everything, a trader who can move any pool, and liquidity over the full range."""
    for symbol, token in stage.tokens.items():
        whole = worth(symbol, DEPTH)
        for who, share in ((LENDER, 1), (TRADER, 1_000), (ADMIN, 10)):
            stage.mint(symbol, who, share * whole)
        stage.approve(LENDER, token, stage.aave.pool)
        stage.send(LENDER, stage.aave.pool, "supply(address,uint256,address,uint16)", token, whole, LENDER, 0)
        stage.approve(TRADER, token, stage.aave.pool)
        stage.approve(TRADER, token, stage.uniswap.swap_router)
        stage.approve(ADMIN, token, stage.uniswap.position_manager)
    for sold, bought in [
        ("WETH", "USDC"),
        *(("WETH" if s == "MUTE" else s, "MUTE" if s == "MUTE" else "USDC") for s in extra),
    ]:
        stage.open_pool(sold, bought, DEPTH)
