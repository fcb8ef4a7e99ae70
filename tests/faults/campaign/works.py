"""What there is to do: orders that must each be carried out once, on a chain that shows how often each was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from keeper.chain.node import Node, Question
from keeper.devnet.anvil import DEFAULT_CHAIN_ID, Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.transactions import calldata
from keeper.devnet.world import World
from keeper.domain.errors import NodeRefused
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.units import GWEI, NOBODY, WAD, Address
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from tests.send.flights_given import COUNTER, COUNTER_CODE, OWNER

KEEPER_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
"""The public development key of the keeper's role, Anvil's fourth account."""
KEEPER = Address("0x90F79bf6EB2c4f870365E785982E1f101E93b906")
MAX_FEE = 500 * GWEI
ORDERED = 2**128
"""Added to a number when it is ordered, and not counted."""
_DEAR = hex(10_000 * GWEI)
_DUST = 5
"""What an action may leave, in a token's smallest unit: four to spare, and a rounding."""


class Work(Protocol):
    """`numbers` are the orders there can be, and `chain` where they are carried out."""

    chain: Node
    numbers: Sequence[int]

    def prepare(self, folder: Path, urls: Sequence[str]) -> None:
        """Leave in the folder what a crew needs to know."""

    def give(self, number: int) -> None:
        """Give an order, or give it again when the chain has lost it; it stands from the next block on."""

    def carried_out(self) -> dict[int, int]:
        """How often each order was carried out, by the chain as it is now."""

    def left_behind(self) -> list[str]:
        """What was left where nothing should be."""


class Loans:
    """The devnet's real Aave and Uniswap, and owners whose loans have sunk; an order is an owner's rule set on chain.

    Each rule is breached as soon as it stands, and no longer once it was acted on.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chain = world.node
        roles = world.roles
        self._owners = (roles.owner, roles.twin, roles.stranger)
        self.numbers = range(len(self._owners))
        self._given: dict[int, str] = {}
        for owner in self._owners:
            world.open_loan(owner, 100, health=1.3)
            world.approve(owner, world.weth.a_token, world.thresholds)
        world.automine(False)
        world.mine(blocks=8)

    def prepare(self, folder: Path, urls: Sequence[str]) -> None:
        self._given.clear()
        (folder / "keeper.toml").write_text(
            f"""
[chain]
id = {self.world.chain_id}
urls = {json.dumps(list(urls))}
timeout_seconds = 0.5
poll_seconds = 0.02
turn_seconds = 4.0
[[watch]]
thresholds = "{self.world.thresholds}"
owners = {json.dumps(list(self._owners))}
[limits]
max_fee_gwei = {MAX_FEE // GWEI}
deadline_seconds = 120
""",
            encoding="utf-8",
        )

    def give(self, number: int) -> None:
        rule = LoanRule(
            self.world.weth.token,
            self.world.usdc.token,
            Band(14_000, 17_000, 25_000),
            Limits(100, 60, 2**96 - 1, 2**40 - 1, NOBODY),
        )
        data = calldata(SET_RULE.signature, 0, rule_fields(rule))
        given(self.chain, self._given, number, self._owners[number], self.world.thresholds, data)

    def owner(self, number: int) -> Address:
        return self._owners[number]

    def carried_out(self) -> dict[int, int]:
        logs: list[dict[str, Any]] = self.chain.ask(
            "eth_getLogs", {"address": self.world.thresholds, "fromBlock": "0x0", "toBlock": "latest"}
        )
        acted = [int(log["topics"][1], 16) for log in logs if len(log["topics"]) == 4]
        return {number: acted.count(int(self._owners[number], 16)) for number in self.numbers}

    def left_behind(self) -> list[str]:
        world, found = self.world, []
        dust = _DUST * sum(self.carried_out().values())
        for symbol in ("WETH", "USDC"):
            reserve = world.reserve(symbol)
            for token in (reserve.token, reserve.a_token):
                for who in (world.thresholds, KEEPER):
                    held = world.call(token, "balanceOf(address)", "(uint256)", who)[0]
                    if held > dust:
                        found.append(f"I5: {who} holds {held} of {token}")
            for spender in (world.aave.pool, world.pool):
                allowed = world.call(
                    reserve.token, "allowance(address,address)", "(uint256)", world.thresholds, spender
                )[0]
                if allowed:
                    found.append(f"I5: {spender} may take {allowed} of {reserve.token}")
        found += [
            f"I5: the loan of {owner} is at a health of {health}"
            for owner in self._owners
            if (health := world.account_data(owner).health) <= WAD
        ]
        return found


class Counting:
    """A bare chain with a contract that counts, and nobody who would refuse: what a sender does twice is done twice.

    An order is a number to be counted once. The owner gives it by counting that number upon `ORDERED`.
    """

    def __init__(self, chain: Node) -> None:
        self.chain = chain
        self.numbers = range(1, 4)
        self._given: dict[int, str] = {}
        chain.ask("evm_setAutomine", False)
        chain.ask("anvil_setCode", COUNTER, COUNTER_CODE)
        chain.ask("anvil_mine", hex(8), "0xc")

    def prepare(self, folder: Path, urls: Sequence[str]) -> None:
        self._given.clear()
        (folder / "url").write_text(urls[0], encoding="utf-8")
        (folder / "keeper.toml").write_text(
            f"""
[chain]
id = {DEFAULT_CHAIN_ID}
urls = {json.dumps(list(urls))}
timeout_seconds = 0.5
poll_seconds = 0.02
turn_seconds = 4.0
[[watch]]
kind = "orders"
thresholds = "{COUNTER}"
owners = ["{OWNER}"]
[limits]
max_fee_gwei = {MAX_FEE // GWEI}
deadline_seconds = 120
""",
            encoding="utf-8",
        )

    def give(self, number: int) -> None:
        given(self.chain, self._given, number, OWNER, COUNTER, "0x" + (ORDERED + number).to_bytes(32).hex())

    def carried_out(self) -> dict[int, int]:
        slots: list[Question] = [("eth_getStorageAt", [COUNTER, hex(n), "latest"]) for n in self.numbers]
        counts = self.chain.ask_many(slots)
        return {number: int(count, 16) for number, count in zip(self.numbers, counts, strict=True)}

    def left_behind(self) -> list[str]:
        return []


class Endless(Counting):
    """The same numbers ordered again and again: an order is one number's next count, three of them at a time."""

    def __init__(self, chain: Node, keep_blocks: int) -> None:
        super().__init__(chain)
        self._numbers = tuple(self.numbers)
        self._keep_blocks = keep_blocks
        self.rounds = 0

    def prepare(self, folder: Path, urls: Sequence[str]) -> None:
        super().prepare(folder, urls)
        with (folder / "keeper.toml").open("a", encoding="utf-8") as more:
            more.write(
                "actions_per_owner = 1000000\n"
            )  # of [limits]: there is one owner, who orders all the time
            more.write(f"[journal]\nkeep_blocks = {self._keep_blocks}\nkeep_days = 2\n")
            more.write("[breakers]\ngas_eth_per_day = 1000\nactions_per_hour = 100000\nreverts = 100\n")

    def next_round(self) -> None:
        """Three more orders, those before being carried out."""
        first = self.rounds * len(self._numbers)
        self.rounds += 1
        self.numbers = range(first, first + len(self._numbers))
        self._given.clear()

    def give(self, number: int) -> None:
        data = "0x" + (ORDERED + self._numbers[number % len(self._numbers)]).to_bytes(32).hex()
        given(self.chain, self._given, number, OWNER, COUNTER, data)

    def carried_out(self) -> dict[int, int]:
        counted = self._slots(0)
        return dict(zip(self.numbers, (each - self.rounds + 1 for each in counted), strict=True))

    def apart(self) -> list[tuple[int, int]]:
        """Where it was not counted as often as it was ordered, or not ordered once a round: ordered, and counted."""
        both = zip(self._slots(ORDERED), self._slots(0), strict=True)
        return [(ordered, counted) for ordered, counted in both if not ordered == counted == self.rounds]

    def _slots(self, offset: int) -> list[int]:
        slots: list[Question] = [
            ("eth_getStorageAt", [COUNTER, hex(n + offset), "latest"]) for n in self._numbers
        ]
        return [int(count, 16) for count in self.chain.ask_many(slots)]


def given(chain: Node, hashes: dict[int, str], number: int, owner: Address, to: Address, data: str) -> None:
    """Send an order, if the chain does not hold it, at a price that any block takes."""
    sent = hashes.get(number)
    if sent is not None and chain.ask("eth_getTransactionByHash", sent) is not None:
        return
    fields = {"from": owner, "to": to, "data": data, "gas": hex(1_000_000)}
    with suppress(NodeRefused):  # no block has room for it: it is given again with the next one
        hashes[number] = chain.ask(
            "eth_sendTransaction", {**fields, "maxFeePerGas": _DEAR, "maxPriorityFeePerGas": hex(GWEI)}
        )


@contextmanager
def loans() -> Iterator[Loans]:
    """A devnet of its own."""
    with Anvil() as anvil:
        yield Loans(deploy_thresholds(deploy_world(anvil.url)))


@contextmanager
def counting() -> Iterator[Counting]:
    """A bare chain of its own."""
    with Anvil() as anvil:
        yield Counting(anvil.node)
