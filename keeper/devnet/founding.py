"""Builds the devnet's world: tokens, feeds, Aave V3 with deep reserves, Uniswap V3 with a deep WETH/USDC pool.

The deployer also stands for the rest of the market: it supplies what others borrow, borrows enough of it that interest
accrues, and owns the pool's liquidity.

Assumes: a fresh Anvil, or a fork on which the development accounts may be used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Final, Literal

from keeper import contracts
from keeper.chain.node import Node
from keeper.devnet import aave_v3, aave_v36, uniswap_v3
from keeper.devnet.aave_v3 import Aave, Listing
from keeper.devnet.anvil import DEV_ACCOUNTS
from keeper.devnet.artifacts import Compiled, Load, compiled
from keeper.devnet.transactions import Queue, call_many, in_one_block
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.devnet.world import MAX_UINT, POOL_FEE, ROLES, Amount, Reserve, World, units
from keeper.domain.errors import Misconfigured
from keeper.domain.units import NOBODY, Address
from keeper.protocols.multicall3 import MULTICALL3

AaveVersion = Literal["3.0.2", "3.6"]

_TREASURY: Final = DEV_ACCOUNTS[9]
_PRICE_DECIMALS: Final = 8
_DEPLOYER_ETHER: Final = 10**7
_FULL_RANGE_WETH: Final = 20_000
_NARROW_WETH: Final = 60_000
_NARROW_TICKS: Final = 8_000
_OBSERVATIONS: Final = 100
_VARIABLE_RATE: Final = 2
_VOLATILITY: Final = (7 * 86_400, 3_600)
"""Half-life and least interval between two counted rounds, in seconds."""


@dataclass(frozen=True, slots=True)
class _Asset:
    """A reserve before it has addresses: US dollars, basis points for risk and rates, amounts in whole tokens."""

    symbol: str
    decimals: int
    usd: Amount
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    reserve_factor_bps: int
    optimal_bps: int
    slope1_bps: int
    slope2_bps: int
    supplied: int
    borrowed: int
    actors_hold: int


# Risk and rates are close to those of Aave's market on Ethereum; the borrowed share decides how fast debts grow.
_ASSETS: Final = (
    _Asset("WETH", 18, 2_000, 8_050, 8_300, 10_500, 1_500, 9_000, 270, 8_000, 200_000, 20_000, 500_000),
    _Asset("USDC", 6, 1, 7_500, 7_800, 10_450, 1_000, 9_200, 550, 4_000, 500_000_000, 300_000_000, 10**10),
    _Asset("WBTC", 8, 60_000, 7_300, 7_800, 10_500, 5_000, 8_000, 400, 30_000, 5_000, 0, 5_000),
    _Asset("DAI", 18, 1, 6_300, 7_700, 10_500, 2_500, 9_200, 550, 4_000, 200_000_000, 50_000_000, 10**9),
)


def deploy_world(
    url: str,
    *,
    aave: AaveVersion = "3.0.2",
    weth_is_token0: bool = False,
    eth_price: Amount = 2_000,
    say: Callable[[str], None] = lambda _: None,
) -> World:
    """Build the whole world on the node at `url` in two blocks, with oracle and pool agreeing on `eth_price`.

    `weth_is_token0` False is mainnet's order. `say` is told before anything that takes longer than a second.
    """
    if aave not in ("3.0.2", "3.6"):
        raise Misconfigured(f"devnet: there is no Aave {aave} here, only 3.0.2 and 3.6")
    node = Node(url, timeout=60.0)
    load36 = aave_v36.load_compiled(say) if aave == "3.6" else None
    assets = [replace(asset, usd=eth_price) if asset.symbol == "WETH" else asset for asset in _ASSETS]
    node.ask_many(
        [
            ("anvil_setBalance", [ROLES.deployer, hex(_DEPLOYER_ETHER * 10**18)]),
            ("anvil_setCode", [MULTICALL3, _multicall_code()]),
        ]
    )
    with in_one_block(node, ROLES.deployer) as queue:
        tokens = _create_tokens(queue, weth_is_token0)
        listings = _create_feeds(queue, assets, tokens)
        market = _create_market(queue, load36, listings)
        exchange = uniswap_v3.deploy(queue, tokens["WETH"])
        _hand_out(queue, assets, tokens)
        _supply_and_borrow(queue, assets, tokens, market)
        _provide_liquidity(queue, assets, tokens, exchange)
    pool, reserves = _what_came_out(node, exchange, market, listings)
    with in_one_block(node, ROLES.deployer) as queue:
        queue.call(pool, "increaseObservationCardinalityNext(uint16)", _OBSERVATIONS)
        for token in tokens.values():
            approval = (token, "approve(address,uint256)")
            queue.call(*approval, market.pool, MAX_UINT, sender=ROLES.liquidator)
            queue.call(*approval, exchange.swap_router, MAX_UINT, sender=ROLES.arbitrageur)
    chain_id, block = node.ask_many([("eth_chainId", []), ("eth_blockNumber", [])])
    return World(
        url=url,
        chain_id=int(chain_id, 16),
        aave_version=aave,
        block=int(block, 16),
        roles=ROLES,
        reserves=reserves,
        aave=market,
        uniswap=exchange,
        pool=pool,
        multicall=MULTICALL3,
    )


def deploy_thresholds(world: World) -> World:
    """The same world with the owners'-rules contracts standing in it, one for each kind of position."""
    aave, uniswap, deployer = world.aave.addresses_provider, world.uniswap, world.roles.deployer
    volatility = place_volatility(world.node, deployer)
    return replace(
        world,
        volatility=volatility,
        thresholds=place_thresholds(world.node, deployer, aave, uniswap.factory, volatility),
        range_thresholds=place_range_thresholds(world.node, deployer, uniswap.position_manager),
        basket_thresholds=place_basket_thresholds(world.node, deployer, uniswap.factory, volatility),
    )


def place_volatility(node: Node, deployer: Address) -> Address:
    """Where the contract that measures feeds stands after being deployed for all who follow them."""
    with in_one_block(node, deployer) as queue:
        return queue.create(_own("Volatility"), *_VOLATILITY)


def place_thresholds(
    node: Node,
    deployer: Address,
    addresses_provider: Address,
    uniswap_factory: Address,
    volatility: Address,
) -> Address:
    """Where the owner's-rules contract stands after being deployed for any Aave V3 market and Uniswap V3."""
    with in_one_block(node, deployer) as queue:
        places = (addresses_provider, uniswap_factory)
        sense = queue.create(_own("LoanSense"))
        check = queue.create(_own("LoanCheck"), *places)
        return queue.create(_own("LoanThresholds"), *places, sense, check, volatility)


def place_range_thresholds(node: Node, deployer: Address, position_manager: Address) -> Address:
    """Where the contract for ranges stands after being deployed for any Uniswap V3's position manager."""
    with in_one_block(node, deployer) as queue:
        check = queue.create(_own("RangeCheck"), position_manager)
        return queue.create(_own("RangeThresholds"), position_manager, check)


def place_basket_thresholds(
    node: Node, deployer: Address, uniswap_factory: Address, volatility: Address
) -> Address:
    """Where the contract for baskets stands after being deployed on a chain that needs no sequencer."""
    with in_one_block(node, deployer) as queue:
        check = queue.create(_own("BasketCheck"), uniswap_factory, NOBODY, volatility)
        return queue.create(_own("BasketThresholds"), check)


def _own(name: str) -> Compiled:
    shipped = contracts.load(name)
    return compiled(name, {"abi": shipped.abi, "bytecode": shipped.bytecode.hex(), "linkReferences": {}})


def _multicall_code() -> str:
    return files("keeper").joinpath("data", "multicall3.hex").read_text(encoding="ascii").strip()


def _create_tokens(queue: Queue, weth_is_token0: bool) -> dict[str, Address]:
    load = aave_v3.load_core()
    first, second = queue.next_addresses(2)
    # Whichever of the next two addresses is lower goes to the token that is to come first.
    weth_first = (int(first, 16) < int(second, 16)) == weth_is_token0
    order = ["WETH", "USDC"] if weth_first else ["USDC", "WETH"]
    decimals = {asset.symbol: asset.decimals for asset in _ASSETS}
    tokens = {}
    for symbol in [*order, *(asset.symbol for asset in _ASSETS if asset.symbol not in order)]:
        if symbol == "WETH":
            tokens[symbol] = queue.create(load("WETH9"))
        else:
            tokens[symbol] = queue.create(load("MintableERC20"), symbol, symbol, decimals[symbol])
    return tokens


def create_feed(queue: Queue, description: str, price: int) -> Address:
    """Queue a settable feed that says a price (eight decimals), and belongs to the queue's sender."""
    return queue.create(_own("Feed"), description, _PRICE_DECIMALS, price)


def _create_feeds(queue: Queue, assets: Sequence[_Asset], tokens: dict[str, Address]) -> list[Listing]:
    listings = []
    for asset in assets:
        pair = f"{asset.symbol.removeprefix('W')} / USD"
        listings.append(
            Listing(
                symbol=asset.symbol,
                decimals=asset.decimals,
                token=tokens[asset.symbol],
                feed=create_feed(queue, pair, units(asset.usd, _PRICE_DECIMALS)),
                ltv_bps=asset.ltv_bps,
                threshold_bps=asset.threshold_bps,
                bonus_bps=asset.bonus_bps,
                reserve_factor_bps=asset.reserve_factor_bps,
                optimal_bps=asset.optimal_bps,
                slope1_bps=asset.slope1_bps,
                slope2_bps=asset.slope2_bps,
            )
        )
    return listings


def _create_market(queue: Queue, load36: Load | None, listings: Sequence[Listing]) -> Aave:
    if load36 is None:
        return aave_v3.deploy(queue, ROLES.deployer, _TREASURY, listings)
    return aave_v36.deploy(queue, load36, ROLES.deployer, _TREASURY, listings)


def _worth(assets: Sequence[_Asset], weth: int) -> dict[str, int]:
    """So many whole WETH, and the USDC they are worth at the assets' prices, in smallest units."""
    usd = {asset.symbol: units(asset.usd, _PRICE_DECIMALS) for asset in assets}
    return {"WETH": weth * 10**18, "USDC": weth * 10**6 * usd["WETH"] // usd["USDC"]}


def _hand_out(queue: Queue, assets: Sequence[_Asset], tokens: dict[str, Address]) -> None:
    actors = (ROLES.liquidator, ROLES.arbitrageur)
    in_pool = _worth(assets, _FULL_RANGE_WETH + _NARROW_WETH)
    for asset in assets:
        token, unit = tokens[asset.symbol], 10**asset.decimals
        own, share = asset.supplied * unit + in_pool.get(asset.symbol, 0), asset.actors_hold * unit
        if asset.symbol == "WETH":
            queue.call(token, "deposit()", value=own + len(actors) * share)
            for actor in actors:
                queue.call(token, "transfer(address,uint256)", actor, share)
        else:
            for holder, amount in ((ROLES.deployer, own), *((actor, share) for actor in actors)):
                queue.call(token, "mint(address,uint256)", holder, amount)


def _supply_and_borrow(
    queue: Queue, assets: Sequence[_Asset], tokens: dict[str, Address], market: Aave
) -> None:
    who = ROLES.deployer
    for asset in assets:
        token, amount = tokens[asset.symbol], asset.supplied * 10**asset.decimals
        queue.call(token, "approve(address,uint256)", market.pool, MAX_UINT)
        queue.call(market.pool, "supply(address,uint256,address,uint16)", token, amount, who, 0)
    for asset in assets:
        if asset.borrowed:
            amount = asset.borrowed * 10**asset.decimals
            signature = "borrow(address,uint256,uint256,uint16,address)"
            queue.call(market.pool, signature, tokens[asset.symbol], amount, _VARIABLE_RATE, 0, who)


def _provide_liquidity(
    queue: Queue, assets: Sequence[_Asset], tokens: dict[str, Address], exchange: Uniswap
) -> None:
    full, narrow = (
        {tokens[symbol]: amount for symbol, amount in _worth(assets, weth).items()}
        for weth in (_FULL_RANGE_WETH, _NARROW_WETH)
    )
    for token in full:
        queue.call(token, "approve(address,uint256)", exchange.position_manager, MAX_UINT)
    uniswap_v3.open_pool(queue, exchange, full, POOL_FEE)
    (_, amount0), (_, amount1) = sorted(full.items(), key=lambda item: int(item[0], 16))
    spacing = uniswap_v3.TICK_SPACING[POOL_FEE]
    middle = round(math.log(amount1 / amount0, 1.0001) / spacing) * spacing
    around = (middle - _NARROW_TICKS, middle + _NARROW_TICKS)
    uniswap_v3.add_liquidity(queue, exchange, full, POOL_FEE, ROLES.deployer)
    uniswap_v3.add_liquidity(queue, exchange, narrow, POOL_FEE, ROLES.deployer, around)


def _what_came_out(
    node: Node, exchange: Uniswap, market: Aave, listings: Sequence[Listing]
) -> tuple[Address, tuple[Reserve, ...]]:
    """The addresses the contracts themselves chose; they also show that the proxies stand where they were computed."""
    token_of = {listing.symbol: listing.token for listing in listings}
    pair = (token_of["WETH"], token_of["USDC"], POOL_FEE)
    tokens_of = ("getReserveTokensAddresses(address)", "(address,address,address)")
    (pool,), (aave_pool,), (configurator,), *rest = call_many(
        node,
        [
            (exchange.factory, "getPool(address,address,uint24)", "(address)", pair),
            (market.addresses_provider, "getPool()", "(address)", ()),
            (market.addresses_provider, "getPoolConfigurator()", "(address)", ()),
            *((market.data_provider, *tokens_of, (listing.token,)) for listing in listings),
        ],
    )
    if (aave_pool, configurator) != (market.pool, market.configurator):
        raise Misconfigured(f"devnet: Aave's pool stands at {aave_pool} and not at {market.pool}")
    reserves = tuple(
        Reserve(listing.symbol, listing.decimals, listing.token, listing.feed, a_token, debt_token)
        for listing, (a_token, _, debt_token) in zip(listings, rest, strict=True)
    )
    return pool, reserves
