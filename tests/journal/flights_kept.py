"""What the tests of `journal` write down: blocks, intents, attempts and a receipt."""

from __future__ import annotations

from keeper.domain.blocks import Block
from keeper.domain.flights import Attempt, Fees, Log, Purpose, Receipt
from keeper.domain.loans import health_measure
from keeper.domain.plans import Asset, Call, Intent, Move, Plan, Rehearsal, Spot, Valuation
from keeper.domain.rules import RuleKey
from keeper.domain.units import WAD, Address

THRESHOLDS = Address("0x" + "Aa" * 20)
WETH = Asset(Address("0x" + "0e" * 20), "WETH", 18)
USDC = Asset(Address("0x" + "0c" * 20), "USDC", 6)
OWNER = Address("0x" + "Bb" * 20)
STRANGER = Address("0x" + "Cc" * 20)
KEEPER = Address("0x" + "Dd" * 20)
CHAIN = 31337


def block(number: int, salt: int = 0) -> Block:
    return Block(
        number,
        f"0x{number:032x}{salt:032x}",
        f"0x{number - 1:032x}{salt:032x}",
        1_700_000_000 + number,
        10**9,
    )


def intent(name: str = "one", at: Block | None = None, owner: Address = OWNER) -> Intent:
    at = at or block(10)
    return Intent(
        id=name,
        plan=Plan(
            RuleKey(THRESHOLDS, owner, 0),
            "deleverage",
            (Move("repay", USDC, 2**200), Move("sell", WETH, 3**120, 500)),
            health_measure(WAD * 3 // 2),
            Valuation(
                "USD",
                2**100,
                ((WETH, 2_000 * WAD), (USDC, WAD)),
                (Spot(WETH.address, USDC.address, 500, 2**159),),
            ),
        ),
        call=Call(THRESHOLDS, bytes(range(200))),
        rehearsal=Rehearsal((Move("sell", WETH, 3**119, 500),), health_measure(WAD * 3 // 2 - 1), 512_345),
        gas_limit=700_000,
        decided_block=at.number,
        decided_hash=at.hash,
        deadline=at.timestamp + 300,
        why="judge: health 1.0900 is below the floor of 1.1500",
    )


def attempt(n: int, purpose: Purpose = Purpose.ACT) -> Attempt:
    return Attempt(f"0x{n:064x}", b"\x02" + bytes([n]) * 150, Fees(10**20, 10**9), purpose, 10)


RECEIPT = Receipt(
    hash=attempt(1).hash,
    block=11,
    block_hash=block(11).hash,
    succeeded=True,
    gas_used=473_267,
    gas_price=2**70,
    logs=(Log(THRESHOLDS, ("0x01", "0x02"), "0xff"), Log(OWNER, (), "0x")),
)
