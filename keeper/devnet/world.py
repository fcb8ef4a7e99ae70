"""What stands on the devnet, and the small acts by which tests and the demo move it.

A `World` is a manifest: it is written as JSON where other commands find it, and read back by them.

Assumes: amounts given as `Amount` are whole tokens (`1.5` is one and a half); prices are US dollars for one token.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import ROUND_FLOOR, Decimal, localcontext
from pathlib import Path
from typing import Any, Final, Self

from keeper.chain.node import Node, Question
from keeper.devnet import transactions
from keeper.devnet.aave_v3 import Aave
from keeper.devnet.anvil import DEV_ACCOUNTS
from keeper.devnet.transactions import Mined
from keeper.devnet.uniswap_v3 import Uniswap, sqrt_price
from keeper.domain.errors import Misconfigured, NodeUnreachable
from keeper.domain.loans import Loan
from keeper.domain.units import BASE, NOBODY, Address

Amount = int | float | str | Decimal
"""Whole tokens or US dollars, as a person would write them."""

MAX_UINT: Final = 2**256 - 1
POOL_FEE: Final = 500
BLOCK_SECONDS: Final = 12
SLOT0: Final = "(uint160,int24,uint16,uint16,uint16,uint8,bool)"
"""What a Uniswap V3 pool's `slot0()` returns; the square root price comes first."""
_VARIABLE_RATE: Final = 2
_PRICE_DECIMALS: Final = 8
_MANIFEST_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Reserve:
    """One asset of the market: its token, the feed that prices it, and its two Aave tokens.

    `settable` is whether the feed says what the deployer tells it; on a chain that others founded few do.
    """

    symbol: str
    decimals: int
    token: Address
    feed: Address
    a_token: Address
    debt_token: Address
    settable: bool = True


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is who among the accounts the node has unlocked."""

    deployer: Address
    owner: Address
    twin: Address
    keeper: Address
    liquidator: Address
    arbitrageur: Address
    stranger: Address


ROLES: Final = Roles(*DEV_ACCOUNTS[:7])
"""The roles of every devnet: Anvil's own development accounts."""


@dataclass(frozen=True, slots=True)
class World:
    """The devnet's contracts and accounts, and the node they are reached through.

    `pool` is the WETH/USDC pool of the 0.05 % tier; `block` is the last block of the founding; `thresholds`,
    `range_thresholds` and `basket_thresholds`, for loans, ranges and baskets, and `volatility`, which measures feeds,
    are `NOBODY` until they are deployed. Its acts send from unlocked accounts and return once their transaction is in a
    block.
    """

    url: str
    chain_id: int
    aave_version: str
    block: int
    roles: Roles
    reserves: tuple[Reserve, ...]
    aave: Aave
    uniswap: Uniswap
    pool: Address
    multicall: Address
    thresholds: Address = NOBODY
    range_thresholds: Address = NOBODY
    basket_thresholds: Address = NOBODY
    volatility: Address = NOBODY
    node: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "node", Node(self.url, timeout=60.0))

    @property
    def weth(self) -> Reserve:
        """The reserve of WETH."""
        return self.reserve("WETH")

    @property
    def usdc(self) -> Reserve:
        """The reserve of USDC."""
        return self.reserve("USDC")

    @property
    def weth_is_token0(self) -> bool:
        """Which order the pool has its two tokens in; on mainnet it is USDC first."""
        return int(self.weth.token, 16) < int(self.usdc.token, 16)

    def reserve(self, asset: str) -> Reserve:
        """A reserve by its symbol or by its token's address."""
        for reserve in self.reserves:
            if asset.lower() in (reserve.symbol.lower(), reserve.token.lower()):
                return reserve
        known = ", ".join(reserve.symbol for reserve in self.reserves)
        raise Misconfigured(f"devnet: {asset} is none of its assets ({known})")

    # The manifest

    def to_json(self) -> str:
        """The manifest as text; it holds no secret."""
        parts: dict[str, Roles | Aave | Uniswap] = {
            "roles": self.roles,
            "aave": self.aave,
            "uniswap": self.uniswap,
        }
        content: dict[str, Any] = {"format": _MANIFEST_FORMAT}
        content |= {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        content |= {name: asdict(part) for name, part in parts.items()}
        content["reserves"] = [asdict(reserve) for reserve in self.reserves]
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The world a manifest describes; `Misconfigured` when it is none, or another format's."""
        try:
            content: dict[str, Any] = json.loads(text)
            if content.pop("format") != _MANIFEST_FORMAT:
                raise ValueError("another format")
            return cls(
                roles=Roles(**content.pop("roles")),
                aave=Aave(**content.pop("aave")),
                uniswap=Uniswap(**content.pop("uniswap")),
                reserves=tuple(Reserve(**reserve) for reserve in content.pop("reserves")),
                **content,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Misconfigured(f"devnet: this is no manifest of a devnet ({error!r})") from error

    def write(self, path: Path) -> None:
        """Leave the manifest at `path`, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".new")
        unfinished.write_text(self.to_json(), encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The world whose manifest lies at `path`."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise Misconfigured(f"devnet: no manifest at {path}; is `keeper devnet` running?") from error

    def through(self, url: str) -> Self:
        """The same world seen through another node, such as a fork of its chain."""
        return replace(self, url=url)

    # Asking and sending

    def call(self, to: Address, signature: str, returns: str, *arguments: Any) -> tuple[Any, ...]:
        """Ask a contract at the newest block: `call(token, "balanceOf(address)", "(uint256)", who)[0]`."""
        return transactions.call(self.node, to, signature, returns, *arguments)

    def send(self, sender: Address, to: Address, signature: str, *arguments: Any, value: int = 0) -> Mined:
        """Send one transaction and see it mined; `NodeRefused` with the contract's reason when it reverts."""
        return transactions.send(self.node, sender, to, signature, *arguments, value=value)

    # Time

    def mine(self, seconds: int = BLOCK_SECONDS, blocks: int = 1, base_fee: int | None = None) -> int:
        """Mine `blocks`, each `seconds` after the one before; returns the newest block's number.

        `base_fee` (wei) holds for each of them; otherwise the chain's own rule lowers it, the blocks being near empty.
        """
        head = self.node.head()
        for step in range(1, blocks + 1):
            self.mine_at(head.timestamp + step * seconds, base_fee)
        return head.number + blocks

    def mine_at(self, timestamp: int, base_fee: int | None = None) -> None:
        """Mine one block at a time (unix seconds) that must be later than the newest block's."""
        orders: list[Question] = [("evm_setNextBlockTimestamp", [timestamp]), ("evm_mine", [])]
        if base_fee is not None:
            orders.insert(0, ("anvil_setNextBlockBaseFeePerGas", [hex(base_fee)]))
        self.node.ask_many(orders)

    def warp(self, seconds: int) -> int:
        """Let time pass in one block."""
        return self.mine(seconds)

    def automine(self, on: bool) -> None:
        """Whether the node mines each transaction by itself, as it does at first."""
        self.node.ask("evm_setAutomine", on)

    def snapshot(self) -> str:
        """Remember everything as it is now, for one `revert`."""
        remembered: str = self.node.ask("evm_snapshot")
        return remembered

    def revert(self, snapshot: str) -> None:
        """Undo everything since `snapshot`, which is used up by it."""
        if self.node.ask("evm_revert", snapshot) is not True:
            raise NodeUnreachable(f"devnet: the node no longer remembers snapshot {snapshot}")

    # Prices

    def price(self, asset: str) -> int:
        """What Aave's oracle says of an asset: US dollars with eight decimals."""
        token = self.reserve(asset).token
        found: int = self.call(self.aave.oracle, "getAssetPrice(address)", "(uint256)", token)[0]
        return found

    def set_price(self, asset: str, usd: Amount) -> Mined:
        """Make the asset's feed answer `usd` from the next block on; the pool stays where it is."""
        return self.send(
            self.roles.deployer, self.reserve(asset).feed, "set(int256)", units(usd, _PRICE_DECIMALS)
        )

    def sqrt_price_at(self, weth_usd: int, usdc_usd: int = BASE) -> int:
        """The pool's square root price at which it agrees with two oracle prices (eight decimals)."""
        weth_amount = usdc_usd * 10**self.weth.decimals
        usdc_amount = weth_usd * 10**self.usdc.decimals
        if self.weth_is_token0:
            return sqrt_price(weth_amount, usdc_amount)
        return sqrt_price(usdc_amount, weth_amount)

    def oracle_sqrt_price(self) -> int:
        """The pool's square root price at which it agrees with the oracle now."""
        return self.sqrt_price_at(self.price("WETH"), self.price("USDC"))

    def pool_sqrt_price(self) -> int:
        """The pool's square root price now."""
        found: int = self.call(self.pool, "slot0()", SLOT0)[0]
        return found

    # Tokens and loans

    def balance(self, asset: str, who: Address) -> int:
        """What `who` holds, in the token's smallest unit."""
        held: int = self.call(self.reserve(asset).token, "balanceOf(address)", "(uint256)", who)[0]
        return held

    def give(self, asset: str, to: Address, amount: Amount) -> None:
        """Add to what `to` holds; WETH is wrapped from ether that Anvil grants."""
        reserve = self.reserve(asset)
        count = units(amount, reserve.decimals)
        if reserve.symbol != "WETH":
            self.send(self.roles.deployer, reserve.token, "mint(address,uint256)", to, count)
            return
        held = int(self.node.ask("eth_getBalance", to, "latest"), 16)
        self.node.ask("anvil_setBalance", to, hex(held + count))
        self.send(to, reserve.token, "deposit()", value=count)

    def approve(self, owner: Address, token: Address, spender: Address, amount: int = MAX_UINT) -> Mined:
        """Let `spender` take up to `amount` (smallest unit) of the owner's token, an aToken too."""
        return self.send(owner, token, "approve(address,uint256)", spender, amount)

    def supply(self, who: Address, asset: str, amount: Amount) -> Mined:
        """Give `who` the amount and supply it to Aave as collateral."""
        reserve = self.reserve(asset)
        self.give(asset, who, amount)
        self.approve(who, reserve.token, self.aave.pool)
        count = units(amount, reserve.decimals)
        signature = "supply(address,uint256,address,uint16)"
        return self.send(who, self.aave.pool, signature, reserve.token, count, who, 0)

    def borrow(self, who: Address, asset: str, amount: Amount) -> Mined:
        """Borrow at the variable rate; what is borrowed stays with `who`."""
        reserve = self.reserve(asset)
        count = units(amount, reserve.decimals)
        signature = "borrow(address,uint256,uint256,uint16,address)"
        return self.send(who, self.aave.pool, signature, reserve.token, count, _VARIABLE_RATE, 0, who)

    def open_loan(
        self,
        who: Address,
        collateral_eth: Amount,
        debt_usdc: Amount | None = None,
        *,
        health: Amount | None = None,
    ) -> Loan:
        """Supply WETH and borrow USDC against it: `debt_usdc`, or as much as leaves the given health factor."""
        if (debt_usdc is None) == (health is None):
            raise Misconfigured("devnet: a loan is opened with either debt_usdc or health")
        self.supply(who, "WETH", collateral_eth)
        if health is not None:
            loan = self.account_data(who)
            room = Decimal(loan.collateral_base * loan.threshold_bps) / 10_000 / Decimal(str(health))
            debt_usdc = (room - loan.debt_base) / self.price("USDC")
        assert debt_usdc is not None
        self.borrow(who, "USDC", debt_usdc)
        return self.account_data(who)

    def account_data(self, who: Address) -> Loan:
        """An account as Aave values it at the newest block."""
        returns = "(uint256,uint256,uint256,uint256,uint256,uint256)"
        collateral, debt, _, threshold, _, health = self.call(
            self.aave.pool, "getUserAccountData(address)", returns, who
        )
        return Loan(collateral_base=collateral, debt_base=debt, threshold_bps=threshold, health=health)


def units(amount: Amount, decimals: int) -> int:
    """An amount as a person writes it, in the smallest unit, rounded down."""
    with localcontext(prec=100):
        return int((Decimal(str(amount)) * 10**decimals).to_integral_value(ROUND_FLOOR))
