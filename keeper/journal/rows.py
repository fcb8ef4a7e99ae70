"""Between the journal's rows and the keeper's nouns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import RowMapping

from keeper.domain.blocks import Block
from keeper.domain.flights import Attempt, Fees, Flight, Log, Purpose, Receipt, State, Step
from keeper.domain.plans import Asset, Call, Intent, Move, Plan, Rehearsal, Spot, Valuation, Worth
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind, Measure, Verdict


def turn_row(block: Block, note: str) -> dict[str, Any]:
    """A turn, without its verdicts."""
    return {
        "number": block.number,
        "hash": block.hash,
        "parent": block.parent,
        "timestamp": block.timestamp,
        "base_fee": block.base_fee,
        "note": note,
    }


def block_of_turn(row: RowMapping) -> Block:
    """The block a turn was pinned to."""
    return Block(row["number"], row["hash"], row["parent"], row["timestamp"], row["base_fee"])


def verdict_row(turn: int, verdict: Verdict) -> dict[str, Any]:
    """A verdict of the turn with this id."""
    key, measure = verdict.key, verdict.measure
    return {
        "turn": turn,
        "owner": key.owner,
        "thresholds": key.thresholds,
        "rule": key.id,
        "kind": int(verdict.kind),
        "why": verdict.why,
        "measure": measure.name,
        "value": measure.value,
        "decimals": measure.decimals,
        "endless": measure.endless,
    }


def verdict_of(row: RowMapping) -> Verdict:
    """The verdict in a row."""
    measure = Measure(row["measure"], row["value"], row["decimals"], row["endless"])
    return Verdict(_key(row), Kind(row["kind"]), row["why"], measure)


def intent_row(flight: Flight) -> dict[str, Any]:
    """A flight that is just being opened, but for its place in the order of all."""
    intent = flight.intent
    plan, rehearsal = intent.plan, intent.rehearsal
    return {
        "id": intent.id,
        "chain": flight.chain_id,
        "sender": flight.sender,
        "number": flight.nonce,
        "state": flight.state.value,
        "owner": plan.key.owner,
        "thresholds": plan.key.thresholds,
        "rule": plan.key.id,
        "action": plan.action,
        "moves": _moves_text(plan.moves),
        "after": _measure_text(plan.after),
        "to": intent.call.to,
        "data": intent.call.data,
        "rehearsed_moves": _moves_text(rehearsal.moves),
        "rehearsed_after": _measure_text(rehearsal.after),
        "rehearsed_gas": rehearsal.gas,
        "gas_limit": intent.gas_limit,
        "decided_block": intent.decided_block,
        "decided_hash": intent.decided_hash,
        "deadline": intent.deadline,
        "why": intent.why,
        "worth": intent.worth.wei if intent.worth else None,
        "worth_why": intent.worth.why if intent.worth else "",
        "valued": plan.valued and _valuation_text(plan.valued),
    }


def intent_of(row: RowMapping) -> Intent:
    """The intent in a row."""
    return Intent(
        id=row["id"],
        plan=Plan(
            _key(row),
            row["action"],
            _moves(row["moves"]),
            _measure(row["after"]),
            row["valued"] and _valuation(row["valued"]),
        ),
        call=Call(Address(row["to"]), bytes(row["data"])),
        rehearsal=Rehearsal(
            _moves(row["rehearsed_moves"]), _measure(row["rehearsed_after"]), row["rehearsed_gas"]
        ),
        gas_limit=row["gas_limit"],
        decided_block=row["decided_block"],
        decided_hash=row["decided_hash"],
        deadline=row["deadline"],
        why=row["why"],
        worth=None if row["worth"] is None else Worth(row["worth"], row["worth_why"]),
    )


def flight_of(row: RowMapping, attempts: tuple[Attempt, ...], last: Step) -> Flight:
    """A flight from its intent's row, its attempts and the last line of its story."""
    return Flight(
        intent=intent_of(row),
        chain_id=row["chain"],
        sender=Address(row["sender"]),
        nonce=row["number"],
        state=State(row["state"]),
        why=last.why,
        attempts=attempts,
        sent_block=row["sent_block"],
        receipt=last.receipt,
    )


def attempt_row(intent_id: str, n: int, attempt: Attempt) -> dict[str, Any]:
    """The n-th attempt of an intent."""
    return {
        "intent": intent_id,
        "n": n,
        "hash": attempt.hash,
        "raw": attempt.raw,
        "max_fee": attempt.fees.max_fee,
        "tip": attempt.fees.tip,
        "purpose": attempt.purpose.value,
        "block": attempt.block,
        "doors": doors_text(attempt.doors),
    }


def doors_text(doors: Sequence[str]) -> str:
    """Names of doors, in their order."""
    return orjson.dumps(list(doors)).decode()


def attempt_of(row: RowMapping) -> Attempt:
    """The attempt in a row."""
    fees = Fees(row["max_fee"], row["tip"])
    doors = tuple(orjson.loads(row["doors"]))
    return Attempt(row["hash"], bytes(row["raw"]), fees, Purpose(row["purpose"]), row["block"], doors)


def step_row(intent_id: str, n: int, step: Step) -> dict[str, Any]:
    """The n-th line of a flight's story."""
    row = {"intent": intent_id, "n": n, "at_block": step.block, "state": step.state.value, "why": step.why}
    receipt = step.receipt
    if receipt is None:
        return row
    logs = [[log.address, log.topics, log.data] for log in receipt.logs]
    return row | {
        "hash": receipt.hash,
        "block": receipt.block,
        "block_hash": receipt.block_hash,
        "succeeded": int(receipt.succeeded),
        "gas_used": receipt.gas_used,
        "gas_price": receipt.gas_price,
        "logs": orjson.dumps(logs).decode(),
    }


def step_of(row: RowMapping) -> Step:
    """The line in a row."""
    receipt = None
    if row["hash"] is not None:
        receipt = Receipt(
            hash=row["hash"],
            block=row["block"],
            block_hash=row["block_hash"],
            succeeded=bool(row["succeeded"]),
            gas_used=row["gas_used"],
            gas_price=row["gas_price"],
            logs=tuple(
                Log(address, tuple(topics), data) for address, topics, data in orjson.loads(row["logs"])
            ),
        )
    return Step(row["at_block"], State(row["state"]), row["why"], receipt)


def _key(row: RowMapping) -> RuleKey:
    return RuleKey(Address(row["thresholds"]), Address(row["owner"]), row["rule"])


def _moves_text(moves: tuple[Move, ...]) -> str:
    """Amounts as text, since JSON's readers take long numbers for floats."""
    return orjson.dumps(
        [
            [
                move.verb,
                move.asset.address,
                move.asset.symbol,
                move.asset.decimals,
                str(move.amount),
                move.fee,
            ]
            for move in moves
        ]
    ).decode()


def _moves(text: str) -> tuple[Move, ...]:
    return tuple(
        Move(verb, Asset(Address(address), symbol, decimals), int(amount), fee)
        for verb, address, symbol, decimals, amount, fee in orjson.loads(text)
    )


def _measure_text(measure: Measure) -> str:
    value, endless = (None if number is None else str(number) for number in (measure.value, measure.endless))
    return orjson.dumps([measure.name, value, measure.decimals, endless]).decode()


def _measure(text: str) -> Measure:
    name, value, decimals, endless = orjson.loads(text)
    return Measure(
        name, None if value is None else int(value), decimals, None if endless is None else int(endless)
    )


def _valuation_text(valued: Valuation) -> str:
    prices = [[asset.address, asset.symbol, asset.decimals, str(price)] for asset, price in valued.prices]
    spots = [[spot.sold, spot.bought, spot.fee, str(spot.sqrt_price)] for spot in valued.spots]
    return orjson.dumps([valued.money, str(valued.worth), prices, spots]).decode()


def _valuation(text: str) -> Valuation:
    money, worth, prices, spots = orjson.loads(text)
    return Valuation(
        money=money,
        worth=int(worth),
        prices=tuple(
            (Asset(Address(address), symbol, decimals), int(price))
            for address, symbol, decimals, price in prices
        ),
        spots=tuple(
            Spot(Address(sold), Address(bought), fee, int(root)) for sold, bought, fee, root in spots
        ),
    )
