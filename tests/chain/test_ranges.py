"""Ranges as the chain shows them: read together, at one block, whatever becomes of one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keeper.chain.ranges import Ranges
from keeper.chain.rule_keys import MOST_RULES
from keeper.domain.errors import Misconfigured
from keeper.domain.ranges import Edges
from tests.contracts.range_stage import BUYER, OWNER, STRANGER, Stage, raised


@pytest.fixture(scope="module")
def raised_stage() -> Iterator[Stage]:
    with raised(False) as stage:
        yield stage


@pytest.fixture
def stage(raised_stage: Stage) -> Iterator[Stage]:
    with raised_stage.undone():
        yield raised_stage


def test_sights__of_several_owners__come_in_the_keys_order_from_one_block(stage: Stage) -> None:
    ids = [stage.open(-600, 600), stage.open(-100, 200), stage.open(-300, 300, owner=BUYER)]
    stage.set_rule(stage.rule(ids[0]))
    stage.set_rule(stage.rule(ids[1] + 100), 1)
    stage.set_rule(stage.rule(ids[2]), owner=BUYER)
    stage.trade()
    stage.settle(150)
    ranges = Ranges(stage.node, stage.thresholds, [OWNER, STRANGER, BUYER])
    block = stage.node.head()
    stage.settle(900)
    keys = ranges.keys.at(block)
    assert [(key.owner, key.id) for key in keys] == [(OWNER, 0), (OWNER, 1), (BUYER, 0)]
    first, gone, other = ranges.sights(keys, block)
    assert gone.rule is not None
    assert gone.range is None
    for sight, token_id in ((first, ids[0]), (other, ids[2])):
        assert sight.rule is not None
        assert sight.range is not None
        assert sight.market is not None
        position = stage.position(token_id)
        assert sight.rule.token_id == token_id
        assert sight.range.edges == Edges(position.lower, position.upper)
        assert sight.range.liquidity == position.liquidity
        assert min(sight.range.fees) > 0
        assert sight.fees_worth > 0
        # Of the block asked for, though the pool has moved on.
        assert sight.market.tick == stage.start + 150
        assert sight.market.mean is not None
        assert abs(sight.market.mean - sight.market.tick) <= 2


def test_keys__a_rule_is_added_or_too_many_are__are_counted_again(stage: Stage) -> None:
    token_id = stage.open()
    ranges = Ranges(stage.node, stage.thresholds, [OWNER])
    assert ranges.keys.at(stage.node.head()) == ()
    stage.set_rule(stage.rule(token_id))
    assert len(ranges.keys.at(stage.node.head())) == 1
    for id_ in range(1, MOST_RULES + 1):
        stage.set_rule(stage.rule(token_id), id_)
    assert len(ranges.keys.at(stage.node.head())) == MOST_RULES
    assert [key.id for key in ranges.keys.unattended] == [MOST_RULES]


def test_fees__as_the_lens_tells_them__are_those_a_collection_brings(stage: Stage) -> None:
    token_id = stage.open(-600, 600)
    stage.set_rule(stage.rule(token_id))
    stage.trade(3)
    stage.push(700)
    (sight,) = Ranges(stage.node, stage.thresholds, [OWNER]).sights(
        Ranges(stage.node, stage.thresholds, [OWNER]).keys.at(stage.node.head()), stage.node.head()
    )
    assert sight.range is not None
    before = stage.purse(OWNER)
    collecting = (token_id, OWNER, 2**128 - 1, 2**128 - 1)
    manager = stage.uniswap.position_manager
    stage.send(OWNER, manager, "collect((uint256,address,uint128,uint128))", collecting)
    after = stage.purse(OWNER)
    assert sight.range.fees == (after[0] - before[0], after[1] - before[1])


def test_ranges__of_what_is_no_thresholds_contract__are_refused(stage: Stage) -> None:
    with pytest.raises(Misconfigured, match="there is no code at"):
        Ranges(stage.node, STRANGER, [OWNER])
    with pytest.raises(Misconfigured, match="is not a RangeThresholds contract"):
        Ranges(stage.node, stage.pool(), [OWNER])
