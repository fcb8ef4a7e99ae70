"""A rule's three words, packed as the contract packs them and by the contract itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.devnet.world import World
from keeper.domain.loans import PLAIN, Band, Limits, LoanRule, RuleKey, Terms
from keeper.domain.units import NOBODY, Address
from keeper.protocols.loan_thresholds import (
    CHECK,
    SET_RULE,
    SET_RULE_AND_TERMS,
    TERMS_WORDS_OF,
    WORDS_OF,
    Action,
    Finding,
    has_terms,
    read_finding,
    rebalance_call,
    rule_fields,
    terms_fields,
    unpack_rule,
)
from keeper.protocols.methods import address

RULE = "(address,address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"

TERMS = f"(bool,{','.join(['uint256'] * 15)},address)"

addresses = st.integers(1, 2**160 - 1).map(lambda number: address(f"0x{number:040x}"))
bits_24 = st.integers(0, 2**24 - 1)
bits_40 = st.integers(0, 2**40 - 1)

any_rule = st.builds(
    LoanRule,
    collateral=addresses,
    debt=addresses,
    band=st.builds(Band, bits_24, bits_24, bits_24),
    limits=st.builds(
        Limits,
        slippage_bps=st.integers(0, 2**12 - 1),
        cooldown=bits_24,
        max_step=st.integers(0, 2**96 - 1),
        expiry=bits_40,
        keeper=st.one_of(st.just(NOBODY), addresses),
    ),
)


def packed(places: Sequence[tuple[int, int]]) -> int:
    """A word of (value, bits) from its top."""
    word, left = 0, 256
    for value, bits in places:
        assert value < 1 << bits
        left -= bits
        word |= value << left
    assert left == 0
    return word


def words(rule: LoanRule, last_acted: int) -> tuple[int, int, int]:
    """As the head of contracts/loan_rules.vy draws them."""
    band, limits = rule.band, rule.limits
    return (
        packed(
            [
                (int(rule.collateral, 16), 160),
                (band.floor_bps, 24),
                (band.target_bps, 24),
                (band.ceiling_bps, 24),
                (limits.cooldown, 24),
            ]
        ),
        packed(
            [
                (int(rule.debt, 16), 160),
                (rule.terms.in_leverage, 4),
                (limits.slippage_bps, 12),
                (limits.expiry, 40),
                (last_acted, 40),
            ]
        ),
        packed([(int(limits.keeper, 16), 160), (limits.max_step, 96)]),
    )


@given(any_rule, bits_40)
def test_unpack_rule__any_rule_that_fits__comes_back_as_it_was(rule: LoanRule, last_acted: int) -> None:
    assert unpack_rule(*words(rule, last_acted)) == (rule, last_acted)


@given(st.integers(1, 2**256 - 1), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_unpack_rule__any_three_words__hold_no_bit_that_is_not_in_the_rule(a: int, b: int, c: int) -> None:
    b &= ~(0b1110 << 92)  # the flags of words that are not these three
    rule, last_acted = unpack_rule(a, b, c)
    assert rule is not None
    assert words(rule, last_acted) == (a, b, c)


def test_unpack_rule__words_never_written__are_no_rule() -> None:
    assert unpack_rule(0, 0, 0) == (None, 0)


@st.composite
def rules_the_contract_takes(draw: st.DrawFn) -> LoanRule:
    floor = draw(st.integers(10_001, 2**24 - 1 - 3 * 10**5))
    target = draw(st.integers(floor * 10_000 // 9_950 + 1, floor * 10_000 // 9_950 + 10_000))
    ceiling = draw(st.integers(target * 10_050 // 10_000 + 1, 2**24 - 1))
    collateral, debt = draw(st.lists(addresses, min_size=2, max_size=2, unique=True))
    limits = Limits(
        slippage_bps=draw(st.integers(1, 500)),
        cooldown=draw(bits_24),
        max_step=draw(st.integers(1, 2**96 - 1)),
        expiry=draw(st.integers(2**39, 2**40 - 1)),
        keeper=draw(st.one_of(st.just(NOBODY), addresses)),
    )
    return LoanRule(collateral, debt, Band(floor, target, ceiling), limits)


HIGHEST = LoanRule(
    address("0x" + "ff" * 20),
    address("0x" + "ff" * 19 + "fe"),
    Band(2**24 - 10**6, 2**24 - 5 * 10**5, 2**24 - 1),
    Limits(500, 2**24 - 1, 2**96 - 1, 2**40 - 1, address("0x" + "ff" * 20)),
)


def test_the_contract__any_rule_it_takes__is_packed_and_told_as_it_is_read_here(world: World) -> None:
    owner, node = world.roles.owner, world.node
    world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(HIGHEST))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rules_the_contract_takes())
    @example(HIGHEST)
    def alike(rule: LoanRule) -> None:
        world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(rule))
        head = node.head().hash
        stored = WORDS_OF.read(node.call(world.thresholds, WORDS_OF.call(owner, 0), head))
        assert stored == words(rule, 0)
        assert unpack_rule(*stored) == (rule, 0)
        (told,) = world.call(world.thresholds, "rule_of(address,uint256)", f"({RULE})", owner, 0)
        assert tuple(told) == tuple(
            field.lower() if isinstance(field, str) else field for field in rule_fields(rule)
        )

    alike()


@st.composite
def terms_the_contract_takes(draw: st.DrawFn) -> Terms:
    budget = draw(st.integers(0, 2**64 - 1))
    public = draw(st.integers(0, 10_000))
    bounty = draw(st.integers(0, 99)) if public else 0
    follows = draw(st.booleans())
    moving: dict[str, Any] = {
        "highest_bps": draw(st.integers(30_000, 2**15)),
        "sigmas_bps": draw(st.integers(1, 2**24 - 1)),
        "horizon": draw(st.integers(1, 2**32 - 1)),
        "feed": draw(addresses),
    }
    return Terms(
        in_leverage=not follows and draw(st.booleans()),
        borrow_step=draw(st.integers(0, 2**96 - 1)),
        speed_bps=draw(st.integers(0, 10_000)),
        hold=draw(bits_24),
        urgent_step=draw(st.sampled_from([0, 2**96 - 1])),
        urgent_slippage_bps=draw(st.one_of(st.just(0), st.integers(500, 1_000))),
        daily=draw(st.integers(0, 255)),
        gas_cap=draw(st.integers(0, 2**32 - 1)) * 10**6,
        public_bps=public,
        bounty_bps=bounty,
        bounty_cap=draw(st.integers(1, 2**64 - 1)) if bounty else 0,
        budget=budget,
        window=draw(st.integers(1, 2**24 - 1)) if budget else 0,
        **(moving if follows else {}),
    )


def test_the_contract__any_terms_it_takes__are_packed_and_told_as_they_are_read_here(world: World) -> None:
    owner, node = world.roles.owner, world.node
    leveraged = replace(HIGHEST, band=Band(25_000, 20_000, 16_000))

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(terms_the_contract_takes())
    @example(
        Terms(True, 2**96 - 1, 10_000, 2**24 - 1, 2**96 - 1, 1_000, 255, (2**32 - 1) * 10**6, 10_000, 99, 1)
    )
    @example(Terms(in_leverage=True))
    @example(PLAIN)
    def alike(terms: Terms) -> None:
        in_leverage = terms.in_leverage
        plain = replace(HIGHEST, band=Band(20_000, 25_000, 30_000)) if terms.highest_bps else HIGHEST
        rule = replace(leveraged if in_leverage else plain, terms=terms)
        written = (rule_fields(rule), terms_fields(terms))
        world.send(owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, *written)
        head = node.head().hash
        stored = WORDS_OF.read(node.call(world.thresholds, WORDS_OF.call(owner, 0), head))
        more = TERMS_WORDS_OF.read(node.call(world.thresholds, TERMS_WORDS_OF.call(owner, 0), head))
        assert has_terms(stored[1]) == (terms != PLAIN)
        assert unpack_rule(*stored, *more) == (rule, 0)
        (told,) = world.call(world.thresholds, "terms_of(address,uint256)", f"({TERMS})", owner, 0)
        assert tuple(told) == (*terms_fields(terms)[:-1], terms.feed.lower())

    alike()
    # What an earlier rule left in the words of its terms is never read again.
    world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(HIGHEST))
    (told,) = world.call(world.thresholds, "terms_of(address,uint256)", f"({TERMS})", owner, 0)
    assert tuple(told) == terms_fields(PLAIN)


def test_rebalance_call__a_plan__goes_to_the_rules_own_contract_in_the_abis_order() -> None:
    key = RuleKey(Address("0x" + "11" * 20), Address("0x" + "22" * 20), 3)
    call = rebalance_call(key, amount=10, limit=11, fee=500, deadline=13)
    assert call.to == key.thresholds
    sent = [call.data[at : at + 32] for at in range(4, len(call.data), 32)]
    assert [int.from_bytes(word, "big") for word in sent] == [int("22" * 20, 16), 3, 0, 10, 11, 500, 13]


def test_read_finding__an_owner_without_rules__is_barred_in_the_contracts_own_words(world: World) -> None:
    returned = world.node.call(world.thresholds, CHECK.call(world.roles.stranger, 0), world.node.head().hash)
    finding = read_finding(returned)
    assert finding == Finding(finding.kind, Action.DELEVERAGE, 0, 0, 0, 0, "rule: none is set")
    assert finding.kind.name == "BARRED"
