# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Basket rules as words: three, and two for each asset
@custom:contract-name basket_words
@license MIT
@notice Packed by hand, most significant first. The first two words are `limits.vy`'s A and B; the third is

            max_step in dollars (32) | assets (8) | relative (8) | destination_bps (16) | cap_bps (16)
            | sigmas_bps (16) | horizon in hours (16) | spot_bps (16) | full_bps (16) | `limits.vy`'s state (112)

        and for each asset

            token (160) | target_bps (16) | band_bps (16) | widest_bps (16) | low (48)
            feed (160) | max_age (24) | high (56) | decimals of the token (8) | free (8)

        A value that does not fit its place is refused, never cut. An unset rule has no words, and the third is 0.
"""

from ethereum.ercs import IERC20Detailed

from . import limits
from . import prices
from .interfaces import IBasketThresholds
from .interfaces import ILimits


MOST_ASSETS: constant(uint256) = 8
MOST_WORDS: constant(uint256) = 19

_BPS: constant(uint256) = 10_000
_MAX_SPOT_BPS: constant(uint256) = 1_000
_MAX_DECIMALS: constant(uint8) = 36
_HOUR: constant(uint256) = 3_600
_CENTI: constant(uint256) = 10**10      # from 8 decimals to WAD
_MASK_8: constant(uint256) = 2**8 - 1
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_48: constant(uint256) = 2**48 - 1
_MASK_56: constant(uint256) = 2**56 - 1


@internal
@view
def _validate(rule: IBasketThresholds.Rule, measured: bool):
    """
    @dev `measured` says whether a band can follow volatility here.
    """
    limits._validate(rule.limits)
    why: String[64] = ""
    if len(rule.assets) < 2:
        why = "rule: fewer than two assets"
    elif rule.destination_bps > _BPS:
        why = "rule: destination is outside the band"
    elif rule.cap_bps > _BPS:
        why = "rule: cap is above the whole"
    elif rule.max_step == 0:
        why = "rule: max_step is zero"
    elif rule.spot_bps == 0:
        why = "rule: spot is zero"
    elif rule.spot_bps > _MAX_SPOT_BPS:
        why = "rule: spot is above 1000 bps"
    elif rule.full_bps <= _BPS:
        why = "rule: full urgency is not beyond the band"
    elif (rule.sigmas_bps == 0) != (rule.horizon == 0):
        why = "rule: only sigmas, or only a horizon"
    elif rule.sigmas_bps != 0 and not measured:
        why = "rule: no volatility is measured here"
    whole: uint256 = 0
    for asset: IBasketThresholds.Asset in rule.assets:
        times: uint256 = 0
        for other: IBasketThresholds.Asset in rule.assets:
            times += convert(other.token == asset.token, uint256)
        if times != 1:
            why = "rule: an asset is there twice"
        elif asset.target_bps == 0:
            why = "rule: a target is zero"
        elif asset.target_bps >= rule.cap_bps:
            why = "rule: a target is not below the cap"
        elif asset.band_bps == 0:
            why = "rule: a band is zero"
        elif asset.band_bps > asset.widest_bps:
            why = "rule: a band is wider than its widest"
        elif asset.widest_bps > _BPS:
            why = "rule: a band is wider than the whole"
        elif rule.sigmas_bps == 0 and asset.band_bps != asset.widest_bps:
            why = "rule: a fixed band has two widths"
        elif asset.low == 0:
            why = "rule: a price's lower bound is zero"
        assert why == "", why
        # A wrong feed is found out today, not on the day it is needed.
        assert prices._price(self._source(asset)) != 0
        whole += asset.target_bps
    assert whole == _BPS, "rule: the targets do not make a whole"


@internal
@view
def _pack(rule: IBasketThresholds.Rule) -> DynArray[uint256, MOST_WORDS]:
    """
    @dev With an empty state; reverts when something does not fit.
    """
    packed: limits.Words = limits._pack(rule.limits)
    words: DynArray[uint256, MOST_WORDS] = [
        packed.a,
        packed.b,
        (
            (rule.max_step << 224)
            | (len(rule.assets) << 216)
            | (convert(rule.relative, uint256) << 208)
            | (rule.destination_bps << 192)
            | (rule.cap_bps << 176)
            | (rule.sigmas_bps << 160)
            | ((rule.horizon // _HOUR) << 144)
            | (rule.spot_bps << 128)
            | (rule.full_bps << 112)
        ),
    ]
    for asset: IBasketThresholds.Asset in rule.assets:
        decimals: uint8 = staticcall IERC20Detailed(asset.token).decimals()
        assert decimals <= _MAX_DECIMALS, "rule: a token has more than 36 decimals"
        words.append(
            (convert(asset.token, uint256) << 96)
            | (asset.target_bps << 80)
            | (asset.band_bps << 64)
            | (asset.widest_bps << 48)
            | asset.low
        )
        words.append(
            (convert(asset.feed, uint256) << 96)
            | (asset.max_age << 72)
            | (asset.high << 16)
            | (convert(decimals, uint256) << 8)
        )
    # One comparison for whatever does not fit.
    kept: IBasketThresholds.Rule = self._unpack(words)
    assert keccak256(abi_encode(kept)) == keccak256(abi_encode(rule)), "rule: a value does not fit its place"
    return words


@internal
@pure
def _unpack(words: DynArray[uint256, MOST_WORDS]) -> IBasketThresholds.Rule:
    if len(words) == 0:
        return empty(IBasketThresholds.Rule)
    c: uint256 = words[2]
    rule: IBasketThresholds.Rule = IBasketThresholds.Rule(
        assets=[],
        relative=(c >> 208) & _MASK_8 == 1,
        destination_bps=(c >> 192) & _MASK_16,
        cap_bps=(c >> 176) & _MASK_16,
        max_step=c >> 224,
        spot_bps=(c >> 128) & _MASK_16,
        full_bps=(c >> 112) & _MASK_16,
        sigmas_bps=(c >> 160) & _MASK_16,
        horizon=((c >> 144) & _MASK_16) * _HOUR,
        limits=limits._unpack(limits.Words(a=words[0], b=words[1])),
    )
    for i: uint256 in range(self._assets_in(c), bound=MOST_ASSETS):
        rule.assets.append(self._asset(words[3 + 2 * i], words[4 + 2 * i]))
    return rule


@internal
@pure
def _asset(first: uint256, second: uint256) -> IBasketThresholds.Asset:
    return IBasketThresholds.Asset(
        token=convert(first >> 96, address),
        feed=convert(second >> 96, address),
        max_age=(second >> 72) & _MASK_24,
        low=first & _MASK_48,
        high=(second >> 16) & _MASK_56,
        target_bps=(first >> 80) & _MASK_16,
        band_bps=(first >> 64) & _MASK_16,
        widest_bps=(first >> 48) & _MASK_16,
    )


@internal
@pure
def _unit(second: uint256) -> uint256:
    """
    @dev Of an asset's token, from the second of its words.
    """
    return 10 ** ((second >> 8) & _MASK_8)


@internal
@pure
def _assets_in(c: uint256) -> uint256:
    return (c >> 216) & _MASK_8


@internal
@pure
def _source(asset: IBasketThresholds.Asset) -> prices.Source:
    return prices.Source(
        feed=asset.feed, max_age=asset.max_age, low=asset.low * _CENTI, high=asset.high * _CENTI
    )
