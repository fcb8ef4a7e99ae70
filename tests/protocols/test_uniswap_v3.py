"""Pools where Uniswap put them, and quotes beside what the pool itself would charge."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.world import SLOT0, World
from keeper.domain.loans import PoolState
from keeper.domain.units import Address
from keeper.protocols.uniswap_v3 import FEE_TIERS, exact_output_cost_up, pool_address

USDC = Address("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
WETH = Address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
FACTORY = Address("0x1F98431c8aD98523631AE4a59f267346ea31F984")
QUOTE = "quoteExactOutputSingle((address,address,uint256,uint24,uint160))"


@pytest.mark.parametrize(
    ("fee", "pool"),
    [
        (500, "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"),
        (3000, "0x8ad599c3A0ff1De082011EFDDc58f1908eb6e6D8"),
    ],
)
def test_pool_address__usdc_and_weth_on_mainnet__is_the_pool_everyone_knows(fee: int, pool: str) -> None:
    assert pool_address(FACTORY, USDC, WETH, fee) == pool
    assert pool_address(FACTORY, WETH, USDC, fee) == pool, "whichever is named first"


def test_pool_address__on_a_factory_of_its_own__is_where_that_factory_put_it(world: World) -> None:
    pair = (world.weth.token, world.usdc.token)
    assert pool_address(world.uniswap.factory, *pair, 500) == world.pool
    assert len({pool_address(world.uniswap.factory, *pair, fee) for fee in FEE_TIERS}) == len(FEE_TIERS)


@pytest.mark.parametrize("sells", ["WETH", "USDC"])
def test_exact_output_cost__inside_the_range__is_what_the_pool_charges_to_the_wei(
    world: World, sells: str
) -> None:
    sold, bought = (world.weth, world.usdc) if sells == "WETH" else (world.usdc, world.weth)
    sqrt_price = world.call(world.pool, "slot0()", SLOT0)[0]
    (liquidity,) = world.call(world.pool, "liquidity()", "(uint128)")
    pool = PoolState(500, sqrt_price, liquidity, int(sold.token, 16) < int(bought.token, 16))
    # A tenth of what lies inside the narrow position, which reaches 8,000 ticks either way.
    most = 15 * 10**12 if bought is world.usdc else 7_000 * 10**18

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.integers(1, 1_000), st.integers(1, most)))
    def alike(wanted: int) -> None:
        charged, *_ = world.call(
            world.uniswap.quoter,
            QUOTE,
            "(uint256,uint160,uint32,uint256)",
            (sold.token, bought.token, wanted, 500, 0),
        )
        assert exact_output_cost_up(pool, wanted) == charged

    alike()


@given(
    sqrt_price=st.integers(4295128740, 2**160 - 1),
    liquidity=st.integers(1, 2**128 - 1),
    wanted=st.integers(1, 2**96 - 1),
    fee=st.sampled_from(FEE_TIERS),
    is_token0=st.booleans(),
)
def test_exact_output_cost__any_pool__is_none_or_an_amount_a_pool_may_ask_that_grows_with_the_output(
    sqrt_price: int, liquidity: int, wanted: int, fee: int, is_token0: bool
) -> None:
    pool = PoolState(fee, sqrt_price, liquidity, is_token0)
    cost = exact_output_cost_up(pool, wanted)
    assert cost is None or 0 < cost < 2**128 * 1_000_000 // (1_000_000 - fee) + 2
    one_more = exact_output_cost_up(pool, wanted + 1)
    assert one_more is None or (cost is not None and cost <= one_more)


@pytest.mark.parametrize("is_token0", [True, False])
def test_exact_output_cost__more_than_the_range_holds__is_none(is_token0: bool) -> None:
    # At a price of 1, liquidity L holds L of either token when its range has no end.
    pool = PoolState(500, 2**96, 10**18, is_token0)
    assert exact_output_cost_up(pool, 10**18) is None
    assert exact_output_cost_up(pool, 10**17) is not None
