"""How others send, each reduced to its habit with nonces, records and receipts: peers for the scorecard.

All look at the chain before they act, as bots do: an order that is counted is left alone. All send one transaction at
a time, bid twice the base fee and a tip, no more than the ceiling, and are started again when they die. They differ in
what they write down and when, in where a nonce comes from, and in what they hold for an end. None is another project's
code, and a project has more to it than its habit.
"""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address
from web3 import HTTPProvider, Web3
from web3.exceptions import TransactionNotFound
from web3.middleware import SignAndSendRawMiddlewareBuilder

from keeper.domain.units import GWEI
from tests.faults.campaign.works import MAX_FEE, ORDERED
from tests.send import flights_given

COUNTER = to_checksum_address(flights_given.COUNTER)
_NUMBERS = range(1, 4)
STUCK_BLOCKS = 3
"""After so many blocks a bid is raised."""
GIVEN_UP_BLOCKS = 10
"""After so many, two minutes of Ethereum's, a transaction of which nothing is seen is taken for lost."""


@dataclass
class Sent:
    """The transaction under way: the newest hash, and the block it went out at."""

    number: int
    nonce: int
    hash: str
    block: int
    bid: int


class Model(ABC):
    """What all of them do: poll, look, and either follow what is under way or carry out the next order."""

    def __init__(self, folder: Path) -> None:
        url = (folder / "url").read_text(encoding="utf-8")
        self.web3 = Web3(HTTPProvider(url, {"timeout": 0.5}, exception_retry_configuration=None))
        self.account = Account.from_key(os.environ["KEEPER_KEY"])
        self.record = folder / "record.json"
        self.sent: Sent | None = None

    def live(self) -> None:
        seen = ""
        while True:
            try:
                head = self.web3.eth.get_block("latest")
                if head["hash"].hex() != seen:
                    self.turn(int(head["number"]), int(head["baseFeePerGas"]))
                    seen = head["hash"].hex()
                    print(
                        json.dumps({"block": head["number"], "sent": self.sent and self.sent.number}),
                        flush=True,
                    )
            except Exception as error:  # noqa: BLE001 - what is not understood is tried again, as bots do
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(0.01)

    def turn(self, block: int, base_fee: int) -> None:
        if self.sent is not None:
            self.follow(self.sent, block, base_fee)
        if self.sent is None and (ordered := self.ordered()):
            self.carry_out(ordered[0], block, base_fee)

    def ordered(self) -> list[int]:
        """The numbers ordered and not counted, by the newest block."""

        def at(slot: int) -> int:
            return int(self.web3.eth.get_storage_at(COUNTER, slot).hex() or "0", 16)

        return [number for number in _NUMBERS if at(ORDERED + number) > at(number)]

    @abstractmethod
    def carry_out(self, number: int, block: int, base_fee: int) -> None:
        """Send for one that is ordered."""

    @abstractmethod
    def follow(self, sent: Sent, block: int, base_fee: int) -> None:
        """Look after what was sent."""

    def signed(self, number: int, nonce: int, bid: int) -> Any:
        return self.account.sign_transaction(
            {
                "type": 2,
                "chainId": 31337,
                "nonce": nonce,
                "to": COUNTER,
                "data": number.to_bytes(32),
                "value": 0,
                "gas": 100_000,
                "maxFeePerGas": bid,
                "maxPriorityFeePerGas": min(GWEI, bid),
            }
        )

    def mined(self, hash_: str) -> bool:
        try:
            self.web3.eth.get_transaction_receipt(hash_)
        except TransactionNotFound:
            return False
        return True

    def forget(self) -> None:
        self.sent = None

    def count(self, tag: str) -> int:
        return self.web3.eth.get_transaction_count(self.account.address, tag)


class Bidder(Model):
    """Chooses its nonces and its bids itself."""

    @abstractmethod
    def nonce(self) -> int:
        """The nonce for something new."""

    @abstractmethod
    def stuck(self, sent: Sent, block: int, bid: int) -> None:
        """What was sent has waited for long."""

    def carry_out(self, number: int, block: int, base_fee: int) -> None:
        self.send(number, self.nonce(), block, min(2 * base_fee + GWEI, MAX_FEE))

    def follow(self, sent: Sent, block: int, base_fee: int) -> None:
        """The first receipt is the end."""
        if self.mined(sent.hash):
            self.forget()
        elif block - sent.block >= STUCK_BLOCKS:
            self.stuck(sent, block, max(sent.bid * 9 // 8 + 1, 2 * base_fee + GWEI))

    def send(self, number: int, nonce: int, block: int, bid: int) -> None:
        signed = self.signed(number, nonce, bid)
        self.web3.eth.send_raw_transaction(signed.raw_transaction)
        self.sent = Sent(number, nonce, signed.hash.to_0x_hex(), block, bid)


class SendThenRecord(Bidder):
    """Sends, and then writes down what it sent: a crash between the two leaves a transaction nobody knows of.

    It raises its bid under the same nonce, and knows the newest hash alone.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if self.record.exists() and (held := self.record.read_text(encoding="utf-8")):
            self.sent = Sent(**json.loads(held))

    def nonce(self) -> int:
        return self.count("pending")

    def stuck(self, sent: Sent, block: int, bid: int) -> None:
        if self.count("latest") > sent.nonce:  # used, and not by the hash it knows
            self.forget()
        elif bid <= MAX_FEE:
            self.send(sent.number, sent.nonce, block, bid)

    def send(self, number: int, nonce: int, block: int, bid: int) -> None:
        super().send(number, nonce, block, bid)
        assert self.sent is not None
        self.record.write_text(json.dumps(asdict(self.sent)), encoding="utf-8")

    def forget(self) -> None:
        super().forget()
        self.record.write_text("", encoding="utf-8")


class LatestNonce(Bidder):
    """Remembers nothing and takes the nonce after the newest block's for whatever it sends."""

    def nonce(self) -> int:
        return self.count("latest")

    def stuck(self, sent: Sent, block: int, bid: int) -> None:
        if bid <= MAX_FEE:
            self.send(sent.number, self.nonce(), block, bid)


class UpwardOnly(Bidder):
    """Counts its nonces itself, and only ever up: one that was given to what never arrived leaves a hole for good."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        held = self.record.read_text(encoding="utf-8") if self.record.exists() else ""
        self.last = int(held or "-1")

    def nonce(self) -> int:
        self.last = max(self.last + 1, self.count("latest"))
        self.record.write_text(str(self.last), encoding="utf-8")
        return self.last

    def stuck(self, sent: Sent, block: int, bid: int) -> None:
        if block - sent.block >= GIVEN_UP_BLOCKS:
            self.forget()


class Web3Defaults(Model):
    """What web3.py does if it is let: nonce and fees of its own, five tries of each question, sending included, and the
    first receipt within two minutes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        provider: Any = self.web3.provider
        self.web3 = Web3(HTTPProvider(provider.endpoint_uri, {"timeout": 0.5}))
        self.web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(self.account), layer=0)
        self.web3.eth.default_account = self.account.address

    def carry_out(self, number: int, block: int, base_fee: int) -> None:
        hash_ = self.web3.eth.send_transaction({"to": COUNTER, "data": "0x" + number.to_bytes(32).hex()})
        self.sent = Sent(number, -1, hash_.to_0x_hex(), block, 0)

    def follow(self, sent: Sent, block: int, base_fee: int) -> None:
        if self.mined(sent.hash) or block - sent.block >= GIVEN_UP_BLOCKS:
            self.forget()


def send_then_record(folder: Path) -> None:
    SendThenRecord(folder).live()


def latest_nonce(folder: Path) -> None:
    LatestNonce(folder).live()


def upward_only(folder: Path) -> None:
    UpwardOnly(folder).live()


def web3_defaults(folder: Path) -> None:
    Web3Defaults(folder).live()
