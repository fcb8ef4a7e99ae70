"""What an account holds in a lending pool, in shares that only events change, and the market that values them.

Source: Aave V3 `UserConfiguration` for the bits in use, `ReserveConfiguration` and `EModeConfiguration` for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keeper.domain.units import Address

MOST_RESERVES = 128
"""As many reserves fit the bits of an account."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Scaled balances: `collateral` and `debt` by a reserve's id, in its token's smallest unit at an index of one.

    They are of exactly the reserves in use, even where nothing is left. `is_whole` is False when there is something
    besides that no index values, such as debt at a stable rate.
    """

    mode: int
    collateral: tuple[tuple[int, int], ...]
    debt: tuple[tuple[int, int], ...]
    is_whole: bool = True

    @property
    def combination(self) -> tuple[int, int]:
        """The reserves in use, two bits each, and the e-mode: what decides by which sums it is valued."""
        used = sum(2 << 2 * id_ for id_, _ in self.collateral) | sum(1 << 2 * id_ for id_, _ in self.debt)
        return used, self.mode


@dataclass(frozen=True, slots=True)
class Listing:
    """A reserve at one block: price in the base currency's smallest unit, None when there is none; indexes in ray.

    `category` is the e-mode it belongs to where a reserve has at most one.
    """

    id: int
    asset: Address
    a_token: Address
    variable_debt: Address
    stable_debt: Address
    unit: int
    threshold_bps: int
    category: int
    income: int
    debt_index: int
    price: int | None


@dataclass(frozen=True, slots=True)
class Category:
    """An e-mode at one block: `members` has a bit for each reserve that is its collateral, where modes are such lists.

    `source` is whose price all its reserves have, if it is one; `price` is None when there is none to be had.
    """

    threshold_bps: int
    members: int
    source: Address | None
    price: int | None


@dataclass(frozen=True, slots=True)
class LendingMarket:
    """What everybody sees of a pool at one block.

    `rounds_apart` is how Aave has rounded since 3.6: collateral down, debt up, and no average of thresholds on the way.
    """

    rounds_apart: bool
    listings: Mapping[int, Listing]
    categories: Mapping[int, Category]

    def counted(self, mode: int, listing: Listing) -> tuple[int | None, int]:
        """The price and the threshold in bps by which a reserve counts for accounts in an e-mode."""
        category = self.categories.get(mode)
        if mode == 0 or category is None:
            return listing.price, listing.threshold_bps
        is_member = category.members >> listing.id & 1 == 1 if self.rounds_apart else listing.category == mode
        if not is_member:
            return listing.price, listing.threshold_bps
        price = listing.price if category.source is None else category.price
        return price, category.threshold_bps

    def knows(self, mode: int) -> bool:
        """Whether accounts in an e-mode can be valued, which they cannot while its own price is missing."""
        category = self.categories.get(mode)
        return mode == 0 or (category is not None and (category.source is None or category.price is not None))


def bits(used: int) -> Iterator[tuple[int, bool, bool]]:
    """Each reserve in use: its id, whether it is owed, and whether it is collateral."""
    id_ = 0
    while used:
        if used & 3:
            yield id_, bool(used & 1), bool(used & 2)
        used >>= 2
        id_ += 1
