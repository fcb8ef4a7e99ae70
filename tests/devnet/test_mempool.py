"""The hostile mempool at work on a real pool: it holds back, outbids, sandwiches, and counts what it did."""

from __future__ import annotations

import pytest

from keeper.devnet.actors import SWAP
from keeper.devnet.mempool import SANDWICHER, Hostile
from keeper.devnet.transactions import calldata
from keeper.devnet.world import POOL_FEE, World
from keeper.domain.units import GWEI

NEVER = 2**255
FEE = 20 * GWEI


def offer_swap(world: World, least_usdc: int, cap: int = 2 * FEE) -> str:
    """A sale of 100 WETH for at least so many dollars, left in the mempool by the keeper's account."""
    who = world.roles.keeper
    terms = (world.weth.token, world.usdc.token, POOL_FEE, who, NEVER, 100 * 10**18, least_usdc * 10**6, 0)
    sale = {"from": who, "to": world.uniswap.swap_router, "data": calldata(SWAP, terms), "gas": hex(10**6)}
    fees = {"maxFeePerGas": hex(cap), "maxPriorityFeePerGas": hex(GWEI)}
    sent: str = world.node.ask("eth_sendTransaction", {**sale, **fees})
    return sent


@pytest.fixture
def seller(world: World) -> World:
    """A keeper's account with WETH to sell, in a world whose blocks wait to be mined."""
    world.give("WETH", world.roles.keeper, 500)
    world.approve(world.roles.keeper, world.weth.token, world.uniswap.swap_router)
    return world


def mined_in(world: World, sent: str) -> int | None:
    found = world.node.ask("eth_getTransactionReceipt", sent)
    return None if found is None else int(found["blockNumber"], 16)


def test_a_hostile_mempool__of_what_waits__holds_it_back_and_then_prices_it_out(seller: World) -> None:
    mempool = Hostile(seller, seller.roles.keeper, hold=2, outbid=1)
    seller.automine(False)
    sent = offer_swap(seller, 0)
    begun = seller.node.head().number
    fees = []
    for _ in range(4):
        mempool.mine(FEE)
        fees.append(seller.node.head().base_fee)
    assert mined_in(seller, sent) == begun + 4, "held for two blocks, outbid in one"
    assert fees == [FEE, FEE, 3 * FEE, FEE]
    assert (mempool.held, mempool.outbids) == (1, 1)


def test_a_sandwich__around_a_swap_with_room__takes_from_it_and_puts_the_pool_back(seller: World) -> None:
    mempool = Hostile(seller, seller.roles.keeper, hold=0, outbid=0)
    seller.automine(False)
    pool = seller.pool_sqrt_price()
    sent = offer_swap(seller, 198_800)
    before = seller.balance("USDC", seller.roles.keeper)
    mempool.mine(FEE)
    assert mined_in(seller, sent) == seller.node.head().number
    got = (seller.balance("USDC", seller.roles.keeper) - before) / 10**6
    assert 198_800 <= got < 199_600, "a sale in peace brings some 199,850"
    assert seller.pool_sqrt_price() == pool
    assert (mempool.sandwiched, mempool.spared) == (1, 0)
    assert -30.0 < mempool.taken < 0.0, "in so deep a pool its fees are more than the sale leaves behind"
    order = [tx["from"] for tx in seller.node.ask("eth_getBlockByNumber", "latest", True)["transactions"]]
    assert [who.lower() for who in order] == [
        each.lower() for each in (SANDWICHER, seller.roles.keeper, SANDWICHER)
    ]


def test_a_sandwich__around_a_swap_without_room__is_not_laid(seller: World) -> None:
    mempool = Hostile(seller, seller.roles.keeper, hold=0, outbid=0)
    seller.automine(False)
    sent = offer_swap(seller, 199_800)
    mempool.mine(FEE)
    assert mined_in(seller, sent) == seller.node.head().number
    assert (mempool.sandwiched, mempool.spared, mempool.taken) == (0, 1, 0.0)


def test_a_hostile_mempool__of_what_others_send__lets_it_pass(seller: World) -> None:
    mempool = Hostile(seller, seller.roles.stranger)
    seller.automine(False)
    sent = offer_swap(seller, 0)
    mempool.mine(FEE)
    assert mined_in(seller, sent) == seller.node.head().number
    assert (mempool.held, mempool.outbids, mempool.sandwiched) == (0, 0, 0)
