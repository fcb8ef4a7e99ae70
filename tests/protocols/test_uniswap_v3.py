"""Pools where Uniswap put them, and quotes beside what the pool itself would charge."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.world import Reserve, World
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


@dataclass(frozen=True)
class Sale:
    """The devnet's pool, seen as a sale of one of its tokens."""

    world: World
    sold: Reserve
    bought: Reserve

    @property
    def pool(self) -> PoolState:
        sqrt_price = self.world.pool_sqrt_price()
        (liquidity,) = self.world.call(self.world.pool, "liquidity()", "(uint128)")
        return PoolState(500, sqrt_price, liquidity, int(self.sold.token, 16) < int(self.bought.token, 16))

    def charged(self, wanted: int) -> int:
        trade = (self.sold.token, self.bought.token, wanted, 500, 0)
        charged, *_ = self.world.call(
            self.world.uniswap.quoter, QUOTE, "(uint256,uint160,uint32,uint256)", trade
        )
        return int(charged)

    def dollars(self, amount: int) -> int:
        """So much of what is bought, in its own units."""
        return amount * 10**self.bought.decimals * 10**8 // self.world.price(self.bought.symbol)


@pytest.fixture(params=["WETH", "USDC"])
def sale(request: pytest.FixtureRequest, world: World) -> Sale:
    reserves = (world.weth, world.usdc)
    return Sale(world, *(reserves if request.param == "WETH" else reserves[::-1]))


def test_exact_output_cost__a_common_size__is_what_the_pool_charges_to_the_wei(sale: Sale) -> None:
    pool = sale.pool

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.integers(1, 1_000), st.integers(1, sale.dollars(9_000_000))))
    def alike(wanted: int) -> None:
        assert exact_output_cost_up(pool, wanted) == sale.charged(wanted)

    alike()


def test_exact_output_cost__a_size_that_moves_the_price_far__is_a_few_units_short_of_the_charge(
    sale: Sale,
) -> None:
    """The pool looks for the next tick 256 spacings at a time, and rounds in its own favour at each stop."""
    pool = sale.pool

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(sale.dollars(10_000_000), sale.dollars(60_000_000)))
    def near(wanted: int) -> None:
        cost = exact_output_cost_up(pool, wanted)
        few_units = exact_output_cost_up(pool, 5)
        assert cost is not None
        assert few_units is not None
        assert 0 <= sale.charged(wanted) - cost <= 2 * few_units

    near()


@given(
    sqrt_price=st.integers(4295128740, 2**160 - 1),
    liquidity=st.integers(0, 2**128 - 1),
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
    assert exact_output_cost_up(PoolState(500, 2**96, 0, is_token0), 1) is None
