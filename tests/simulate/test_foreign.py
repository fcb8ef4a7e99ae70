"""A fork of a chain whose feeds nobody sets: they are replaced on the fork, and the chain itself never hears of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.devnet.anvil import Anvil
from keeper.devnet.artifacts import compiled, from_package
from keeper.devnet.foreign import Places, echo, settle
from keeper.devnet.transactions import in_one_block
from keeper.devnet.world import World
from keeper.domain.errors import KeeperError, Misconfigured, NodeRefused
from keeper.domain.units import BASE, Address
from keeper.settings import read_settings
from keeper.simulate.histories import Wanted
from keeper.simulate.stage import simulate
from scripts.compile_contracts import artifact
from tests.conftest import SetRule
from tests.simulate.test_stage import FALL
from tests.test_cli import config

ROOT = Path(__file__).resolve().parents[2]
ROUND = "(uint80,int256,uint256,uint256,uint80)"
FIRST_ROUND = 2**64 + 77


@pytest.fixture
def ordinary(world: World) -> World:
    """The world with Aave priced by aggregators that only their reporter moves; its manifest knows nothing of them."""
    made = artifact(ROOT / "contracts" / "mocks" / "plain_feed_mock.vy")
    plain = compiled(made["name"], {**made, "linkReferences": {}})
    prices = [world.price(reserve.symbol) for reserve in world.reserves]
    with in_one_block(world.node, world.roles.deployer) as queue:
        feeds = [queue.create(plain, price, world.roles.stranger) for price in prices]
        tokens = [reserve.token for reserve in world.reserves]
        queue.call(world.aave.oracle, "setAssetSources(address[],address[])", tokens, feeds)
    reserves = zip(world.reserves, feeds, strict=True)
    return replace(world, reserves=tuple(replace(each, feed=feed, settable=False) for each, feed in reserves))


def places_of(world: World) -> Places:
    return Places(world.aave.addresses_provider, world.uniswap.factory)


def test_simulate__over_a_chain_whose_feeds_nobody_sets__plays_on_forks_and_leaves_it_alone(
    ordinary: World, set_rule: SetRule, tmp_path: Path
) -> None:
    world, owner = ordinary, ordinary.roles.owner
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner, 12_000, 13_500)
    with pytest.raises(NodeRefused):
        world.set_price("WETH", 1_900)
    settings, bars = read_settings(config(world, tmp_path)), tmp_path / "fall.csv"
    bars.write_text("".join(FALL.splitlines(keepends=True)[:3]))
    before = world.node.head()
    codes = [world.node.ask("eth_getCode", reserve.feed, "latest") for reserve in world.reserves]

    told = simulate(settings, tmp_path / "none.json", Wanted(str(bars)), None, fork_url=world.url)

    (rule,) = told.rules
    assert len(rule.guarded.acts) >= 1
    assert rule.guarded.liquidations == ()
    assert len(rule.alone.liquidations) >= 1, "a borrower older than the fork is found"
    assert any("overwritten" in note for note in told.notes)
    assert told.prices[-1].close == pytest.approx(2_000 * 152 / 200, rel=1e-6)
    assert world.node.head() == before
    assert [world.node.ask("eth_getCode", each.feed, "latest") for each in world.reserves] == codes
    assert world.price("WETH") == 2_000 * BASE


def test_a_feed__overwritten_on_a_fork__goes_on_from_its_last_round(ordinary: World) -> None:
    with Anvil(fork_url=ordinary.url) as anvil:
        world = settle(anvil.node, anvil.url, places_of(ordinary), ())
        round_, answer, _, updated, _ = world.call(world.weth.feed, "latestRoundData()", ROUND)
        assert (round_, answer) == (FIRST_ROUND + 1, 2_000 * BASE)
        assert ordinary.node.head().timestamp <= updated <= world.node.head().timestamp
        world.set_price("WETH", 1_500)
        assert world.price("WETH") == 1_500 * BASE
        assert world.call(world.weth.feed, "latestRoundData()", ROUND)[0] == FIRST_ROUND + 2
        assert {each.symbol for each in world.reserves if each.settable} == {"WETH", "USDC"}
        with pytest.raises(NodeRefused):
            world.set_price("WBTC", 1)


def test_the_feeds__of_what_an_owner_holds_besides__are_overwritten_too(ordinary: World) -> None:
    owner = ordinary.roles.owner
    ordinary.supply(owner, "WBTC", 1)
    ordinary.borrow(owner, "DAI", 1_000)
    with Anvil(fork_url=ordinary.url) as anvil:
        world = settle(anvil.node, anvil.url, places_of(ordinary), (owner,))
        assert {each.symbol for each in world.reserves if each.settable} == {"WETH", "USDC", "WBTC", "DAI"}
        assert world.balance("DAI", world.roles.liquidator) > 10**6 * 10**18


def test_another_feed__made_an_echo__answers_what_the_reserves_says(ordinary: World) -> None:
    other: Address = ordinary.reserve("DAI").feed
    with Anvil(fork_url=ordinary.url) as anvil:
        world = settle(anvil.node, anvil.url, places_of(ordinary), ())
        echo(world, other, world.weth)
        world.set_price("WETH", 1_234)
        told, said = (world.call(feed, "latestRoundData()", ROUND) for feed in (other, world.weth.feed))
        assert told == said
        with pytest.raises(NodeRefused):
            world.call(other, "getRoundData(uint80)", ROUND, 2**80 - 1)


@pytest.mark.parametrize(
    ("fork_url", "sentence"),
    [
        ("mainnet", "--fork-url mainnet is neither devnet nor an address that begins with http"),
        ("wss://chain.example/secret", "--fork-url wss is neither devnet"),
        ("http://127.0.0.1:1/secret", "no answer .*; name another node in --fork-url"),
    ],
)
def test_what_cannot_be_forked__is_one_sentence(
    world: World, tmp_path: Path, fork_url: str, sentence: str
) -> None:
    settings = read_settings(config(world, tmp_path))
    with pytest.raises(KeeperError, match=sentence) as caught:
        simulate(settings, tmp_path / "devnet.json", Wanted(), None, fork_url=fork_url)
    assert "secret" not in str(caught.value)


def test_a_fork__of_another_chain_than_the_settings_name__is_one_sentence(
    world: World, tmp_path: Path
) -> None:
    settings = read_settings(config(world, tmp_path))
    with (
        Anvil(chain_id=99) as anvil,
        pytest.raises(Misconfigured, match="is on chain 99, and the settings say 31337"),
    ):
        simulate(settings, tmp_path / "devnet.json", Wanted(), None, fork_url=anvil.url)


def test_a_chain__without_a_pool_of_ether_and_dollars__is_one_sentence(ordinary: World) -> None:
    with Anvil(fork_url=ordinary.url) as anvil:
        with in_one_block(anvil.node, ordinary.roles.deployer) as queue:
            factory = queue.create(
                from_package("@uniswap/v3-core", {"UniswapV3Factory": ""})("UniswapV3Factory")
            )
        places = replace(places_of(ordinary), factory=factory)
        with pytest.raises(
            Misconfigured, match=r"Uniswap V3 has no pool of WETH and USDC at 0.05 % on this fork"
        ):
            settle(anvil.node, anvil.url, places, ())
