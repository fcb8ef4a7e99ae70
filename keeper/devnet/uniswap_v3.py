"""Uniswap V3 as deployed: factory, position manager, both routers, quoter, tick lens, and pools at a price.

Source: the bytecode in @uniswap/v3-core 1.0.1, v3-periphery 1.4.4 and swap-router-contracts 1.3.1. The pool's init
code hash is the one the periphery has built in, so nothing is patched.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Final

from keeper.devnet.artifacts import from_package
from keeper.devnet.transactions import Queue
from keeper.domain.units import NOBODY, Address

TICK_SPACING: Final = {100: 1, 500: 10, 3000: 60, 10000: 200}
"""By fee in millionths; the 0.01 % tier is enabled after deployment, as it was on mainnet."""
_MAX_TICK: Final = 887272
_NEVER: Final = 2**255

_CORE: Final = {"UniswapV3Factory": ""}
_PERIPHERY: Final = {
    "NFTDescriptor": "libraries",
    "NonfungibleTokenPositionDescriptor": "",
    "NonfungiblePositionManager": "",
    "SwapRouter": "",
    "TickLens": "lens",
}
_ROUTERS: Final = {"SwapRouter02": "", "QuoterV2": "lens"}


@dataclass(frozen=True, slots=True)
class Uniswap:
    """Where Uniswap V3's contracts stand."""

    factory: Address
    position_manager: Address
    swap_router: Address
    swap_router_02: Address
    quoter: Address
    tick_lens: Address


def deploy(queue: Queue, weth: Address) -> Uniswap:
    """Queue the deployment of all of it."""
    core = from_package("@uniswap/v3-core", _CORE)
    periphery = from_package("@uniswap/v3-periphery", _PERIPHERY)
    routers = from_package("@uniswap/swap-router-contracts", _ROUTERS)
    factory = queue.create(core("UniswapV3Factory"))
    queue.call(factory, "enableFeeAmount(uint24,int24)", 100, TICK_SPACING[100])
    drawing = queue.create(periphery("NFTDescriptor"))
    descriptor = queue.create(
        periphery("NonfungibleTokenPositionDescriptor"), weth, b"ETH".ljust(32, b"\0"), NFTDescriptor=drawing
    )
    manager = queue.create(periphery("NonfungiblePositionManager"), factory, weth, descriptor)
    return Uniswap(
        factory=factory,
        position_manager=manager,
        swap_router=queue.create(periphery("SwapRouter"), factory, weth),
        # No Uniswap V2 stands here, so its router half leads nowhere.
        swap_router_02=queue.create(routers("SwapRouter02"), NOBODY, factory, manager, weth),
        quoter=queue.create(routers("QuoterV2"), factory, weth),
        tick_lens=queue.create(periphery("TickLens")),
    )


def create_router(queue: Queue, factory: Address, weth: Address) -> Address:
    """Queue a swap router of our own for pools that stand already."""
    return queue.create(from_package("@uniswap/v3-periphery", _PERIPHERY)("SwapRouter"), factory, weth)


def sqrt_price(amount0: int, amount1: int) -> int:
    """The pool's square root price (Q64.96, rounded down) at which `amount0` of token0 is worth `amount1` of token1."""
    return isqrt((amount1 << 192) // amount0)


def open_pool(queue: Queue, uniswap: Uniswap, amounts: dict[Address, int], fee: int) -> None:
    """Queue a pool of two tokens in which the two amounts (of the smallest unit) are worth the same."""
    (token0, amount0), (token1, amount1) = sorted(amounts.items(), key=lambda item: int(item[0], 16))
    queue.call(
        uniswap.position_manager,
        "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
        *(token0, token1, fee, sqrt_price(amount0, amount1)),
    )


def add_liquidity(
    queue: Queue,
    uniswap: Uniswap,
    amounts: dict[Address, int],
    fee: int,
    recipient: Address,
    ticks: tuple[int, int] | None = None,
) -> None:
    """Queue a position holding at most the two amounts between two ticks, or over the full range.

    Assumes: the queue's sender holds both and has approved the position manager.
    """
    (token0, amount0), (token1, amount1) = sorted(amounts.items(), key=lambda item: int(item[0], 16))
    spacing = TICK_SPACING[fee]
    widest = _MAX_TICK // spacing * spacing
    lower, upper = ticks or (-widest, widest)
    queue.call(
        uniswap.position_manager,
        "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))",
        (token0, token1, fee, lower, upper, amount0, amount1, 0, 0, recipient, _NEVER),
    )
