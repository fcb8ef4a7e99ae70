"""A loan, the rule its owner wrote for it, and what the keeper sees of both at one block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.domain.blocks import Block
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, NO_DEBT, NOBODY, Address
from keeper.domain.verdicts import Measure


@dataclass(frozen=True, slots=True)
class Band:
    """In basis points (10_000 is 1): act below the floor or above the ceiling, land on the target.

    Health factors; or leverages, whose floor is the greatest. A ceiling of 0 is none.
    """

    floor_bps: int
    target_bps: int
    ceiling_bps: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What an action may cost, how large and how often it may be, until when, and by whom (`NOBODY`: by anyone).

    `slippage_bps` of the value sold; `cooldown` in seconds; `max_step` in units of the debt asset; `expiry` in unix
    seconds.
    """

    slippage_bps: int
    cooldown: int
    max_step: int
    expiry: int
    keeper: Address


@dataclass(frozen=True, slots=True)
class Terms:
    """What an owner may add to a rule; as it stands here, nothing.

    `borrow_step` and `urgent_step` in units of the debt asset, 0 to borrow never and to grow no step; `speed_bps` is
    how much of the way to the target one step goes, 0 for all of it; `hold` in seconds. A floor with a `highest_bps`
    rises to it as the price of `feed` moves more: it bears `sigmas_bps` standard deviations over `horizon` seconds. The
    others are the `Limits` of contracts/interfaces/ILimits.vyi, where 0 is none; values in Aave's base currency.
    """

    in_leverage: bool = False
    borrow_step: int = 0
    speed_bps: int = 0
    hold: int = 0
    urgent_step: int = 0
    urgent_slippage_bps: int = 0
    daily: int = 0
    gas_cap: int = 0
    public_bps: int = 0
    bounty_bps: int = 0
    bounty_cap: int = 0
    budget: int = 0
    window: int = 0
    highest_bps: int = 0
    sigmas_bps: int = 0
    horizon: int = 0
    feed: Address = NOBODY


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class LoanRule:
    """An owner's on-chain threshold for one loan: sell `collateral` to repay `debt`, or borrow `debt` to buy it.

    `sigma` is the volatility that its band follows, WAD a year, and no part of what was written: 0 is not known.
    """

    collateral: Address
    debt: Address
    band: Band
    limits: Limits
    terms: Terms = PLAIN
    sigma: int = 0

    @property
    def borrows(self) -> bool:
        """Whether it ever does, which takes a ceiling and a step."""
        return bool(self.band.ceiling_bps and self.terms.borrow_step)


@dataclass(frozen=True, slots=True)
class Loan:
    """An account as Aave values it: base currency (USD, 8 decimals), thresholds in bps, health in WAD."""

    collateral_base: int
    debt_base: int
    threshold_bps: int
    health: int


def health_measure(health_wad: int | None) -> Measure:
    """A health factor as the measure of a loan; without debt it has no bound."""
    return Measure("health", health_wad, 18, NO_DEBT)


@dataclass(frozen=True, slots=True)
class Sight:
    """One rule and its loan at one block; `rule` is None when none is set, `loan` None when Aave could not value it.

    While `owes_terms` the rule's terms have not been read yet.
    """

    key: RuleKey
    rule: LoanRule | None
    last_acted: int
    loan: Loan | None
    owes_terms: bool = False


@dataclass(frozen=True, slots=True)
class PoolState:
    """A Uniswap V3 pool: fee in millionths, `sqrt_price` Q64.96 of token1 per token0, liquidity in range."""

    fee: int
    sqrt_price: int
    liquidity: int
    collateral_is_token0: bool


@dataclass(frozen=True, slots=True)
class LoanMarket:
    """What sizing one loan's action needs: oracle prices (8 decimals), token units, the sold asset's threshold.

    Prices, threshold and bonus are those by which the account counts, which in an e-mode may be the mode's.

    `repayable` is what one action may repay of the account's variable debt in the rule's debt asset, in its units;
    `bonus_bps` what a liquidator takes of the sold asset for what is repaid, 10,500 for a twentieth more.
    """

    collateral_price: int
    debt_price: int
    collateral_unit: int
    debt_unit: int
    collateral_threshold_bps: int
    repayable: int
    pools: tuple[PoolState, ...]
    bonus_bps: int = BPS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a turn judges, read at one block; `price_ages` in seconds, None for a feed that tells no time."""

    block: Block
    sights: tuple[Sight, ...]
    price_ages: Mapping[Address, int | None]
