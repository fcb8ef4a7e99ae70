"""One price in three words: a rule's own, a pool's, and the mean of that pool."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain.units import BPS, Address


@dataclass(frozen=True, slots=True)
class Quote:
    """What one smallest unit of `sold` is worth in those of `bought`, each price times 2**128.

    `believed` is what the rule goes by, `spot` what the pool gives at the margin, and `mean` what it gave over the
    seconds asked for, None where it keeps no such record.
    """

    sold: Address
    bought: Address
    pool: Address
    believed: int
    spot: int
    mean: int | None

    @property
    def apart_bps(self) -> int:
        """How far the pool is from what is believed, below it negative, by the nearer of its two prices and rounded
        towards it; 0 where one is below and one above, or where there is no mean to bear the spot out.
        """
        if self.mean is None or self.believed <= 0:
            return 0
        low, high = sorted((self.spot, self.mean))
        if low > self.believed:
            return (low - self.believed) * BPS // self.believed
        if high < self.believed:
            return -((self.believed - high) * BPS // self.believed)
        return 0
