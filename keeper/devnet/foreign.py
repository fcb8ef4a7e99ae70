"""A world that others founded, as a fork shows it, with what a scenario needs put in its place on the fork alone.

What the contracts themselves say is all that is asked: where Aave and Uniswap stand, which reserves there are, who
prices them. Then, on the fork: feeds are overwritten by ones that can be set and go on where those stopped, the actors
get purses and a router of their own. The chain that was forked never hears of it.

Assumes: Anvil, a fork, and an Aave V3 market whose prices have eight decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from eth_utils.address import to_checksum_address

from keeper.chain.node import Node
from keeper.devnet import uniswap_v3
from keeper.devnet.aave_v3 import Aave
from keeper.devnet.founding import create_feed
from keeper.devnet.transactions import call, call_many, in_one_block
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.devnet.world import MAX_UINT, POOL_FEE, ROLES, Reserve, World
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.units import NOBODY, Address
from keeper.protocols.multicall3 import MULTICALL3

_NEEDED: Final = ("WETH", "USDC")
_PRICE_DECIMALS: Final = 8
# In contracts/Feed.vy; what is written there is read back.
_FEED_SLOTS: Final = 8
_ROUND_SLOT: Final = 5
_PURSE: Final = 10**9
"""In US dollars, of each asset."""
_ROUND: Final = "(uint80,int256,uint256,uint256,uint80)"
_HELD: Final = ("getUserReserveData(address,address)", "(" + "uint256," * 7 + "uint40,bool)")
# EIP-1167's proxy with STATICCALL for DELEGATECALL: it answers what another contract answers.
_ECHO: Final = ("0x363d3d373d3d3d363d73", "5afa3d82803e903d91602b57fd5bf3")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a chain's contracts stand; `NOBODY` for a contract of rules that is not watched, or a manager unknown."""

    provider: Address
    factory: Address
    manager: Address = NOBODY
    thresholds: Address = NOBODY
    range_thresholds: Address = NOBODY
    basket_thresholds: Address = NOBODY


def settle(
    node: Node, url: str, places: Places, owners: Sequence[Address], tokens: Sequence[Address] = ()
) -> World:
    """The fork as a world that a scenario can move: WETH and USDC, and the feeds of whatever `owners` hold besides.

    Those of `tokens` can be set as well, where Aave lists them.

    `Misconfigured` where the market lists no WETH or USDC, or there is no pool of the two.
    """
    for who in asdict(ROLES).values():
        node.ask(
            "anvil_setCode", who, "0x"
        )  # development accounts are everybody's, and some chains have code in them
    world = _surveyed(node, url, places)
    held = _held(world, owners)
    held |= {each.symbol: held.get(each.symbol, False) for each in world.reserves if each.token in tokens}
    world = replace(
        world, reserves=tuple(replace(each, settable=each.symbol in held) for each in world.reserves)
    )
    for reserve in world.reserves:
        if reserve.settable:
            _overwrite(world, reserve)
    _equip(world, held)
    return world


def echo(world: World, feed: Address, reserve: Reserve) -> None:
    """Have another feed of the same asset answer what the reserve's says."""
    world.node.ask("anvil_setCode", feed, reserve.feed[2:].lower().join(_ECHO))


def _surveyed(node: Node, url: str, places: Places) -> World:
    names = ("getPool", "getPoolConfigurator", "getACLManager", "getPriceOracle", "getPoolDataProvider")
    found = call_many(node, [(places.provider, f"{name}()", "(address)", ()) for name in names])
    aave = Aave(places.provider, *(place for (place,) in found))
    listed = call(node, aave.data_provider, "getAllReservesTokens()", "((string,address)[])")[0]
    tokens: dict[str, Address] = {
        symbol: Address(to_checksum_address(token)) for symbol, token in reversed(listed)
    }
    if missing := [symbol for symbol in _NEEDED if symbol not in tokens]:
        raise Misconfigured(f"devnet: the Aave market of this fork lists no {' and no '.join(missing)}")
    reserves = _reserves(node, aave, tokens)
    by = {reserve.symbol: reserve for reserve in reserves}
    pair = (by["WETH"].token, by["USDC"].token, POOL_FEE)
    (pool,) = call(node, places.factory, "getPool(address,address,uint24)", "(address)", *pair)
    if int(pool, 16) == 0:
        raise Misconfigured("devnet: Uniswap V3 has no pool of WETH and USDC at 0.05 % on this fork")
    with in_one_block(node, ROLES.deployer) as queue:
        router = uniswap_v3.create_router(queue, places.factory, by["WETH"].token)
    head, chain_id = node.head(), int(node.ask("eth_chainId"), 16)
    return World(
        url=url,
        chain_id=chain_id,
        aave_version="",
        block=head.number,
        roles=ROLES,
        reserves=reserves,
        aave=aave,
        uniswap=Uniswap(places.factory, places.manager, router, NOBODY, NOBODY, NOBODY),
        pool=pool,
        multicall=MULTICALL3,
        thresholds=places.thresholds,
        range_thresholds=places.range_thresholds,
        basket_thresholds=places.basket_thresholds,
    )


def _reserves(node: Node, aave: Aave, tokens: dict[str, Address]) -> tuple[Reserve, ...]:
    asked: list[tuple[Address, str, str, Sequence[Any]]] = []
    for token in tokens.values():
        asked += [
            (token, "decimals()", "(uint8)", ()),
            (aave.oracle, "getSourceOfAsset(address)", "(address)", (token,)),
            (aave.data_provider, "getReserveTokensAddresses(address)", "(address,address,address)", (token,)),
        ]
    told = iter(call_many(node, asked))
    return tuple(
        Reserve(symbol, decimals, token, Address(feed), Address(a_token), Address(debt_token))
        for (symbol, token), (decimals,), (feed,), (a_token, _, debt_token) in zip(
            tokens.items(), told, told, told, strict=False
        )
    )


def _held(world: World, owners: Sequence[Address]) -> dict[str, bool]:
    """Every reserve that WETH and USDC are or an owner holds, and whether some owner owes it."""
    pairs = [(reserve, owner) for reserve in world.reserves for owner in owners]
    signature, returns = _HELD
    asked = [(world.aave.data_provider, signature, returns, (reserve.token, who)) for reserve, who in pairs]
    found = dict.fromkeys(_NEEDED, True)
    for (reserve, _), (supplied, stable, variable, *_rest) in zip(
        pairs, call_many(world.node, asked) if asked else (), strict=True
    ):
        if supplied or stable or variable:
            found[reserve.symbol] = found.get(reserve.symbol, False) or bool(stable or variable)
    return found


def _overwrite(world: World, reserve: Reserve) -> None:
    """Put a feed that can be set where the reserve's stands; its rounds go on from those there were."""
    node, deployer, price = world.node, world.roles.deployer, world.price(reserve.symbol)
    try:
        before = call(node, reserve.feed, "latestRoundData()", _ROUND)[0]
    except NodeRefused:
        before = 1  # Aave asks only for the answer, and some sources give no more
    with in_one_block(node, deployer) as queue:
        model = create_feed(queue, f"{reserve.symbol} / USD", price)
    node.ask("anvil_setCode", reserve.feed, node.ask("eth_getCode", model, "latest"))
    for slot in range(_FEED_SLOTS):
        value = (
            f"0x{before:064x}"
            if slot == _ROUND_SLOT
            else node.ask("eth_getStorageAt", model, hex(slot), "latest")
        )
        node.ask("anvil_setStorageAt", reserve.feed, f"0x{slot:064x}", value)
    world.send(deployer, reserve.feed, "set(int256)", price)
    after, answer, *_ = call(node, reserve.feed, "latestRoundData()", _ROUND)
    if (after, answer) != (before + 1, world.price(reserve.symbol)):
        raise Misconfigured(f"devnet: the feed of {reserve.symbol} at {reserve.feed} did not become settable")


def _equip(world: World, held: dict[str, bool]) -> None:
    """Purses for the arbitrageur and the liquidator, and leave to spend them."""
    node, roles = world.node, world.roles
    for symbol, owed in held.items():
        reserve = world.reserve(symbol)
        purse = _PURSE * 10 ** (_PRICE_DECIMALS + reserve.decimals) // world.price(symbol)
        if owed:
            node.ask("anvil_dealERC20", roles.liquidator, reserve.token, hex(purse))
            world.approve(roles.liquidator, reserve.token, world.aave.pool, MAX_UINT)
        if symbol in _NEEDED:
            node.ask("anvil_dealERC20", roles.arbitrageur, reserve.token, hex(purse))
            world.approve(roles.arbitrageur, reserve.token, world.uniswap.swap_router, MAX_UINT)
