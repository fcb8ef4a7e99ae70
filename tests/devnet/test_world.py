"""The founded world: real contracts in their places, the pool and the oracle in agreement, and its small acts."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from keeper.devnet.actors import move_pool_to
from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_world
from keeper.devnet.transactions import Queue, create_address, reason_in
from keeper.devnet.uniswap_v3 import Uniswap
from keeper.devnet.world import ROLES, World, units
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.units import BASE, NO_DEBT, WAD, Address


def addresses(world: World) -> list[Address]:
    of_reserves = [
        address
        for reserve in world.reserves
        for address in (reserve.token, reserve.feed, reserve.a_token, reserve.debt_token)
    ]
    parts = [getattr(part, name) for part in (world.aave, world.uniswap) for name in part.__slots__]
    return [
        *of_reserves,
        *parts,
        world.pool,
        world.multicall,
        world.thresholds,
        world.range_thresholds,
        world.basket_thresholds,
        world.volatility,
    ]


def test_every_address_of_the_world__asked_for_its_code__has_some(founded: World) -> None:
    codes = founded.node.ask_many([("eth_getCode", [address, "latest"]) for address in addresses(founded)])
    assert all(len(code) > 100 for code in codes)


def test_multicall__as_placed__is_the_code_mainnet_has(founded: World) -> None:
    code = bytes.fromhex(founded.node.ask("eth_getCode", founded.multicall, "latest")[2:])
    assert keccak(code).hex() == "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"


def test_the_pool__in_either_order__agrees_with_the_oracle_exactly(founded: World) -> None:
    token0 = founded.call(founded.pool, "token0()", "(address)")[0]
    assert token0 == (founded.weth if founded.weth_is_token0 else founded.usdc).token
    assert founded.price("WETH") == 2_000 * BASE
    assert founded.pool_sqrt_price() == founded.oracle_sqrt_price()


def test_the_two_orders__between_them__are_both_founded(
    request: pytest.FixtureRequest, founded: World
) -> None:
    assert founded.weth_is_token0 == ("weth_first" in request.node.name)


def test_the_pool__asked_through_the_quoter__sells_a_hundred_weth_within_ten_basis_points(
    founded: World,
) -> None:
    trade = (founded.weth.token, founded.usdc.token, 100 * 10**18, 500, 0)
    quoted = founded.call(
        founded.uniswap.quoter,
        "quoteExactInputSingle((address,address,uint256,uint24,uint160))",
        "(uint256,uint160,uint32,uint256)",
        trade,
    )[0]
    assert 199_800 * 10**6 < quoted < 199_900 * 10**6


def test_the_second_router__given_an_exact_input__pays_what_the_quoter_said(either_world: World) -> None:
    world, stranger = either_world, either_world.roles.stranger
    trade = (world.weth.token, world.usdc.token, 10**18, 500, 0)
    quoted = world.call(
        world.uniswap.quoter,
        "quoteExactInputSingle((address,address,uint256,uint24,uint160))",
        "(uint256,uint160,uint32,uint256)",
        trade,
    )[0]
    world.give("WETH", stranger, 1)
    world.approve(stranger, world.weth.token, world.uniswap.swap_router_02)
    world.send(
        stranger,
        world.uniswap.swap_router_02,
        "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))",
        (world.weth.token, world.usdc.token, 500, stranger, 10**18, 0, 0),
    )
    assert world.balance("USDC", stranger) == quoted


def test_the_tick_lens__asked_around_the_price__lists_the_narrow_position(founded: World) -> None:
    spot = "(uint160,int24,uint16,uint16,uint16,uint8,bool)"
    tick = founded.call(founded.pool, "slot0()", spot)[1]
    words = {(tick + side * 8_000) // 10 >> 8 for side in (-1, 1)}
    found = [
        entry[0]
        for word in words
        for entry in founded.call(
            founded.uniswap.tick_lens,
            "getPopulatedTicksInWord(address,int16)",
            "((int24,int128,uint128)[])",
            *(founded.pool, word),
        )[0]
    ]
    assert sorted(found)[-1] - sorted(found)[0] == 16_000


def test_the_pools_oracle__once_founded__has_room_for_a_hundred_observations(founded: World) -> None:
    spot = "(uint160,int24,uint16,uint16,uint16,uint8,bool)"
    assert founded.call(founded.pool, "slot0()", spot)[4] == 100


def test_weths_risk_parameters__read_back__are_mainnets(founded: World) -> None:
    returns = "(uint256,uint256,uint256,uint256,uint256,bool,bool,bool,bool,bool)"
    found = founded.call(
        founded.aave.data_provider, "getReserveConfigurationData(address)", returns, founded.weth.token
    )
    assert found == (18, 8_050, 8_300, 10_500, 1_500, True, True, False, True, False)


def test_the_thresholds_contract__once_deployed__knows_its_market(founded: World) -> None:
    assert founded.call(founded.thresholds, "AAVE()", "(address)") == (founded.aave.pool,)
    assert founded.call(founded.thresholds, "FACTORY()", "(address)") == (founded.uniswap.factory,)


def test_the_basket_thresholds_contract__once_deployed__knows_its_factory(founded: World) -> None:
    found = founded.call(founded.basket_thresholds, "FACTORY()", "(address)")
    assert found == (founded.uniswap.factory,)


def test_the_range_thresholds_contract__once_deployed__knows_its_manager(founded: World) -> None:
    asked = ("(address)",)
    found = founded.call(founded.range_thresholds, "MANAGER()", *asked)
    assert found == (founded.uniswap.position_manager,)
    assert founded.call(founded.range_thresholds, "FACTORY()", *asked) == (founded.uniswap.factory,)


def test_a_feed__set_to_a_price__moves_the_oracle_and_not_the_pool(either_world: World) -> None:
    before = either_world.pool_sqrt_price()
    either_world.set_price("WETH", "1234.5")
    assert either_world.price("WETH") == 123_450_000_000
    assert either_world.pool_sqrt_price() == before


@pytest.mark.parametrize("usd", ["1400", "2000.000001", "2750.25"])
def test_the_arbitrageur__sent_to_a_price__ends_exactly_there(either_world: World, usd: str) -> None:
    move_pool_to(either_world, usd)
    assert either_world.pool_sqrt_price() == either_world.sqrt_price_at(units(usd, 8))


def test_the_arbitrageur__after_oracle_moves_of_both_assets__brings_the_pool_to_their_ratio(
    either_world: World,
) -> None:
    either_world.set_price("WETH", 1_500)
    either_world.set_price("USDC", "0.97")
    move_pool_to(either_world)
    assert either_world.pool_sqrt_price() == either_world.sqrt_price_at(1_500 * BASE, 97 * BASE // 100)


def test_the_arbitrageur__with_nothing_to_do__trades_nothing(either_world: World) -> None:
    head = either_world.node.head().number
    move_pool_to(either_world)
    assert either_world.node.head().number == head


def test_a_loan__opened_at_a_health__has_it(either_world: World) -> None:
    loan = either_world.open_loan(either_world.roles.owner, 100, health="1.1")
    # Interest accrues by the second, and a second may pass meanwhile.
    assert loan.collateral_base == pytest.approx(200_000 * BASE, rel=1e-6)
    assert loan.threshold_bps == 8_300
    assert loan.health == pytest.approx(1.1 * WAD, rel=1e-6)


def test_a_loan__opened_with_a_debt__owes_it(either_world: World) -> None:
    loan = either_world.open_loan(either_world.roles.owner, "12.5", 10_000)
    assert loan.collateral_base == pytest.approx(25_000 * BASE, rel=1e-6)
    assert loan.debt_base == pytest.approx(10_000 * BASE, rel=1e-6)
    assert either_world.balance("USDC", either_world.roles.owner) == 10_000 * 10**6


def test_a_loan__opened_with_neither_debt_nor_health__is_refused(founded: World) -> None:
    with pytest.raises(Misconfigured, match="either debt_usdc or health"):
        founded.open_loan(founded.roles.owner, 1)


def test_a_loan_beyond_what_aave_lends__when_borrowed__is_refused_with_aaves_code(
    either_world: World,
) -> None:
    with pytest.raises(NodeRefused, match=r"reverted: 36$"):
        either_world.open_loan(either_world.roles.owner, 100, 190_000)


def test_a_debt__over_a_year__grows_at_a_rate_of_a_few_per_cent(either_world: World) -> None:
    owner = either_world.roles.owner
    before = either_world.open_loan(owner, 100, 100_000).debt_base
    either_world.warp(365 * 86_400)
    assert 1.02 < either_world.account_data(owner).debt_base / before < 1.06


def test_an_account__that_owes_nothing__is_infinitely_healthy(founded: World) -> None:
    assert founded.account_data(founded.roles.stranger).health == NO_DEBT


def test_mining__three_blocks_of_twelve_seconds__moves_the_clock_by_thirty_six(either_world: World) -> None:
    before = either_world.node.head()
    number = either_world.mine(blocks=3)
    after = either_world.node.head()
    assert (after.number, after.timestamp) == (before.number + 3, before.timestamp + 36)
    assert number == after.number


def test_mining__given_a_base_fee__has_it_in_every_block(either_world: World) -> None:
    first = either_world.node.head().number + 1
    last = either_world.mine(blocks=3, base_fee=77_900_000_000)
    fees = [either_world.node.block(number).base_fee for number in range(first, last + 1)]
    assert fees == [77_900_000_000] * 3


def test_a_transaction__with_automine_off__is_mined_by_who_sends_it(either_world: World) -> None:
    either_world.automine(False)
    head = either_world.node.head().number
    sent = either_world.set_price("WETH", 1_999)
    assert sent.block == head + 1
    assert either_world.price("WETH") == 1_999 * BASE


def test_a_reverting_transaction__when_sent__says_why(either_world: World) -> None:
    stranger = either_world.roles.stranger
    with pytest.raises(NodeRefused, match="feed: only its owner sets it") as refused:
        either_world.send(stranger, either_world.weth.feed, "set(int256)", 1)
    assert reason_in(refused.value.data) == "feed: only its owner sets it"


def test_a_reverting_question__when_asked__says_why(founded: World) -> None:
    with pytest.raises(NodeRefused, match="feed: no data for this round"):
        founded.call(founded.weth.feed, "getRoundData(uint80)", "(uint80,int256,uint256,uint256,uint80)", 99)


def test_the_manifest__written_and_read__is_the_same_world(founded: World, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "devnet.json"
    founded.write(path)
    read = World.read(path)
    assert read == founded
    assert read.price("WETH") == 2_000 * BASE
    assert [entry.name for entry in path.parent.iterdir()] == ["devnet.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "url": "http://x"}', '{"format": 99}'])
def test_a_manifest__that_is_none__is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="no manifest of a devnet"):
        World.from_json(text)


def test_a_manifest__that_is_not_there__asks_for_the_devnet(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is `keeper devnet` running"):
        World.read(tmp_path / "devnet.json")


def test_an_asset__the_world_has_not__is_refused_with_those_it_has(founded: World) -> None:
    with pytest.raises(Misconfigured, match="DOGE is none of its assets"):
        founded.price("DOGE")


def test_the_world__through_a_fork_of_a_fork__is_the_same_and_apart(either_world: World) -> None:
    owner = either_world.roles.owner
    either_world.open_loan(owner, 100, 100_000)
    with Anvil(fork_url=either_world.url) as fork, Anvil(fork_url=fork.url) as fork_of_fork:
        seen = either_world.through(fork_of_fork.url)
        assert seen.chain_id == int(fork_of_fork.node.ask("eth_chainId"), 16)
        assert seen.account_data(owner).debt_base == pytest.approx(100_000 * BASE, rel=1e-6)
        assert seen.pool_sqrt_price() == either_world.pool_sqrt_price()

        seen.set_price("WETH", 1_000)
        move_pool_to(seen)
        seen.open_loan(seen.roles.twin, 10, 5_000)

        assert seen.price("WETH") == 1_000 * BASE
        assert either_world.through(fork.url).price("WETH") == 2_000 * BASE
        assert either_world.pool_sqrt_price() != seen.pool_sqrt_price()
        assert either_world.account_data(seen.roles.twin).debt_base == 0


def test_a_world__founded_at_another_price__agrees_on_it() -> None:
    with Anvil(timestamp=1_583_971_200) as anvil:
        world = deploy_world(anvil.url, eth_price="194.61")
        assert world.price("WETH") == 19_461_000_000
        assert world.pool_sqrt_price() == world.oracle_sqrt_price()
        assert world.roles == ROLES


def test_an_aave__that_is_not_here__is_refused() -> None:
    with Anvil() as anvil, pytest.raises(Misconfigured, match=r"no Aave 2\.0 here"):
        deploy_world(anvil.url, aave="2.0")  # type: ignore[arg-type]


def test_a_founding_step__that_fails__is_named(either_world: World) -> None:
    either_world.automine(False)
    queue = Queue(either_world.node, either_world.roles.stranger)
    queue.call(either_world.weth.feed, "set(int256)", 1)
    with pytest.raises(Misconfigured, match=r"^devnet: set on 0x\w+ failed: feed: only its owner sets it$"):
        queue.settle()


@pytest.mark.parametrize(
    ("nonce", "stands_at"),
    [
        (0, "0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        (1, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
    ],
)
def test_a_contracts_address__from_its_creators_nonce__is_the_known_one(nonce: int, stands_at: str) -> None:
    assert create_address(ROLES.deployer, nonce) == stands_at


@pytest.mark.parametrize("nonce", [127, 128, 255, 256, 65_536])
def test_a_contracts_address__at_nonces_where_the_encoding_changes__is_where_it_stands(nonce: int) -> None:
    with Anvil() as anvil:
        anvil.node.ask("anvil_setNonce", ROLES.stranger, hex(nonce))
        sent = anvil.node.ask("eth_sendTransaction", {"from": ROLES.stranger, "data": "0x00"})
        found = None
        while found is None:
            found = anvil.node.ask("eth_getTransactionReceipt", sent)
    assert found["contractAddress"] == create_address(ROLES.stranger, nonce).lower()


def test_amounts__as_a_person_writes_them__become_units_rounded_down() -> None:
    assert units("0.1", 18) == 10**17
    assert units(0.1, 18) == 10**17
    assert units("1.9999999", 6) == 1_999_999
    assert units(10**12, 18) == 10**30


def test_uniswaps_parts__by_name__are_six() -> None:
    assert len(Uniswap.__slots__) == 6
