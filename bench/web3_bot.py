"""The keeper's peer: a bot as one writes it with web3.py and eth_account in an afternoon, doing the same job.

It polls for a block, reads every account's health, asks the contract about those below their floor, and sends. Where
it could be written in more than one way it has the better one: it polls every 10 ms, its gas estimate gets the margin
without which every second such transaction reverts, its signatures come from coincurve. It journals nothing, rehearses
nothing, and knows no nonce but the node's.

Run as a process of its own: `python -m bench.web3_bot WATCH.json`, the key in KEEPER_KEY.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from web3 import HTTPProvider, Web3

_POLL_SECONDS: Final = 0.01
_TOGETHER: Final = 500
_WAD_PER_BPS: Final = 10**14
_BREACHED: Final = 1
_DELEVERAGE: Final = 0


class Bot:
    """What the watch file says: the node, the contracts with their whole ABIs, and each owner's floor."""

    def __init__(self, watch: dict[str, Any], key: str) -> None:
        self.web3 = Web3(HTTPProvider(watch["url"]))
        self.account = Account.from_key(key)
        self.floors: dict[str, int] = watch["floors_bps"]
        self.owners = list(self.floors)
        self.pool = self.web3.eth.contract(address=watch["aave"], abi=watch["aave_abi"])
        self.thresholds = self.web3.eth.contract(address=watch["thresholds"], abi=watch["thresholds_abi"])
        self.multicall = self.web3.eth.contract(address=watch["multicall"], abi=watch["multicall_abi"])
        self.healths = self.by_multicall if watch["by_multicall"] else self.call_by_call

    def call_by_call(self) -> list[int]:
        """Every owner's health factor in WAD."""
        return [self.pool.functions.getUserAccountData(owner).call()[5] for owner in self.owners]

    def by_multicall(self) -> list[int]:
        """The same in a few calls."""
        healths: list[int] = []
        for start in range(0, len(self.owners), _TOGETHER):
            calls = [
                (self.pool.address, True, self.pool.encode_abi("getUserAccountData", [owner]))
                for owner in self.owners[start : start + _TOGETHER]
            ]
            answers = self.multicall.functions.aggregate3(calls).call()
            healths += [self.web3.codec.decode(["uint256"] * 6, data)[5] for _, data in answers]
        return healths

    def look(self) -> None:
        """Read all, then act on whoever is below the floor."""
        for owner, health in zip(self.owners, self.healths(), strict=True):
            if health < self.floors[owner] * _WAD_PER_BPS:
                verdict, _, _, repay, sell, fee, _ = self.thresholds.functions.check(owner, 0).call()
                if verdict == _BREACHED:
                    self.act(owner, repay, sell, fee)

    def act(self, owner: str, repay: int, sell: int, fee: int) -> None:
        """Build, sign and send."""
        deadline = int(self.web3.eth.get_block("latest")["timestamp"]) + 300
        call = self.thresholds.functions.rebalance(
            owner, 0, (_DELEVERAGE, repay, sell * 1003 // 1000, fee, deadline)
        )
        sender = self.account.address
        nonce = self.web3.eth.get_transaction_count(sender)
        transaction = call.build_transaction({"from": sender, "nonce": nonce})
        transaction["gas"] = transaction["gas"] * 13 // 10
        signed = self.account.sign_transaction(transaction)
        self.web3.eth.send_raw_transaction(signed.raw_transaction)


def main() -> None:
    """Watch until killed; a line of JSON for every block attended."""
    bot = Bot(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), os.environ["KEEPER_KEY"])
    seen = -1
    while True:
        number = bot.web3.eth.block_number
        if number == seen:
            time.sleep(_POLL_SECONDS)
            continue
        bot.look()
        seen = number
        print(json.dumps({"block": number}), flush=True)


if __name__ == "__main__":
    main()
