"""What it costs to read a loan that nothing is known of: ten thousand real Aave accounts, all at one block.

The keeper and its peers read the account, as `getUserAccountData` has it; a second row reads each account's rule too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Final

from eth_typing import ChecksumAddress, HexAddress, HexStr
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3

from bench.rows import Row
from bench.stage import open_crowd, pool_abi, raised
from keeper.chain.accounts import Accounts
from keeper.chain.loans import Loans
from keeper.devnet.world import World
from keeper.domain.blocks import Block
from keeper.domain.loans import Loan, Sight
from keeper.domain.units import NOBODY, Address

Account = tuple[int, ...]
"""The six numbers of `getUserAccountData`."""

GOAL_US: Final = 45.0
_TOGETHER: Final = 500
AGGREGATE3: Final = [
    {
        "name": "aggregate3",
        "type": "function",
        "stateMutability": "payable",
        "inputs": [
            {
                "name": "calls",
                "type": "tuple[]",
                "components": [
                    {"name": "target", "type": "address"},
                    {"name": "allowFailure", "type": "bool"},
                    {"name": "callData", "type": "bytes"},
                ],
            }
        ],
        "outputs": [
            {
                "name": "returnData",
                "type": "tuple[]",
                "components": [
                    {"name": "success", "type": "bool"},
                    {"name": "returnData", "type": "bytes"},
                ],
            }
        ],
    }
]
_ACCOUNT: Final = ["uint256"] * 6


def read_loan_cold(quick: bool) -> list[Row]:
    """Microseconds a loan, the median of several rounds, each in a new block and by a reader that knows nothing yet."""
    count, alone, together, rounds = (600, 50, 500, 3) if quick else (10_000, 200, 2_000, 5)
    ours: list[float] = []
    with_rules: list[float] = []
    looped: list[float] = []
    gathered: list[float] = []
    with raised() as world:
        healths = [1.1 + 2.4 * at / count for at in range(count)]
        owners = open_crowd(world, 5, healths, [10_500] * count, target_bps=15_000)
        keys = Loans(world.node, world.thresholds, owners).keys.at(world.node.head())
        assert len(keys) == count
        peer = Web3Reader(world)
        for _ in range(rounds):
            world.mine()
            block = world.node.head()
            with timed(ours, count):
                alone_read = Accounts(world.node, NOBODY, world.aave.pool).sights(keys, block)
            with timed(with_rules, count):
                sights = Accounts(world.node, world.thresholds, world.aave.pool).sights(keys, block)
            with timed(looped, alone):
                each = peer.call_by_call(owners[:alone], block)
            with timed(gathered, together):
                many = peer.by_multicall(owners[-together:], block)
            _agree(sights[:alone], each)
            _agree(sights[-together:], many)
            assert [sight.loan for sight in alone_read] == [sight.loan for sight in sights]
    peers = {
        f"web3.py, Multicall3, {together} loans": median(gathered),
        f"web3.py, call by call, {alone} loans": median(looped),
    }
    return [
        Row("read_loan_cold_us", median(ours), "µs/loan", GOAL_US, peers),
        Row("read_loan_and_rule_cold_us", median(with_rules), "µs/loan", None, peers),
    ]


@contextmanager
def timed(figures: list[float], count: int) -> Iterator[None]:
    """Add to the figures the microseconds that the block took for each of `count`."""
    start = time.perf_counter()
    yield
    figures.append((time.perf_counter() - start) / count * 1e6)


class Web3Reader:
    """The same reads by web3.py: contract objects with the pool's whole ABI, made once."""

    def __init__(self, world: World) -> None:
        self._web3 = Web3(HTTPProvider(world.url))
        self._pool = self._web3.eth.contract(address=_checked(world.aave.pool), abi=pool_abi())
        self._multicall = self._web3.eth.contract(address=_checked(world.multicall), abi=AGGREGATE3)

    def call_by_call(self, owners: Sequence[Address], block: Block) -> list[Account]:
        """As the tutorials do it: a call for every account."""
        at = HexBytes(block.hash)
        ask = self._pool.functions.getUserAccountData
        return [tuple(ask(owner).call(block_identifier=at)) for owner in owners]

    def by_multicall(self, owners: Sequence[Address], block: Block) -> list[Account]:
        """As one does who knows Multicall3: the contract object encodes each call, web3's codec reads each answer."""
        found: list[Account] = []
        for start in range(0, len(owners), _TOGETHER):
            calls = [
                (self._pool.address, True, self._pool.encode_abi("getUserAccountData", [owner]))
                for owner in owners[start : start + _TOGETHER]
            ]
            asked = self._multicall.functions.aggregate3(calls)
            answers = asked.call(block_identifier=HexBytes(block.hash))
            found += [self._web3.codec.decode(_ACCOUNT, data) for _, data in answers]
        return found


def _checked(address: Address) -> ChecksumAddress:
    return ChecksumAddress(HexAddress(HexStr(address)))


def _agree(sights: Sequence[Sight], accounts: Sequence[Account]) -> None:
    """Everyone must have read the same numbers of the same block, and the keeper a rule besides."""
    for sight, (collateral, debt, _, threshold, _, health) in zip(sights, accounts, strict=True):
        assert sight.loan == Loan(collateral, debt, threshold, health), f"{sight.key.owner} was misread"
        assert sight.rule is not None
        assert debt > 0
