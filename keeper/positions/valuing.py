"""What a position and its assets are worth as a plan is made, of what was read for the plan anyhow.

A loan is valued by Aave's oracle and a basket by its feeds, in dollars; a range, which knows no feed, by its own pool
and in the second of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from keeper.domain.baskets import Line, worth
from keeper.domain.loans import Loan, LoanMarket
from keeper.domain.plans import Asset, Move, Spot, Valuation
from keeper.domain.ranges import Range, RangeMarket
from keeper.domain.units import BASE, WAD, Address, mul_div_down
from keeper.protocols.liquidity import held_down, worth_down
from keeper.protocols.ticks import sqrt_price_at
from keeper.size.reweigh import Trade, Venues

_DOLLARS: Final = "USD"
_WAD_PER_BASE: Final = WAD // BASE
_Q192: Final = 2**192
_WORTH: Final = 2**64


def loan_valued(
    loan: Loan, market: LoanMarket, collateral: Asset, debt: Asset, swap: Move | None
) -> Valuation:
    """A loan by its net worth; `swap` is the move that goes through a pool, with that pool's fee."""
    prices = (collateral, market.collateral_price), (debt, market.debt_price)
    spots: tuple[Spot, ...] = ()
    if swap is not None:
        pair = (collateral, debt) if swap.verb == "sell" else (debt, collateral)
        spots = tuple(
            Spot(pair[0].address, pair[1].address, pool.fee, pool.sqrt_price)
            for pool in market.pools
            if pool.fee == swap.fee
        )
    return Valuation(
        money=_DOLLARS,
        worth=(loan.collateral_base - loan.debt_base) * _WAD_PER_BASE,
        prices=tuple((asset, price * _WAD_PER_BASE) for asset, price in prices),
        spots=spots,
    )


def basket_valued(
    lines: Sequence[Line], book: Mapping[Address, Asset], trades: Sequence[Trade], venues: Venues
) -> Valuation:
    """A basket by all its lines."""
    return Valuation(
        money=_DOLLARS,
        worth=worth(lines),
        prices=tuple((book[line.token], line.price) for line in lines),
        spots=tuple(
            Spot(trade.sell, trade.buy, trade.fee, venue.price)
            for trade in trades
            for venue in venues[frozenset((trade.sell, trade.buy))]
            if venue.fee == trade.fee
        ),
    )


def range_valued(
    held: Range, market: RangeMarket, pair: tuple[Asset, Asset], sells_token0: bool
) -> Valuation:
    """A range by what closing it would bring, fees included, at its pool's price."""
    token0, token1 = pair
    inside = sqrt_price_at(held.edges.lower), sqrt_price_at(held.edges.upper)
    out = held_down(held.liquidity, market.price, *inside)
    amount0, amount1 = (amount + fee for amount, fee in zip(out, held.fees, strict=True))
    worth_1 = worth_down(amount0, amount1, market.price)
    price = mul_div_down(market.price**2 * 10**token0.decimals, WAD, _Q192 * 10**token1.decimals)
    sold, bought = pair if sells_token0 else (token1, token0)
    return Valuation(
        money=token1.symbol,
        worth=mul_div_down(worth_1, WAD, _WORTH * 10**token1.decimals),
        prices=((token0, price), (token1, WAD)),
        spots=(Spot(sold.address, bought.address, held.fee, market.price),),
    )
