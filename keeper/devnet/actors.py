"""Those the keeper lives with: an arbitrageur who trades the pool to the oracle, and a liquidator.

Their transactions go into the mempool first, so that they compete with the keeper's for the next block; what came of
them is asked afterwards.

Assumes: both hold what they need (the founding gives it) and their accounts are unlocked.
Source: Aave V3 `Pool.liquidationCall` and its events, whose signatures are the same in 3.0.2 and 3.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.chain.node import Question
from keeper.chain.wire import block_of
from keeper.devnet.transactions import Mined, call_many, calldata, mined, offer, receipt, wait_for
from keeper.devnet.world import MAX_UINT, POOL_FEE, SLOT0, Amount, Reserve, World, units
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.units import GWEI, WAD, Address

_NEVER: Final = 2**255
_PRICE_DECIMALS: Final = 8
_BORROW: Final = "0x" + keccak(text="Borrow(address,address,address,uint256,uint8,uint256,uint16)").hex()
_LIQUIDATION: Final = (
    "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
SWAP: Final = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"


@dataclass(slots=True)
class Arbitrageur:
    """Trades the WETH/USDC pool to a price and not past it, as long as its purse lasts (which is long)."""

    world: World
    tip_wei: int = GWEI

    def offer(self, sqrt_price: int, base_fee: int) -> Question | None:
        """The one swap that ends at `sqrt_price`, ready for the mempool; None when the pool is there already."""
        world, who = self.world, self.world.roles.arbitrageur
        holds = ("balanceOf(address)", "(uint256)", (who,))
        (now, *_), (weth,), (usdc,) = call_many(
            world.node,
            [
                (world.pool, "slot0()", SLOT0, ()),
                (world.weth.token, *holds),
                (world.usdc.token, *holds),
            ],
        )
        if now == sqrt_price:
            return None
        # Selling token0 lowers the price of token0, which is what the square root price measures.
        if (sqrt_price < now) == world.weth_is_token0:
            sold, bought, purse = world.weth, world.usdc, weth
        else:
            sold, bought, purse = world.usdc, world.weth, usdc
        trade = (sold.token, bought.token, POOL_FEE, who, _NEVER, purse, 0, sqrt_price)
        return offer(who, world.uniswap.swap_router, calldata(SWAP, trade), self.tip_wei, base_fee)


def move_pool_to(world: World, usd: Amount | None = None) -> None:
    """Have the arbitrageur bring the pool to `usd` per WETH, or to the oracle's price, in a block of its own."""
    target = (
        world.oracle_sqrt_price()
        if usd is None
        else world.sqrt_price_at(units(usd, _PRICE_DECIMALS), world.price("USDC"))
    )
    trade = Arbitrageur(world).offer(target, world.node.head().base_fee)
    if trade is not None:
        (sent,) = world.node.ask_many([trade])
        _mine_if_needed(world)
        receipt(world.node, sent)
    if (reached := world.pool_sqrt_price()) != target:
        raise Misconfigured(f"devnet: the pool's square root price stopped at {reached}, short of {target}")


def _mine_if_needed(world: World) -> None:
    if not world.node.ask("anvil_getAutomine"):
        world.node.ask("evm_mine")


@dataclass(frozen=True, slots=True)
class Liquidation:
    """One `liquidationCall` that went through, in smallest units; `seized` is what reached the liquidator."""

    user: Address
    collateral: str
    debt: str
    repaid: int
    seized: int
    block: int
    transaction: str
    gas_used: int


@dataclass(slots=True)
class Liquidator:
    """Liquidates whoever falls below health 1, as far as Aave's close factor lets it, for the underlying asset.

    It learns of borrowers from Aave's events since the founding. The deployer, who stands for the rest of the market,
    is left alone. `tip_wei` is what it bids for its place in the block, above the newest block's base fee.
    """

    world: World
    tip_wei: int = 2 * GWEI
    _borrowers: dict[Address, None] = field(default_factory=dict)
    _seen_until: int = -1
    _sent: list[str] = field(default_factory=list)

    def watch(self, users: Sequence[Address]) -> None:
        """Keep an eye on these as well, who may have borrowed before this world's first block."""
        self._borrowers |= dict.fromkeys(users)

    def act(self) -> list[Liquidation]:
        """Submit, mine a block if the node does not by itself, and tell what came of it."""
        sent = self.submit()
        if sent:
            _mine_if_needed(self.world)
        for transaction in sent:
            wait_for(self.world.node, transaction)
        return self.outcome()

    def submit(self) -> list[str]:
        """Put a liquidation into the mempool for every borrower below health 1 at the newest block."""
        world = self.world
        head = self._learn()
        offers = []
        for user in (user for user, health in self._healths().items() if health < WAD):
            if (pair := self._largest(user)) is None:
                continue
            collateral, debt = pair
            arguments = (collateral.token, debt.token, user, MAX_UINT, False)
            data = calldata("liquidationCall(address,address,address,uint256,bool)", *arguments)
            offers.append(offer(world.roles.liquidator, world.aave.pool, data, self.tip_wei, head.base_fee))
        sent: list[str] = world.node.ask_many(offers)
        self._sent += sent
        return sent

    def outcome(self) -> list[Liquidation]:
        """The liquidations that were mined and went through since last asked; those that came too late are dropped."""
        done: list[Liquidation] = []
        waiting = []
        for transaction in self._sent:
            found = self.world.node.ask("eth_getTransactionReceipt", transaction)
            if found is None:
                waiting.append(transaction)
            elif found["status"] == "0x1":
                done += self._read(mined(found))
        self._sent = waiting
        return done

    def _learn(self) -> Block:
        wanted = {"address": self.world.aave.pool, "topics": [_BORROW], "toBlock": "latest"}
        wanted["fromBlock"] = hex(max(self._seen_until, self.world.block))
        # The header first: a block mined between the two is read again next time, not missed.
        header, logs = self.world.node.ask_many(
            [("eth_getBlockByNumber", ["latest", False]), ("eth_getLogs", [wanted])]
        )
        self._borrowers |= dict.fromkeys(_address(log["topics"][2]) for log in logs)
        head = block_of(header, "latest")
        self._seen_until = head.number
        return head

    def _healths(self) -> dict[Address, int]:
        returns = "(uint256,uint256,uint256,uint256,uint256,uint256)"
        users = [user for user in self._borrowers if user != self.world.roles.deployer]
        answers = call_many(
            self.world.node,
            [(self.world.aave.pool, "getUserAccountData(address)", returns, (user,)) for user in users],
        )
        return {user: answer[5] for user, answer in zip(users, answers, strict=True)}

    def _largest(self, user: Address) -> tuple[Reserve, Reserve] | None:
        """The most valuable collateral and debt of an account that has both."""
        world, reserves = self.world, self.world.reserves
        holding = ("getUserReserveData(address,address)", "(" + "uint256," * 7 + "uint40,bool)")
        price = ("getAssetPrice(address)", "(uint256)")
        answers = call_many(
            world.node,
            [
                *((world.aave.data_provider, *holding, (reserve.token, user)) for reserve in reserves),
                *((world.aave.oracle, *price, (reserve.token,)) for reserve in reserves),
            ],
        )
        collaterals: list[tuple[int, str]] = []
        debts: list[tuple[int, str]] = []
        for at, reserve in enumerate(reserves):
            supplied, _, owed, *_, enabled = answers[at]
            (usd,) = answers[len(reserves) + at]
            if supplied and enabled:
                collaterals.append((supplied * usd // 10**reserve.decimals, reserve.symbol))
            if owed:
                debts.append((owed * usd // 10**reserve.decimals, reserve.symbol))
        if not collaterals or not debts:
            return None
        return world.reserve(max(collaterals)[1]), world.reserve(max(debts)[1])

    def _read(self, receipt_: Mined) -> list[Liquidation]:
        found = []
        for log in receipt_.logs:
            if log["topics"][0] != _LIQUIDATION:
                continue
            collateral, debt, user = (_address(topic) for topic in log["topics"][1:])
            repaid, seized, _, _ = decode(
                ["uint256", "uint256", "address", "bool"], bytes.fromhex(log["data"][2:])
            )
            found.append(
                Liquidation(
                    user=user,
                    collateral=self.world.reserve(collateral).symbol,
                    debt=self.world.reserve(debt).symbol,
                    repaid=repaid,
                    seized=seized,
                    block=receipt_.block,
                    transaction=receipt_.hash,
                    gas_used=receipt_.gas_used,
                )
            )
        return found


def _address(topic: str) -> Address:
    return Address(to_checksum_address("0x" + topic[-40:]))
