"""What clients say to a raw transaction, and how little it proves."""

from __future__ import annotations

import pytest

from keeper.domain.errors import NodeRefused
from keeper.send.answers import TEXTS, Meaning, read_refusal


@pytest.mark.parametrize(
    ("client", "text", "meaning"),
    [
        ("geth", "already known", Meaning.TAKEN),
        ("anvil", "transaction already imported", Meaning.TAKEN),
        ("nethermind", "AlreadyKnown", Meaning.TAKEN),
        ("erigon", "INTERNAL_ERROR: existing tx with same hash", Meaning.TAKEN),
        ("besu", "Known transaction", Meaning.TAKEN),
        ("anyone's", "unknown transaction type", Meaning.OPEN),
        ("reth", "already known", Meaning.TAKEN),
        ("reth", "nonce too low: next nonce 7, tx nonce 6", Meaning.SPENT),
        ("arbitrum", "nonce too low: address 0x0, tx: 6 state: 7", Meaning.SPENT),
        ("arbitrum", "nonce too high: address 0x0, tx: 9 state: 7", Meaning.OPEN),
        ("arbitrum", "invalid transaction nonce", Meaning.OPEN),
        ("arbitrum", "not enough funds for gas", Meaning.REFUSED),
        ("arbitrum", "max fee per gas less than block base fee: address 0x0, maxFeePerGas: 1", Meaning.OPEN),
        ("arbitrum", "sequencer pending tx pool full, please try again", Meaning.OPEN),
        ("nethermind", "NonceGap, Future nonce. Expected nonce: 7", Meaning.OPEN),
        ("nethermind", "FeeTooLowToCompete", Meaning.OPEN),
        ("nethermind", "OwnNonceAlreadyUsed", Meaning.OPEN),
        ("nethermind", "GasLimitExceeded, Gas limit: 1, gas limit of rejected tx: 2", Meaning.REFUSED),
        ("besu", "Gas price below configured minimum gas price", Meaning.OPEN),
        ("besu", "Intrinsic gas exceeds gas limit", Meaning.REFUSED),
        ("besu", "Transaction gas limit exceeds block gas limit", Meaning.REFUSED),
        ("besu", "Transaction fee cap exceeded", Meaning.REFUSED),
        ("erigon", "already known", Meaning.TAKEN),
        ("erigon", "nonce too low", Meaning.SPENT),
        ("erigon", "insufficient funds for gas * price + value", Meaning.REFUSED),
        ("erigon", "oversized data", Meaning.REFUSED),
        ("geth", "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", Meaning.REFUSED),
        ("geth", "transaction type not supported", Meaning.REFUSED),
        ("geth", "invalid sender", Meaning.REFUSED),
        ("anvil", "nonce too low", Meaning.SPENT),
        ("anvil", "invalid chain id", Meaning.REFUSED),
        ("geth", "nonce too low: next nonce 7, tx nonce 6", Meaning.SPENT),
        ("besu", "Nonce too low", Meaning.SPENT),
        ("nethermind", "OldNonce, Current nonce: 7, nonce of rejected tx: 6", Meaning.SPENT),
        (
            "geth",
            "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1",
            Meaning.REFUSED,
        ),
        ("anvil", "Insufficient funds for gas * price + value", Meaning.REFUSED),
        ("besu", "Upfront cost exceeds account balance", Meaning.REFUSED),
        ("nethermind", "InsufficientFunds, Account balance: 0, cumulative cost: 1", Meaning.REFUSED),
        ("geth", "intrinsic gas too low: gas 20000, minimum needed 21000", Meaning.REFUSED),
        ("anvil", "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", Meaning.REFUSED),
        ("geth", "exceeds block gas limit", Meaning.REFUSED),
        ("geth", "invalid chain id for signer: have 5 want 1", Meaning.REFUSED),
        ("geth", "max priority fee per gas higher than max fee per gas", Meaning.REFUSED),
        ("geth", "replacement transaction underpriced", Meaning.OPEN),
        ("geth", "transaction underpriced: tip needed 1, tip permitted 0", Meaning.OPEN),
        ("anvil", "max fee per gas less than block base fee", Meaning.OPEN),
        ("geth", "nonce too high", Meaning.OPEN),
        ("geth", "txpool is full", Meaning.OPEN),
        ("geth", "in-flight transaction limit reached for delegated accounts", Meaning.OPEN),
        ("a gateway", "internal error", Meaning.OPEN),
        ("a gateway", "daily request count exceeded, request rate limited", Meaning.OPEN),
        ("tomorrow's", "the moon is in the seventh house", Meaning.OPEN),
        ("anyone's", "", Meaning.OPEN),
    ],
)
def test_an_answer__of_each_client__means_no_more_than_it_proves(
    client: str, text: str, meaning: Meaning
) -> None:
    assert read_refusal(NodeRefused(f"eth_sendRawTransaction: {text}", -32000)).meaning is meaning, client


@pytest.mark.parametrize(
    ("texts", "meaning"),
    [
        (["insufficient funds", "InsufficientFunds, Account balance: 0"], Meaning.REFUSED),
        (["insufficient funds", "internal error"], Meaning.OPEN),
        (["insufficient funds", "already known"], Meaning.TAKEN),
        (["nonce too low", "OldNonce"], Meaning.SPENT),
        (["nonce too low", "insufficient funds"], Meaning.OPEN),
    ],
)
def test_the_answers_of_several_endpoints__mean_no_more_than_all_of_them_prove(
    texts: list[str], meaning: Meaning
) -> None:
    first, *others = (NodeRefused(f"eth_sendRawTransaction: {text}", -32000) for text in texts)
    answer = read_refusal(NodeRefused(first.message, first.code, others=tuple(others)))
    assert answer.meaning is meaning
    assert all(text in answer.text for text in texts)


def test_the_table__of_texts__names_every_client_and_no_pattern_twice() -> None:
    clients = {client for text in TEXTS for client in text.clients.split(", ")}
    assert clients == {"geth", "reth", "nethermind", "besu", "erigon", "arbitrum", "anvil", "gateways"}
    patterns = [text.pattern for text in TEXTS]
    assert len(set(patterns)) == len(patterns)
