"""Many loans in one question to code that is on no chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.devnet.transactions import calldata, decoded
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address
from tests.contracts.loan_stage import BASE, LENDER, OWNER, STRANGER, TRADER, WAD, Stage, vyper_output

PLACE = Address("0x1E4500000000000000000000000000000000bEAF")
ROW = f"({','.join(['uint256'] * 10)})"


def read(
    stage: Stage, owners: list[Address], ids: list[int], thresholds: Address | None = None
) -> list[tuple[int, ...]]:
    lens = thresholds or stage.thresholds
    data = calldata("read(address,address,address[],uint256[])", lens, stage.aave.pool, owners, ids)
    answer = stage.node.ask(
        "eth_call",
        {"to": PLACE, "data": data},
        "latest",
        {PLACE: {"code": vyper_output("LoanLens")["bytecode_runtime"]}},
    )
    return list(decoded(f"({ROW}[])", answer)[0])


def test_lens__several_loans__gives_each_rule_and_account_in_order(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.open(10 * WAD, 5_000 * 10**6, owner=STRANGER)
    stage.set_rule()
    stage.set_rule(replace(stage.rule, floor_bps=12_000), 1)
    rows = read(stage, [STRANGER, OWNER, OWNER, LENDER], [0, 1, 0, 7])
    for row, owner, id_ in zip(rows, [STRANGER, OWNER, OWNER, LENDER], [0, 1, 0, 7], strict=True):
        words = stage.ask(
            stage.thresholds, "words_of(address,uint256)", "(uint256,uint256,uint256)", owner, id_
        )
        assert row == (*words, *stage.account(owner), 1)
    assert rows[1][0] != 0 == rows[0][0]


def test_lens__no_thresholds_contract__reads_the_accounts_alone(stage: Stage) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.set_rule()
    assert read(stage, [OWNER], [0], NOBODY) == [(0, 0, 0, *stage.account(), 1)]


def test_lens__something_else_stands_where_the_thresholds_should__answers_nothing_rather_than_no_rules(
    stage: Stage,
) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    for other in (stage.tokens["USDC"], TRADER):
        with pytest.raises(NodeRefused, match="a rule cannot be read"):
            read(stage, [OWNER], [0], other)


def test_lens__one_account_has_an_asset_without_a_price__only_that_one_is_unreadable(
    any_stage: Stage,
) -> None:
    stage = any_stage
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.open(10 * 10**8, 1 * WAD, owner=STRANGER, sold="WBTC", bought="WETH")
    stage.set_rule()
    stage.set_feed("WBTC", 0)
    rows = read(stage, [STRANGER, OWNER], [0, 0])
    assert rows[0] == (0,) * 10
    assert rows[1][3:] == (*stage.account(), 1)
    stage.set_feed("WBTC", 50_000 * BASE)
    assert read(stage, [STRANGER], [0])[0][9] == 1


def test_lens__as_many_as_it_takes__answers_and_one_more_is_refused(stage: Stage) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    rows = read(stage, [OWNER] * 4096, [0] * 4096)
    assert len(rows) == 4096
    assert set(rows) == {rows[0]}
    with pytest.raises(NodeRefused):
        read(stage, [OWNER] * 4097, [0] * 4097)


def test_lens__nobody__answers_with_nothing(stage: Stage) -> None:
    assert read(stage, [], []) == []


def test_lens__owners_and_ids_differ_in_number__is_refused(stage: Stage) -> None:
    with pytest.raises(NodeRefused):
        read(stage, [OWNER], [])
