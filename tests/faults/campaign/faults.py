"""The faults a campaign draws from, each named after its row in docs/faults.md.

A fault is a generator: what it does before its first `yield` begins it, each further round is one more block, and
closing it mends what can be mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, get_args

import rlp

from keeper.chain.node import Node
from keeper.domain.errors import NodeRefused
from keeper.domain.units import GWEI
from keeper.send.failpoints import VARIABLE, Name
from tests.faults.campaign.crews import Crew
from tests.faults.campaign.pool import Pool
from tests.faults.campaign.works import KEEPER, Work
from tests.faults.proxy import SEND, Call, Drop, Error, Fault, Hang, Proxy, Rewrite, Rule, Status, Swallow


@dataclass
class Play:
    """An episode under way, as faults may lay hands on it.

    `worst` is the endpoint that may do anything where there are several; `still` says that no block comes, `full`,
    `base_fee` and `seconds` of what kind the next ones are. `foreign` are transactions others sent with the keeper's
    key.
    """

    chain: Node
    work: Work
    crew: Crew
    pool: Pool
    proxies: list[Proxy]
    worst: Proxy
    still: bool = False
    full: bool = False
    base_fee: int | None = None
    seconds: int = 12
    foreign: list[str] = field(default_factory=list)

    def sent(self) -> list[str]:
        """The raw transactions the crew has sent, each once, in order."""
        return list(dict.fromkeys(raw for proxy in self.proxies for raw in proxy.sent))


Mishap = Callable[[Play, Random], Iterator[None]]


@dataclass(frozen=True)
class Kind:
    """A fault, and how often it is drawn beside others."""

    mishap: Mishap
    weight: int


CATALOGUE: dict[str, Kind] = {}
STEPS = get_args(Name)
DEEPEST = 4
"""Blocks that a reorganisation undoes at most."""


def mishap(name: str, weight: int = 2) -> Callable[[Mishap], Mishap]:
    """Enter a fault into the catalogue."""

    def enter(made: Mishap) -> Mishap:
        CATALOGUE[name] = Kind(made, weight)
        return made

    return enter


@contextmanager
def ruled(proxies: list[Proxy], rule: Rule) -> Iterator[None]:
    """A rule in force at some endpoints, before those already there."""
    for proxy in proxies:
        proxy.rules.insert(0, rule)
    try:
        yield
    finally:
        for proxy in proxies:
            proxy.rules.remove(rule)


def every(nth: int, methods: str, fault: Callable[[], Fault]) -> Rule:
    """Let a fault happen to every nth call of these methods, `*` being all."""
    wanted, seen = methods.split(), 0

    def rule(call: Call) -> Fault | None:
        nonlocal seen
        if "*" not in wanted and call["method"] not in wanted:
            return None
        seen += 1
        return fault() if seen % nth == 0 else None

    return rule


def lasting(proxies: list[Proxy], rule: Rule) -> Iterator[None]:
    with ruled(proxies, rule):
        while True:
            yield


# The process


@mishap("A1 killed at a step", weight=6)
def killed_at_a_step(play: Play, chance: Random) -> Iterator[None]:
    play.crew.start(**{VARIABLE: chance.choice(STEPS)})
    yield
    while play.crew.alive:
        yield
    while True:  # it is started again as any other
        yield


@mishap("A1 killed at a question", weight=6)
def killed_at_a_question(play: Play, chance: Random) -> Iterator[None]:
    left, heard = chance.randint(1, 40), chance.random() < 0.5

    def rule(_: Call) -> Fault | None:
        nonlocal left
        left -= 1
        if left:
            return None
        play.crew.strike()
        return Drop(after=heard)

    yield from lasting(play.proxies, rule)


@mishap("A1 killed as it sends", weight=10)
def killed_as_it_sends(play: Play, chance: Random) -> Iterator[None]:
    heard, struck = chance.random() < 0.7, False

    def rule(call: Call) -> Fault | None:
        nonlocal struck
        if call["method"] != SEND or struck:
            return None
        struck = True
        play.crew.strike()
        return Drop(after=heard)

    yield from lasting(play.proxies, rule)


@mishap("A1 killed, and down for a while", weight=3)
def killed_and_down(play: Play, chance: Random) -> Iterator[None]:
    play.crew.kept_down = True
    play.crew.kill()
    try:
        while True:
            yield
    finally:
        play.crew.kept_down = False


@mishap("A1 killed at every block")
def killed_at_every_block(play: Play, chance: Random) -> Iterator[None]:
    while True:
        play.crew.kill()
        yield


@mishap("A4 paused")
def paused(play: Play, chance: Random) -> Iterator[None]:
    play.crew.pause()
    try:
        while True:
            yield
    finally:
        play.crew.go_on()


@mishap("A7 told to end")
def told_to_end(play: Play, chance: Random) -> Iterator[None]:
    play.crew.end()
    while True:
        yield


# The way out


@mishap("B1 taken, and the answer lost", weight=6)
def answer_lost(play: Play, chance: Random) -> Iterator[None]:
    yield from lasting(play.proxies, every(chance.randint(1, 2), SEND, lambda: Drop(after=True)))


@mishap("B2 never arrived")
def never_arrived(play: Play, chance: Random) -> Iterator[None]:
    yield from lasting(play.proxies, every(chance.randint(1, 2), SEND, Drop))


@mishap("B3 an error after it was taken")
def error_after(play: Play, chance: Random) -> Iterator[None]:
    wrong: Fault = chance.choice(
        [
            Status(500, after=True),
            Status(502, after=True),
            Error("internal error", after=True),
            Error("insufficient funds for gas * price + value", after=True),
        ]
    )
    yield from lasting(play.proxies, every(1, SEND, lambda: wrong))


@mishap("B4 already known, or so it says")
def already_known(play: Play, chance: Random) -> Iterator[None]:
    text, taken = chance.choice(["already known", "nonce too low", "OldNonce"]), chance.random() < 0.7
    yield from lasting(play.proxies, every(1, SEND, lambda: Error(text, after=taken)))


@mishap("B5 the key is used elsewhere", weight=1)
def used_elsewhere(play: Play, chance: Random) -> Iterator[None]:
    price = hex(2_000 * GWEI)
    count = play.chain.ask("eth_getTransactionCount", KEEPER, "latest")
    fields = {"from": KEEPER, "to": KEEPER, "gas": hex(21_000), "nonce": count}
    play.foreign.append(
        play.chain.ask(
            "eth_sendTransaction", {**fields, "maxFeePerGas": price, "maxPriorityFeePerGas": hex(GWEI)}
        )
    )
    while True:
        yield


@mishap("B7 dropped from the pool")
def dropped(play: Play, chance: Random) -> Iterator[None]:
    while True:
        play.pool.lose()
        yield


@mishap("B8 a replacement must bid a tenth more")
def by_the_tenth(play: Play, chance: Random) -> Iterator[None]:
    best: dict[int, tuple[int, int]] = {}

    def rule(call: Call) -> Fault | None:
        if call["method"] != SEND:
            return None
        fields = rlp.decode(bytes.fromhex(call["params"][0][4:]))
        nonce, tip, most = (int.from_bytes(fields[n], "big") for n in (1, 2, 3))
        before = best.get(nonce, (0, 0))
        if before != (tip, most) and not (10 * tip > 11 * before[0] and 10 * most > 11 * before[1]):
            return Error("replacement transaction underpriced")
        best[nonce] = (tip, most)
        return None

    yield from lasting(play.proxies, rule)


@mishap("B9 the base fee leaps")
def dear(play: Play, chance: Random) -> Iterator[None]:
    play.base_fee = chance.choice([20, 100, 300, 600]) * GWEI
    try:
        while True:
            yield
    finally:
        play.base_fee = 2 * GWEI


@mishap("B11 left out of every block", weight=4)
def left_out(play: Play, chance: Random) -> Iterator[None]:
    play.full = True
    try:
        while True:
            yield
    finally:
        play.full = False


@mishap("B11 swallowed", weight=3)
def swallowed(play: Play, chance: Random) -> Iterator[None]:
    yield from lasting(play.proxies, every(1, SEND, Swallow))


@mishap("B13 no gas money", weight=1)
def no_money(play: Play, chance: Random) -> Iterator[None]:
    try:
        while True:
            play.chain.ask("anvil_setBalance", KEEPER, "0x1")
            yield
    finally:
        play.chain.ask("anvil_setBalance", KEEPER, hex(10**21))


@mishap("B15 blocks too small", weight=1)
def small_blocks(play: Play, chance: Random) -> Iterator[None]:
    before = int(play.chain.ask("eth_getBlockByNumber", "latest", False)["gasLimit"], 16)
    play.chain.ask("evm_setBlockGasLimit", hex(60_000))
    try:
        while True:
            yield
    finally:
        play.chain.ask("evm_setBlockGasLimit", hex(before))


@mishap("B18 a delegated sender", weight=1)
def delegated(play: Play, chance: Random) -> Iterator[None]:
    text = "in-flight transaction limit reached for delegated accounts"
    yield from lasting(play.proxies, every(1, SEND, lambda: Error(text)))


# The chain


def reorganise(play: Play, depth: int, again: list[str]) -> None:
    """Undo the newest blocks, and mine some of their transactions in the first new one, where they fit there."""
    try:
        play.chain.ask("anvil_reorg", depth, [[raw, 0] for raw in again])
    except NodeRefused:
        play.chain.ask("anvil_reorg", depth, [])
    play.crew.forget()


@mishap("C1 a reorganisation that includes it again", weight=3)
def undone_and_redone(play: Play, chance: Random) -> Iterator[None]:
    yield
    reorganise(play, chance.randint(1, DEEPEST), play.sent()[-1:])
    while True:
        yield


@mishap("C2 a reorganisation that loses it", weight=5)
def undone(play: Play, chance: Random) -> Iterator[None]:
    while True:
        yield
        reorganise(play, chance.randint(1, DEEPEST), [])
        for _ in range(chance.randint(1, 4)):
            yield


@mishap("C3 a reorganisation that takes another bid", weight=3)
def undone_otherwise(play: Play, chance: Random) -> Iterator[None]:
    while len(play.sent()) < 2:
        yield
    reorganise(play, chance.randint(1, DEEPEST), [chance.choice(play.sent())])
    while True:
        yield


@mishap("C6 the head stands still")
def still(play: Play, chance: Random) -> Iterator[None]:
    play.still = True
    try:
        while True:
            yield
    finally:
        play.still = False


@mishap("C7 finality stands still")
def no_finality(play: Play, chance: Random) -> Iterator[None]:
    frozen = play.chain.ask("eth_getBlockByNumber", "0x0", False)

    def rule(call: Call) -> Fault | None:
        return Rewrite(lambda _: frozen) if "finalized" in call["params"] else None

    yield from lasting(play.proxies, rule)


@mishap("C8 odd timestamps")
def odd_times(play: Play, chance: Random) -> Iterator[None]:
    try:
        while True:
            play.seconds = chance.choice([1, 2, 12, 150, 900])
            yield
    finally:
        play.seconds = 12


# The endpoints: one of several may do anything, one alone only what is no lie


@mishap("D1 hangs")
def hangs(play: Play, chance: Random) -> Iterator[None]:
    yield from lasting([play.worst], every(chance.randint(1, 4), "*", lambda: Hang(0.8)))


@mishap("D1 breaks off")
def breaks_off(play: Play, chance: Random) -> Iterator[None]:
    after = chance.random() < 0.5
    yield from lasting([play.worst], every(chance.randint(1, 4), "*", lambda: Drop(after)))


@mishap("D2 asks for rest")
def asks_for_rest(play: Play, chance: Random) -> Iterator[None]:
    wrong: Fault = chance.choice([Status(429, {"Retry-After": "1"}), Error("limit exceeded", -32005)])
    yield from lasting([play.worst], every(chance.randint(1, 4), "*", lambda: wrong))


@mishap("D3 talks nonsense")
def nonsense(play: Play, chance: Random) -> Iterator[None]:
    wrong: Fault = chance.choice(
        [
            Status(200),
            Status(200, body=b'{"jsonrpc": "2.0", "id'),
            Status(200, body=b'{"jsonrpc": "2.0", "id": 987654, "result": "0x1"}'),
            Status(200, body=b"[]"),
            Rewrite(lambda _: None),
        ]
    )
    yield from lasting([play.worst], every(chance.randint(1, 4), "*", lambda: wrong))


@mishap("D4 lags")
def lags(play: Play, chance: Random) -> Iterator[None]:
    old = play.chain.ask("eth_getBlockByNumber", "latest", False)

    def rule(call: Call) -> Fault | None:
        if call["method"] == "eth_blockNumber":
            return Rewrite(lambda _: old["number"])
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "latest":
            return Rewrite(lambda _: old)
        if call["method"] in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            return Rewrite(_mined_up_to(int(old["number"], 16)))
        return None

    yield from lasting([play.worst], rule)


@mishap("D6 hides what was mined")
def hides(play: Play, chance: Random) -> Iterator[None]:
    method = chance.choice(["eth_getTransactionReceipt", "eth_getTransactionByHash"])
    yield from lasting([play.worst], every(1, method, lambda: Rewrite(lambda _: None)))


@mishap("D6 lies")
def lies(play: Play, chance: Random) -> Iterator[None]:
    if len(play.proxies) == 1:  # against a lie there must be others
        yield from hides(play, chance)
    method, lie = chance.choice(
        [
            ("eth_getTransactionCount", lambda count: hex(int(count, 16) + 3)),
            ("eth_getTransactionCount", lambda _: "0x0"),
            ("eth_getBlockByNumber", lambda header: header and {**header, "timestamp": "0x1"}),
            ("eth_getBlockByNumber", lambda header: header and {**header, "number": hex(10**6)}),
            ("eth_getTransactionReceipt", lambda told: told and {**told, "status": "0x0"}),
            ("eth_getBalance", lambda _: "0x1"),
        ]
    )
    yield from lasting([play.worst], every(1, method, lambda: Rewrite(lie)))


def _mined_up_to(number: int) -> Callable[[Any], Any]:
    def change(told: Any) -> Any:
        mined = isinstance(told, dict) and told.get("blockNumber") is not None
        return None if mined and int(told["blockNumber"], 16) > number else told

    return change


WEIGHTS = {name: kind.weight for name, kind in CATALOGUE.items()}
