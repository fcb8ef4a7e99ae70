"""One real run of a keeper over all three kinds of position, and the journal it left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keeper.app import open_keeper
from keeper.devnet.actors import Arbitrageur, move_pool_to
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, Loan, LoanRule
from keeper.domain.units import NOBODY, Address
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.settings import read_settings
from tests.conftest import FOREVER, KEEPER_KEY, NO_LIMIT
from tests.positions.test_baskets import basket_opener
from tests.positions.test_ranges import HOLD, POSITION, range_opener

DROPPED = 1_500
AHEAD = 1_501
"""Dollars for an ether when the keeper decides, and when its trade of a basket comes to be mined."""
TIP = 50 * 10**9


@dataclass(frozen=True, slots=True)
class Book:
    """What an account holds, in the smallest units of ether and of dollars."""

    weth: int
    usdc: int


@dataclass(frozen=True, slots=True)
class Ran:
    """The configuration of a keeper that ran, and what the tests saw meanwhile for themselves.

    `sqrt_price` is the pool's when the basket's trade was decided on, `before` and `after` what its owner held around
    it, and `pool` what the pool held around the loan's. `loan` is what Aave said of it then, and `range_worth`
    what the range's liquidity would have brought, in the pool's second token.
    """

    config: Path
    world: World
    sqrt_price: int
    before: Book
    after: Book
    pool: tuple[Book, Book]
    loan: Loan
    range_worth: float

    @property
    def usdc_per_weth(self) -> float:
        """Smallest units, by the pool when the basket's trade was decided on."""
        price = self.sqrt_price**2 / 2**192
        return price if self.world.weth_is_token0 else 1 / price


@pytest.fixture(scope="module")
def ran(forked_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """A loan, a basket and a range that a fall takes out of their bands; somebody trades just before the basket."""
    world, folder = forked_world, tmp_path_factory.mktemp("score")
    remembered = world.snapshot()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEEPER_KEY", KEEPER_KEY)
        try:
            yield _run(world, folder)
        finally:
            world.node.ask("anvil_dropAllTransactions")
            world.automine(True)
            world.revert(remembered)


def _run(world: World, folder: Path) -> Ran:
    owner, twin, stranger = world.roles.owner, world.roles.twin, world.roles.stranger
    _open_loan(world, owner)
    basket_opener(world)(twin)
    range_opener(world)(stranger)
    config = _config(world, folder)
    with open_keeper(read_settings(config), dry_run=False) as keeper:
        keeper.turn(world.node.head())
        world.set_price("WETH", DROPPED)
        move_pool_to(world)
        world.mine(HOLD + 12)
        world.automine(False)
        acted: list[Address] = []
        loan, range_worth = world.account_data(owner), 0.0
        pools, books, sqrt_price = [], [], 0
        for _ in range(8):
            turn = keeper.turn(world.node.head())
            for who in (intent.plan.key.owner for intent in turn.intents):
                acted.append(who)
                if who == owner:
                    loan = world.account_data(owner)
                    pools.append(_book(world, world.pool))
                if who == stranger:
                    range_worth = _range_worth(world, stranger)
                if who == twin:
                    sqrt_price = world.pool_sqrt_price()
                    books.append(_book(world, twin))
                    _trade_ahead(world)
            world.mine()
            if acted and acted[-1] == owner and len(pools) == 1:
                pools.append(_book(world, world.pool))
            if acted and acted[-1] == twin and len(books) == 1:
                books.append(_book(world, twin))
        assert sorted(acted) == sorted((owner, twin, stranger)), "each acted for once"
    return Ran(config, world, sqrt_price, books[0], books[1], (pools[0], pools[1]), loan, range_worth)


def _open_loan(world: World, owner: Address) -> None:
    world.open_loan(owner, 100, health=1.8)
    rule = LoanRule(
        world.weth.token,
        world.usdc.token,
        Band(14_000, 17_000, 25_000),
        Limits(100, 60, NO_LIMIT, FOREVER, NOBODY),
    )
    world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(rule))
    world.approve(owner, world.weth.a_token, world.thresholds)


def _trade_ahead(world: World) -> None:
    """The pool moves against the basket's trade, in the block that will hold it."""
    there = world.sqrt_price_at(AHEAD * 10**8)
    trade = Arbitrageur(world, tip_wei=TIP).offer(there, world.node.head().base_fee)
    assert trade is not None
    world.node.ask_many([trade])


def _book(world: World, who: Address) -> Book:
    return Book(world.balance("WETH", who), world.balance("USDC", who))


def _range_worth(world: World, who: Address) -> float:
    """Whole units of token1, by the definition of what a position holds at a price."""
    manager = world.uniswap.position_manager
    token = world.call(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", who, 0)[0]
    told = world.call(manager, "positions(uint256)", POSITION, token)
    low, high = (1.0001 ** (tick / 2) for tick in told[5:7])
    root = world.pool_sqrt_price() / 2**96
    at = min(max(root, low), high)
    amount0, amount1 = told[7] * (1 / at - 1 / high), told[7] * (at - low)
    decimals = world.usdc.decimals if world.weth_is_token0 else world.weth.decimals
    return float((amount0 * root**2 + amount1) / 10**decimals)


def _config(world: World, folder: Path) -> Path:
    watched = (
        ("loans", world.thresholds, world.roles.owner),
        ("baskets", world.basket_thresholds, world.roles.twin),
        ("ranges", world.range_thresholds, world.roles.stranger),
    )
    tables = "\n".join(
        f'[[watch]]\nkind = "{kind}"\nthresholds = "{contract}"\nowners = ["{who}"]'
        for kind, contract, who in watched
    )
    path = folder / "keeper.toml"
    path.write_text(f'[chain]\nid = {world.chain_id}\nurl = "{world.node.url}"\n{tables}\n', encoding="utf-8")
    return path
