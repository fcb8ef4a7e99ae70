"""The sender against a chain that is undone, overbid, used by others and out of money."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.domain.errors import Ambiguous, Blind, JournalBroken, Misconfigured, Unsafe
from keeper.domain.flights import Fees, Purpose, State, Step
from keeper.domain.plans import Call
from keeper.domain.units import GWEI
from keeper.journal.journal import Journal
from keeper.send.sender import Sender
from keeper.send.signers import LocalSigner, Secret, Signed, Transaction
from tests.send.conftest import Stage
from tests.send.flights_given import CHAIN, COUNTER, KEEPER, LIMITS, OWNER, REFUSING_CODE, STRANGER, intent

STRANGER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"


def raw(stage: Stage, nonce: int, max_fee: int = 300 * GWEI) -> str:
    """A transaction signed with the keeper's key, of which its journal knows nothing."""
    call = Call(OWNER, b"")
    signed = stage.signer.sign(Transaction(CHAIN, nonce, Fees(max_fee, 2 * GWEI), 21_000, call, value=1))
    return "0x" + signed.raw.hex()


def test_a_flight__from_launch_to_finality__is_told_at_each_turn(stage: Stage) -> None:
    flight = stage.launch(intent(1))
    assert (flight.state, flight.nonce, len(flight.attempts)) == (State.BROADCAST, 0, 1)
    assert flight == stage.flight() == stage.sender.busy()
    assert stage.follow() == (), "nothing new"

    stage.mine()
    (change,) = stage.follow()
    assert (change.before, change.flight.state, change.alarm) == (State.BROADCAST, State.INCLUDED, False)
    assert stage.sender.busy() is None
    assert stage.follow() == ()

    stage.finalise()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.FINAL, False)
    assert change.flight == stage.flight()
    receipt = change.flight.receipt
    assert receipt is not None
    assert (receipt.hash, receipt.succeeded, receipt.block) == (flight.attempts[0].hash, True, 1)
    spent = 10_000 * 10**18 - int(stage.chain.ask("eth_getBalance", KEEPER, "latest"), 16)
    assert receipt.gas_cost == spent
    assert stage.follow() == ()
    assert stage.count() == 1


def test_an_included_flight__while_not_final__lets_the_next_one_go(stage: Stage) -> None:
    for number in (1, 2, 3):
        assert stage.launch(intent(number)).nonce == number - 1
        with pytest.raises(Unsafe, match=f"nonce {number - 1} awaits inclusion"):
            stage.launch(intent(9))
        stage.mine()
        stage.follow()
    assert [flight.state for flight in stage.journal.flights()] == [State.INCLUDED] * 3
    stage.finalise()
    assert [change.flight.state for change in stage.follow()] == [State.FINAL] * 3
    assert [stage.count(number) for number in (1, 2, 3, 9)] == [1, 1, 1, 0]


def test_a_flight__mined_after_the_block_looked_at__is_still_waited_for(stage: Stage) -> None:
    before = stage.head()
    assert stage.sender.waiting(before) is None
    stage.launch(intent(1))
    assert stage.sender.waiting(before) == stage.flight()
    stage.mine()
    stage.follow()
    assert stage.sender.waiting(before) == stage.flight()
    assert stage.sender.waiting(stage.head()) is None


def test_an_action_that_reverts__is_over_only_when_final_and_asks_for_a_person(stage: Stage) -> None:
    stage.launch(intent(1))
    stage.chain.ask("anvil_setCode", COUNTER, REFUSING_CODE)
    stage.mine()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.INCLUDED, False)
    stage.finalise()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.REVERTED_FINAL, True)
    assert change.flight.receipt is not None
    assert not change.flight.receipt.succeeded
    assert change.flight.receipt.gas_cost > 0


@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_flight_the_chain_undid__goes_out_again_and_acts_once(
    stage: Stage, depth: int, restarted: bool
) -> None:
    stage.mine(10)
    sent = stage.launch(intent(1))
    stage.mine(depth)
    stage.follow()
    assert stage.flight().state is State.INCLUDED
    stage.chain.ask("anvil_reorg", depth, [])
    assert (stage.count(), stage.nonces("pending")) == (0, 0), "the transaction is lost altogether"

    changes = stage.restart() if restarted else stage.follow()
    assert [change.flight.state for change in changes] == [State.BROADCAST]
    assert stage.flight().attempts == sent.attempts
    assert stage.flight().receipt is None
    assert stage.nonces("pending") == 1
    stage.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count(), stage.nonces()) == (State.FINAL, 1, 1)


def test_a_flight_undone_and_mined_elsewhere__is_followed_to_its_new_block(stage: Stage) -> None:
    stage.mine(5)
    sent = stage.launch(intent(1))
    stage.mine(2)
    stage.follow()
    before = stage.flight().receipt
    stage.chain.ask("anvil_reorg", 3, [["0x" + sent.attempts[0].raw.hex(), 1]])
    (change,) = stage.follow()
    assert (change.before, change.flight.state) == (State.INCLUDED, State.INCLUDED)
    assert before is not None
    assert change.flight.receipt is not None
    assert change.flight.receipt.block_hash != before.block_hash
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


def test_a_failure_that_is_undone__can_still_succeed(stage: Stage) -> None:
    stage.mine(3)
    sent = stage.launch(intent(1))
    code = stage.chain.ask("eth_getCode", COUNTER, "latest")
    stage.chain.ask("anvil_setCode", COUNTER, REFUSING_CODE)
    stage.mine()
    stage.follow()
    failed = stage.flight().receipt
    assert failed is not None
    assert not failed.succeeded
    stage.chain.ask("anvil_reorg", 1, [])
    stage.chain.ask("anvil_setCode", COUNTER, code)
    stage.follow()
    stage.mine()
    stage.follow()
    mined = stage.flight().receipt
    assert mined is not None
    assert (mined.succeeded, mined.hash, stage.count()) == (True, sent.attempts[0].hash, 1)


def test_a_flight_dropped_from_the_pool__goes_out_again_within_a_turn(stage: Stage) -> None:
    sent = stage.launch(intent(1))
    stage.chain.ask("anvil_dropTransaction", sent.attempts[0].hash)
    stage.mine()
    (change,) = stage.follow()
    assert change.flight.attempts == sent.attempts
    assert "does not hold it any more" in change.flight.why
    stage.mine()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


def stuck(stage: Stage) -> None:
    """Launch, and let blocks pass whose base fee is above the bid until it is replaced."""
    stage.launch(intent(1, deadline=stage.head().timestamp + 3600))
    for _ in range(LIMITS.stuck_blocks):
        stage.outbid(20 * GWEI)
        stage.follow()


def test_a_stuck_flight__is_replaced_once_and_mined_at_the_higher_bid(stage: Stage) -> None:
    stuck(stage)
    flight = stage.flight()
    assert [attempt.purpose for attempt in flight.attempts] == [Purpose.ACT] * 2
    assert flight.attempts[1].fees.max_fee >= 41 * GWEI
    assert "replaced at" in flight.why
    assert stage.follow() == ()
    stage.mine()
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert done.receipt is not None
    assert (done.state, done.receipt.hash, stage.count()) == (State.FINAL, done.attempts[1].hash, 1)


def test_a_replaced_attempt__mined_all_the_same__is_found_by_its_hash(stage: Stage) -> None:
    stuck(stage)
    first, second = stage.flight().attempts
    stage.outbid(GWEI)
    stage.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    stage.chain.ask("anvil_reorg", 1, [["0x" + first.raw.hex(), 0]])
    stage.restart()
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert done.receipt is not None
    assert done.receipt.hash in (first.hash, second.hash)
    assert (done.state, done.receipt.hash, stage.count(), stage.nonces()) == (State.FINAL, first.hash, 1, 1)


def test_a_stuck_flight__whose_call_would_now_fail__is_not_replaced_but_cancelled_at_its_deadline(
    stage: Stage,
) -> None:
    deadline = stage.head().timestamp + 3600
    stage.launch(intent(1, deadline=deadline))
    stage.chain.ask("anvil_setCode", COUNTER, REFUSING_CODE)
    for _ in range(LIMITS.stuck_blocks + 2):
        stage.outbid(20 * GWEI)
        stage.follow()
    flight = stage.flight()
    assert len(flight.attempts) == 1
    assert "the call would now fail" in flight.why
    stage.chain.ask("evm_setNextBlockTimestamp", deadline + 1)
    stage.outbid(20 * GWEI)
    (change,) = stage.follow()
    assert [attempt.purpose for attempt in change.flight.attempts] == [Purpose.ACT, Purpose.CANCEL]
    stage.mine()
    stage.finalise()
    (change,) = stage.follow()
    assert (change.flight.state, stage.nonces(), stage.count()) == (State.CANCELLED, 1, 0)
    assert any("the call would now fail" in step.why for step in stage.journal.story("intent 1"))


def test_a_cancellation__that_loses_the_race__is_no_cancellation(stage: Stage) -> None:
    deadline = stage.head().timestamp + 60
    stage.mine(2)
    stage.launch(intent(1, deadline=deadline))
    stage.chain.ask("evm_setNextBlockTimestamp", deadline + 1)
    stage.outbid(20 * GWEI)
    stage.follow()
    action, cancellation = stage.flight().attempts
    assert cancellation.purpose is Purpose.CANCEL
    stage.mine()
    stage.follow()
    included = stage.flight().receipt
    assert included is not None
    assert included.hash == cancellation.hash
    stage.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    stage.chain.ask("anvil_reorg", 1, [["0x" + action.raw.hex(), 0]])
    stage.follow()
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert done.receipt is not None
    assert (done.receipt.hash, done.state, stage.count()) == (action.hash, State.FINAL, 1)


def test_a_nonce_in_flight__used_with_the_same_key_elsewhere__is_given_up_when_that_is_final(
    stage: Stage,
) -> None:
    stage.launch(intent(1))
    foreign = stage.chain.ask("eth_sendRawTransaction", raw(stage, nonce=0))
    stage.mine()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.BROADCAST, True)
    assert stage.sender.busy() is not None, "no new nonce before it is final"
    assert stage.follow() == ()
    stage.finalise()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.REPLACED, True)
    assert foreign in change.flight.why
    assert stage.launch(intent(1, name="intent 1 again")).nonce == 1
    stage.mine()
    assert stage.count() == 1


def test_nonces__used_elsewhere_before__are_skipped_once_that_is_final(stage: Stage) -> None:
    stage.launch(intent(1))
    stage.mine()
    stage.follow()
    for nonce in (1, 2):
        stage.chain.ask("eth_sendRawTransaction", raw(stage, nonce))
    with pytest.raises(Unsafe, match=r"2 transactions .* are pending that the journal does not know"):
        stage.launch(intent(2))
    stage.mine()
    with pytest.raises(Unsafe, match=r"nonces 1 to 2 .* were used elsewhere, in blocks not final yet"):
        stage.launch(intent(2))
    stage.finalise()
    assert stage.launch(intent(2)).nonce == 3
    assert [flight.intent.id for flight in stage.journal.actions()] == ["intent 1", "intent 2"]


def test_a_chain_that_lags_behind_the_journal__gets_no_new_nonce(stage: Stage) -> None:
    stage.mine(3)
    stage.launch(intent(1))
    stage.mine()
    stage.follow()
    stage.chain.ask("anvil_reorg", 1, [])
    with pytest.raises(Unsafe, match="has used 0 nonces at this head and the journal 1"):
        stage.launch(intent(2))
    stage.follow()
    stage.mine()
    stage.follow()
    assert stage.launch(intent(2)).nonce == 1


def test_no_gas_money__is_said_and_costs_no_nonce(stage: Stage) -> None:
    stage.chain.ask("anvil_setBalance", KEEPER, hex(1000))
    with pytest.raises(Unsafe, match="holds 1000 wei, and the gas may cost"):
        stage.launch(intent(1))
    assert stage.journal.actions() == ()
    stage.chain.ask("anvil_setBalance", KEEPER, hex(10**18))
    assert stage.launch(intent(1)).nonce == 0


def test_a_base_fee__above_the_ceiling__launches_nothing(stage: Stage) -> None:
    stage.outbid(600 * GWEI)
    with pytest.raises(Unsafe, match=r"above the 444\.444 gwei an action may bid"):
        stage.launch(intent(1))
    assert stage.journal.actions() == ()


def test_a_journal_that_cannot_keep_the_bytes__sends_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise JournalBroken("journal: nothing more could be written")

    with monkeypatch.context() as broken:
        broken.setattr(stage.journal, "open_intent", full)
        with pytest.raises(JournalBroken):
            stage.launch(intent(1))
    assert stage.nonces("pending") == 0
    assert stage.journal.actions() == ()
    assert stage.launch(intent(2)).nonce == 0


def test_a_journal_that_fails_after_the_send__is_ambiguous_and_clears_itself_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise JournalBroken("journal: nothing more could be written")

    with monkeypatch.context() as broken:
        broken.setattr(stage.journal, "record", full)
        with pytest.raises(Ambiguous, match="nonce 0 was sent, and that could not be written"):
            stage.launch(intent(1))
    assert stage.flight().state is State.SIGNED
    stage.follow()
    stage.mine()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


class Silent:
    """A signer out of reach."""

    address = KEEPER

    def sign(self, _: Transaction) -> Signed:
        raise Misconfigured("send: the signer does not answer")


def test_a_signer_out_of_reach__costs_no_nonce_and_stops_no_flight(stage: Stage) -> None:
    mute = Sender(stage.node, stage.journal, Silent(), CHAIN, LIMITS)
    with pytest.raises(Misconfigured, match="does not answer"):
        mute.launch(intent(1), stage.head())
    assert stage.journal.actions() == ()
    stage.launch(intent(2))
    for _ in range(LIMITS.stuck_blocks):
        stage.outbid(20 * GWEI)
        mute.follow(stage.head())
    assert "not signed" in stage.flight("intent 2").why
    stage.outbid(GWEI)
    mute.follow(stage.head())
    stage.mine()
    mute.follow(stage.head())
    assert stage.flight("intent 2").state is State.INCLUDED


class Forger:
    """A signer that signs with another key than it says."""

    address = KEEPER

    def sign(self, transaction: Transaction) -> Signed:
        return LocalSigner(Secret(STRANGER_KEY)).sign(transaction)


def test_a_signer_outside__is_not_taken_at_its_word(stage: Stage) -> None:
    forged = Sender(stage.node, stage.journal, Forger(), CHAIN, LIMITS)
    with pytest.raises(Misconfigured, match=f"its signature is {STRANGER}'s"):
        forged.launch(intent(1), stage.head())
    assert stage.journal.actions() == ()
    assert stage.nonces("pending") == 0


def test_a_node_on_another_chain__is_refused_at_the_start(stage: Stage) -> None:
    stage.chain.ask("anvil_setChainId", 5)
    with pytest.raises(Misconfigured, match="the node is on chain 5, not on chain 31337"):
        stage.restart()


def test_a_journal__of_a_devnet_that_is_gone__is_refused_at_the_start(stage: Stage) -> None:
    with Anvil(timestamp=1_600_000_000) as another, pytest.raises(Misconfigured, match="name another file"):
        Sender(another.node, stage.journal, stage.signer, CHAIN, LIMITS).recover(another.node.head())


def test_a_flight_of_another_key__is_not_left_behind(stage: Stage) -> None:
    stage.launch(intent(1))
    stranger = Sender(stage.node, stage.journal, LocalSigner(Secret(STRANGER_KEY)), CHAIN, LIMITS)
    with pytest.raises(Misconfigured, match=f"nonce 0 of {KEEPER}, which is broadcast and not over"):
        stranger.recover(stage.head())
    stage.mine()
    stage.finalise()
    stage.follow()
    assert stranger.recover(stage.head()) == ()
    assert stranger.launch(intent(2), stage.head()).sender == STRANGER


def test_a_node_that_is_gone__is_blind_and_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    stage.launch(intent(1))
    sender = Sender(Node("http://127.0.0.1:9", timeout=1.0), stage.journal, stage.signer, CHAIN, LIMITS)
    for ask in (sender.recover, sender.follow):
        with pytest.raises(Blind):
            ask(stage.head())
    assert stage.flight().state is State.BROADCAST
    with Journal(tmp_path / "other.db") as journal:
        sender = Sender(Node("http://127.0.0.1:9", timeout=1.0), journal, stage.signer, CHAIN, LIMITS)
        with pytest.raises(Blind):
            sender.launch(intent(2), stage.head())
        assert journal.actions() == ()


def test_a_node_that_cannot_show_old_state__proves_no_foreign_use(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.mine(10)
    stage.launch(intent(1, block=10))
    stage.chain.ask("eth_sendRawTransaction", raw(stage, nonce=0))
    stage.mine(90)
    real = stage.node.ask

    def pruned(method: str, *params: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[1]:
            return {"transactions": []}
        return real(method, *params)

    monkeypatch.setattr(stage.node, "ask", pruned)
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm) == (State.BROADCAST, True)
    assert "keeps older state" in change.flight.why
    monkeypatch.undo()
    (change,) = stage.follow()
    assert change.flight.state is State.REPLACED


def test_signed_bytes__found_at_the_start__go_out_as_they_are(stage: Stage) -> None:
    fees = Fees(30 * GWEI, GWEI)
    signed = stage.sender._sign(intent(1), 0, Purpose.ACT, fees, stage.head())
    stage.journal.open_intent(intent(1), CHAIN, KEEPER, 0, signed)
    stage.journal.record("intent 1", Step(0, State.BROADCAST, "send: sent", None), sent_block=0)
    stage.mine(20)
    (change,) = stage.restart()
    assert change.flight.attempts == (signed,)
    assert change.flight.sent_block == stage.head().number, "it is not overbid before it had its time"
    stage.mine()
    stage.follow()
    assert stage.flight() == replace(stage.flight(), state=State.INCLUDED, attempts=(signed,))
