"""Many loans in one question to code that is on no chain."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from keeper.devnet.transactions import calldata, decoded
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address
from tests.contracts.crowd import a_crowd, e_mode_price, found_e_modes
from tests.contracts.loan_stage import (
    BASE,
    LENDER,
    OWNER,
    PRICES,
    STRANGER,
    TRADER,
    WAD,
    Stage,
    vyper_output,
)

PLACE = Address("0x1E4500000000000000000000000000000000bEAF")
ROW: Final = f"({','.join(['uint256'] * 8)})"
NEVER: Final = (1, 1)
"""First and every such that no account is compared."""


def asked(stage: Stage, data: str) -> list[tuple[int, ...]]:
    lent = {PLACE: {"code": vyper_output("LoanLens")["bytecode_runtime"]}}
    answer = stage.node.ask("eth_call", {"to": PLACE, "data": data}, "latest", lent)
    return list(decoded(f"({ROW}[])", answer)[0])


def read(
    stage: Stage, owners: Sequence[Address], ids: Sequence[int], thresholds: Address | None = None
) -> list[tuple[int, ...]]:
    """Valued by Aave."""
    lens = thresholds or stage.thresholds
    return asked(
        stage,
        calldata("read(address,address,address[],uint256[])", lens, stage.aave.pool, owners, ids),
    )


def value(
    stage: Stage,
    owners: Sequence[Address],
    compared: tuple[int, int] = NEVER,
    since_3_6: bool | None = None,
    thresholds: Address = NOBODY,
) -> list[tuple[int, ...]]:
    """Valued by the lens itself."""
    newer = stage.version == "3.6" if since_3_6 is None else since_3_6
    signature = "value(address,address,address[],uint256[],bool,uint256,uint256)"
    ids = [0] * len(owners)
    return asked(stage, calldata(signature, thresholds, stage.aave.pool, owners, ids, newer, *compared))


def four(account: Sequence[int]) -> tuple[int, ...]:
    """Collateral, debt, threshold and health of Aave's six numbers."""
    return account[0], account[1], account[3], account[5]


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
        assert row == (*words, *four(stage.account(owner)), 1)
    assert rows[1][0] != 0 == rows[0][0]
    by_sums = value(stage, [STRANGER, OWNER, LENDER], thresholds=stage.thresholds)
    assert [row[:7] for row in by_sums] == [rows[0][:7], rows[2][:7], rows[3][:7]]


def test_lens__no_thresholds_contract__reads_the_accounts_alone(stage: Stage) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.set_rule()
    assert read(stage, [OWNER], [0], NOBODY) == [(0, 0, 0, *four(stage.account()), 1)]
    ((*row, told),) = value(stage, [OWNER])
    assert tuple(row) == (0, 0, 0, *four(stage.account()))
    assert told & 1 == 1 != told


def test_lens__something_else_stands_where_the_thresholds_should__answers_nothing_rather_than_no_rules(
    stage: Stage,
) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    for other in (stage.tokens["USDC"], TRADER):
        with pytest.raises(NodeRefused, match="a rule cannot be read"):
            read(stage, [OWNER], [0], other)
        with pytest.raises(NodeRefused, match="a rule cannot be read"):
            value(stage, [OWNER], thresholds=other)


def test_lens__one_account_has_an_asset_without_a_price__only_that_one_is_unreadable(
    any_stage: Stage,
) -> None:
    stage = any_stage
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.open(10 * 10**8, 1 * WAD, owner=STRANGER, sold="WBTC", bought="WETH")
    stage.set_rule()
    stage.set_feed("WBTC", 0)
    for rows in (read(stage, [STRANGER, OWNER], [0, 0]), value(stage, [STRANGER, OWNER], (0, 1))):
        assert rows[0][3:] == (0,) * 5
        assert rows[1][3:7] == four(stage.account())
    stage.set_feed("WBTC", 50_000 * BASE)
    assert read(stage, [STRANGER], [0])[0][7] == 1
    assert value(stage, [STRANGER])[0][3:7] == four(stage.account(STRANGER))


def test_lens__as_many_as_it_takes__answers_and_one_more_is_refused(stage: Stage) -> None:
    stage.open(100 * WAD, 150_000 * 10**6)
    rows = read(stage, [OWNER] * 1024, [0] * 1024)
    assert len(rows) == 1024
    assert set(rows) == {rows[0]}
    assert {row[:7] for row in value(stage, [OWNER] * 1024)} == {(0, 0, 0, *rows[0][3:7])}
    with pytest.raises(NodeRefused):
        read(stage, [OWNER] * 1025, [0] * 1025)


def test_lens__nobody__answers_with_nothing(stage: Stage) -> None:
    assert read(stage, [], []) == value(stage, []) == []


def test_lens__owners_and_ids_differ_in_number__is_refused(stage: Stage) -> None:
    with pytest.raises(NodeRefused):
        read(stage, [OWNER], [])


def test_sums__in_the_arithmetic_of_another_version__are_found_out_where_aave_is_asked_too(
    stage: Stage,
) -> None:
    owners = a_crowd(stage, random.Random(3), 8)
    stage.pass_time(86_400 * 400)
    rows = value(stage, owners, (1, 2), since_3_6=True)
    truth = [four(stage.account(owner)) for owner in owners]
    compared = range(1, len(owners), 2)
    assert [rows[n][3:7] for n in compared] == [truth[n] for n in compared]
    assert any(rows[n][7] & 1 == 0 for n in compared), "the roundings of 3.0.2 and 3.6 differ somewhere"
    uncompared = value(stage, owners, since_3_6=True)
    assert all(row[7] & 1 for row in uncompared)
    for n in compared:
        assert rows[n][7] | 1 == uncompared[n][7]
        assert (rows[n] == uncompared[n]) == (uncompared[n][3:7] == truth[n])


@pytest.mark.parametrize("seed", range(3))
def test_sums__over_a_random_market__are_aaves_to_the_digit(any_stage: Stage, seed: int) -> None:
    """Several collaterals and debts, e-modes, stable debt and an e-mode's own price where the version has them."""
    stage, chance = any_stage, random.Random(seed)
    found_e_modes(stage)
    owners = [*a_crowd(stage, chance, 12), LENDER, PLACE]
    combinations = set()
    for _ in range(8):
        stage.pass_time(chance.choice([1, 12, 86_400, 86_400 * chance.randrange(1, 200)]))
        for symbol in stage.tokens:
            stage.set_feed(symbol, int(PRICES[symbol] * chance.uniform(0.6, 1.6)))
        e_mode_price(stage, chance.randrange(BASE, 5_000 * BASE))
        rows = value(stage, owners)
        assert [row[3:7] for row in rows] == [four(stage.account(owner)) for owner in owners]
        assert all(row[7] & 1 for row in rows)
        compared = value(stage, owners, (0, 1))
        assert compared == rows
        combinations |= {row[7] for row in rows}
    assert len(combinations) > 8, "a crowd in which all are alike proves little"
    modes = {stage.ask(stage.aave.pool, "getUserEMode(address)", "(uint256)", owner) for owner in owners}
    assert len(modes) > 1
    stable = [stage.reserve(symbol)[9] for symbol in ("USDC", "WETH")]
    owed = [stage.balance(token, owner) for token in stable for owner in owners if int(token, 16)]
    assert any(owed) or stage.version == "3.6"
