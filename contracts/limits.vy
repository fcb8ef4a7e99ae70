# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Limits: who may act on a rule, when, how often, and at what cost
@custom:contract-name limits
@license MIT
@notice Explained on `interfaces/ILimits.vyi`. No storage here: a rule's contract keeps the words beside its own, most
        significant first:

            A = keeper (160) | expiry (40) | cooldown (24) | gas_cap in millions of wei (32)
            B = budget (64) | window (24) | slippage_bps (16) | slippage_urgent_bps (16) | public_bps (16)
                | bounty_bps (16) | bounty_cap (64) | daily (8) | free (32)

        and the state in the low 112 bits of any word, whose other bits are left as they are:

            last_acted (40) | spent (64) | count (8)

        A value that does not fit its place is refused, never cut.
@dev `_obstacle` and `_stranger` give the reason, `_may_act` reverts with it: one judgement for `check` and for the act.
"""

from .interfaces import ILimits


struct Words:
    a: uint256
    b: uint256


FULL_URGENCY: constant(uint256) = 10_000
STATE_BITS: constant(uint256) = 112

_BPS: constant(uint256) = 10_000
_MAX_SLIPPAGE_BPS: constant(uint256) = 500
_MAX_URGENT_BPS: constant(uint256) = 1_000
_GAS_UNIT: constant(uint256) = 10**6
_DAY: constant(uint256) = 86_400
_MASK_8: constant(uint256) = 2**8 - 1
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_32: constant(uint256) = 2**32 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_64: constant(uint256) = 2**64 - 1


@internal
@view
def _validate(limits: ILimits.Limits):
    # One comparison for whatever does not fit, and one place that reverts: a reason costs a contract a hundred bytes
    # and more, of which it has 24,576.
    kept: ILimits.Limits = self._unpack(self._pack(limits))
    why: String[64] = ""
    if limits.expiry <= block.timestamp:
        why = "rule: expiry is not in the future"
    elif limits.slippage_bps == 0:
        why = "rule: slippage is zero"
    elif limits.slippage_bps > _MAX_SLIPPAGE_BPS:
        why = "rule: slippage is above 500 bps"
    elif limits.slippage_urgent_bps < limits.slippage_bps:
        why = "rule: urgent slippage is below the ordinary"
    elif limits.slippage_urgent_bps > _MAX_URGENT_BPS:
        why = "rule: urgent slippage is above 1000 bps"
    elif limits.public_bps > FULL_URGENCY:
        why = "rule: public is above full urgency"
    elif limits.bounty_bps >= limits.slippage_bps:
        why = "rule: bounty leaves no slippage to trade with"
    elif (limits.bounty_bps == 0) != (limits.bounty_cap == 0):
        why = "rule: bounty has only a share or only a cap"
    elif limits.bounty_bps != 0 and limits.public_bps == 0:
        why = "rule: bounty without a public level"
    elif limits.budget == 0:
        why = "rule: budget is zero"
    elif limits.window == 0:
        why = "rule: window is zero"
    elif keccak256(abi_encode(kept)) != keccak256(abi_encode(limits)):
        why = "rule: a limit does not fit its place"
    assert why == "", why


@internal
@pure
def _pack(limits: ILimits.Limits) -> Words:
    return Words(
        a=(
            (convert(limits.keeper, uint256) << 96)
            | (limits.expiry << 56)
            | (limits.cooldown << 32)
            | (limits.gas_cap // _GAS_UNIT)
        ),
        b=(
            (limits.budget << 192)
            | (limits.window << 168)
            | (limits.slippage_bps << 152)
            | (limits.slippage_urgent_bps << 136)
            | (limits.public_bps << 120)
            | (limits.bounty_bps << 104)
            | (limits.bounty_cap << 40)
            | (limits.daily << 32)
        ),
    )


@internal
@pure
def _unpack(words: Words) -> ILimits.Limits:
    return ILimits.Limits(
        keeper=convert(words.a >> 96, address),
        expiry=(words.a >> 56) & _MASK_40,
        cooldown=(words.a >> 32) & _MASK_24,
        daily=(words.b >> 32) & _MASK_8,
        slippage_bps=(words.b >> 152) & _MASK_16,
        slippage_urgent_bps=(words.b >> 136) & _MASK_16,
        gas_cap=(words.a & _MASK_32) * _GAS_UNIT,
        public_bps=(words.b >> 120) & _MASK_16,
        bounty_bps=(words.b >> 104) & _MASK_16,
        bounty_cap=(words.b >> 40) & _MASK_64,
        budget=words.b >> 192,
        window=(words.b >> 168) & _MASK_24,
    )


@internal
@pure
def _state(word: uint256) -> ILimits.State:
    """
    @dev From the low 112 bits of a word; the others may be anything.
    """
    return ILimits.State(
        last_acted=(word >> 72) & _MASK_40,
        spent=(word >> 8) & _MASK_64,
        count=word & _MASK_8,
    )


@internal
@pure
def _with_state(word: uint256, state: ILimits.State) -> uint256:
    """
    @dev The word with its low 112 bits replaced.
    """
    return (
        ((word >> STATE_BITS) << STATE_BITS)
        | ((state.last_acted & _MASK_40) << 72)
        | (state.spent << 8)
        | state.count
    )


@internal
@view
def _obstacle(limits: ILimits.Limits, state: ILimits.State, urgency: uint256) -> String[64]:
    """
    @dev The first limit that bars everybody now, empty if none does. `urgency` is at most `FULL_URGENCY`.
    """
    if block.timestamp > limits.expiry:
        return "rule: expired"
    # One that never acted is not cooling down, however young the chain's clock.
    if state.last_acted != 0 and block.timestamp < state.last_acted + limits.cooldown:
        return "rule: cooling down"
    if limits.daily != 0 and self._count_today(state) >= limits.daily:
        return "rule: it has acted as often as it may in a day"
    if self._room(limits, state) == 0:
        return "rule: the loss budget is spent"
    if not self._gas_is_fair(limits, urgency):
        return "gas: the price is above the rule's cap"
    return ""


@internal
@view
def _stranger(limits: ILimits.Limits, who: address, urgency: uint256) -> bool:
    """
    @dev Whether this account may not act at this urgency.
    """
    if limits.keeper == empty(address) or limits.keeper == who:
        return False
    return not self._is_public(limits, urgency)


@internal
@view
def _may_act(limits: ILimits.Limits, state: ILimits.State, who: address, urgency: uint256):
    why: String[64] = self._obstacle(limits, state, urgency)
    if self._stranger(limits, who, urgency):
        why = "rule: another keeper is named"
    assert why == "", why


@internal
@pure
def _is_public(limits: ILimits.Limits, urgency: uint256) -> bool:
    return limits.public_bps != 0 and urgency >= limits.public_bps


@internal
@pure
def _slippage(limits: ILimits.Limits, urgency: uint256) -> uint256:
    """
    @dev In basis points, rounded down.
    """
    more: uint256 = limits.slippage_urgent_bps - limits.slippage_bps
    return limits.slippage_bps + more * urgency // FULL_URGENCY


@internal
@pure
def _bounty(limits: ILimits.Limits, who: address, urgency: uint256, sold: uint256) -> uint256:
    """
    @dev What is due to `who` for selling this value, in the same unit (dollars with 8 decimals).
    """
    if who == limits.keeper or not self._is_public(limits, urgency):
        return 0
    return min(sold * limits.bounty_bps // _BPS, limits.bounty_cap)


@internal
@view
def _room(limits: ILimits.Limits, state: ILimits.State) -> uint256:
    """
    @dev What may still be lost now. Refilling is rounded down, so pokes by the second give nothing away.
    """
    spent: uint256 = self._spent(limits, state)
    return limits.budget - min(spent, limits.budget)


@internal
@view
def _charge(limits: ILimits.Limits, state: ILimits.State, loss: uint256) -> ILimits.State:
    """
    @dev The state after an action now that lost this much value, dollars with 8 decimals.
    """
    spent: uint256 = self._spent(limits, state) + loss
    assert spent <= limits.budget, "rule: the loss is above what is left of the budget"
    return ILimits.State(
        last_acted=block.timestamp, spent=spent, count=min(self._count_today(state) + 1, _MASK_8)
    )


@internal
@view
def _spent(limits: ILimits.Limits, state: ILimits.State) -> uint256:
    elapsed: uint256 = block.timestamp - state.last_acted
    if elapsed >= limits.window:
        return 0
    back: uint256 = limits.budget * elapsed // limits.window
    return state.spent - min(back, state.spent)


@internal
@view
def _count_today(state: ILimits.State) -> uint256:
    return state.count if block.timestamp // _DAY == state.last_acted // _DAY else 0


@internal
@view
def _gas_is_fair(limits: ILimits.Limits, urgency: uint256) -> bool:
    """
    @dev A view is often asked at a gas price of 0, so the block's own fee stands in for it.
    """
    if limits.gas_cap == 0 or urgency >= FULL_URGENCY:
        return True
    return max(tx.gasprice, block.basefee) * (FULL_URGENCY - urgency) <= limits.gas_cap * FULL_URGENCY
