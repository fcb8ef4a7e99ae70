"""What the tests of `send` start from: accounts, limits, intents, attempts."""

from __future__ import annotations

from keeper.domain.flights import Attempt, Fees, Flight, Purpose, Receipt, State
from keeper.domain.loans import health_measure
from keeper.domain.plans import Call, Intent, Plan, Rehearsal
from keeper.domain.rules import RuleKey
from keeper.domain.units import GWEI, WAD, Address
from keeper.send.fees import SendLimits

# The first two of Anvil's public accounts.
KEEPER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
KEEPER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
STRANGER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
OWNER = Address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")

COUNTER = Address("0x00000000000000000000000000000000000C0DE5")
COUNTER_CODE = "0x5f35805460010190550" + "0"
"""Counts how often each number was called with, in the storage slot of that number:
PUSH0 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE STOP."""
REFUSING_CODE = "0x5f5ffd"
"""PUSH0 PUSH0 REVERT."""

CHAIN = 31337
LIMITS = SendLimits(max_fee_wei=500 * GWEI, tip_wei=GWEI, stuck_blocks=3)


def intent(
    number: int = 1, name: str = "", deadline: int = 2**40, block: int = 0, gas: int = 100_000
) -> Intent:
    """An intent to count `number` once."""
    return Intent(
        id=name or f"intent {number}",
        plan=Plan(RuleKey(COUNTER, OWNER, 0), "count", (), health_measure(WAD)),
        call=Call(COUNTER, number.to_bytes(32, "big")),
        rehearsal=Rehearsal((), health_measure(WAD), 43_000),
        gas_limit=gas,
        decided_block=block,
        decided_hash="0x" + "00" * 32,
        deadline=deadline,
        why="judge: below",
    )


def attempt(
    n: int = 1, fees: Fees | None = None, purpose: Purpose = Purpose.ACT, block: int = 100
) -> Attempt:
    return Attempt(f"0x{n:064x}", bytes([2, n]), fees or Fees(40 * GWEI, GWEI), purpose, block)


def flight(
    state: State = State.BROADCAST, *attempts: Attempt, sent: int | None = 100, deadline: int = 2**40
) -> Flight:
    return Flight(
        intent(deadline=deadline), CHAIN, KEEPER, 7, state, "before", attempts or (attempt(),), sent
    )


def receipt(n: int = 1, block: int = 101, succeeded: bool = True) -> Receipt:
    return Receipt(f"0x{n:064x}", block, f"0x{block:064x}", succeeded, 43_000, 20 * GWEI)
