"""Several endpoints behind the questions one answers: what matters is believed only when enough of them say it.

A head is the highest block whose hash a quorum of endpoints gives, and never falls behind one it has returned while
any endpoint still shows that one. What a nonce, a receipt or finality depends on is asked of all at once and decided
by the quorum; the rest is read from the first endpoint that holds the head, and from the next when that one is silent,
asks for rest or does not know the block. A raw transaction goes to all. Who contradicts the quorum is quarantined,
which is to say asked for nothing but its head, until it agrees again.

Assumes: one thread asks.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final

from keeper.chain.agreement import CRITICAL, HELD, Believed, agreed_head, decided
from keeper.chain.member import Member, Told
from keeper.chain.node import Node, Question
from keeper.chain.wire import block_of, number_of
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured, NodeRefused, NodeUnreachable, NoQuorum

SEND: Final = "eth_sendRawTransaction"
_HEAD: Final[tuple[Question, ...]] = (("eth_chainId", ()), ("eth_getBlockByNumber", ("latest", False)))
_UNKNOWN_BLOCK: Final = ("header not found", "unknown block", "block not found", "missing trie node")
_PATH: Final = 128


@dataclass(frozen=True, slots=True)
class Health:
    """How one endpoint stands: its newest block and how far that is behind, in blocks and in seconds of the chain's
    clock against this machine's; `ailing` is why it is not read from, empty when it is.
    """

    name: str
    head: int | None
    lag: int | None
    age: float | None
    ailing: str
    failures: int


class Endpoints(Node):
    """The endpoints at `urls`, on the chain with this id, as one node.

    `quorum` is how many must say the same; by default more than half. `patience` is how many seconds one endpoint is
    waited for while another could be asked. Two that share a provider are one opinion, which nothing here can tell.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        timeout: float = 10.0,
        quorum: int | None = None,
        patience: float = 1.5,
    ) -> None:
        if len(set(urls)) != len(urls) or not urls:
            raise Misconfigured(f"node: {len(urls)} endpoints are named, and they must differ")
        super().__init__(urls[0], timeout)
        self.quorum: Final = len(urls) // 2 + 1 if quorum is None else quorum
        if not 1 <= self.quorum <= len(urls):
            raise Misconfigured(f"node: a quorum of {self.quorum} cannot be had of {len(urls)} endpoints")
        self._chain_id = chain_id
        self._patience = patience
        self._members = [Member(url, timeout) for url in urls]
        self._head: Block | None = None
        self._path: dict[int, str] = {}
        self._late: Told = SimpleQueue()

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one call; `NodeRefused` when it is an error, `NoQuorum` when too few agree on it."""
        if method == SEND:
            return self._send(params)
        if method in CRITICAL or method == HELD:
            (answer,) = self._ask_all([(method, params)])
            if isinstance(answer, NodeRefused):
                raise answer
            return answer
        (answer,) = self._ask_one([(method, params)])
        if isinstance(answer, NodeRefused):
            raise answer
        return answer

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        """The results of one batch, each refused question answered by its `NodeRefused`."""
        if not questions:
            return []
        if any(method in CRITICAL for method, _ in questions):
            return self._ask_all(questions)
        return self._ask_one(questions)

    def head(self) -> Block:
        """The highest block whose hash a quorum gives, `NoQuorum` when there is none."""
        self._hear_the_late()
        until = self._until()
        told = self._late = SimpleQueue()
        missing = sum(member.start(self._look, told, until) for member in self._members)
        heads: dict[Member, Block] = {}
        agreed: Block | None = None
        while missing and agreed is None:
            try:
                member, outcome = told.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            missing -= 1
            header = self._header(member, outcome)
            if header is not None:
                heads[member] = header
                agreed = self._same(heads)
        if agreed is None:
            agreed = self._highest(heads)
        self._never_back(agreed)
        self._head = agreed
        self._remember(agreed)
        for member in self._members:
            self._sort(member)
        return agreed

    def prove(self) -> None:
        """Have the chain id of every endpoint that answers; `Misconfigured` when a quorum is on another chain."""
        try:
            self.head()
        except NoQuorum:
            wrong = [f"{m.name} is on chain {m.chain_id}" for m in self._members if self._is_wrong(m)]
            if len(wrong) > len(self._members) - self.quorum:
                raise Misconfigured(
                    f"chain: the settings say {self._chain_id}, and {', '.join(wrong)}"
                ) from None
            raise

    def health(self) -> tuple[Health, ...]:
        """How each endpoint stood when it was last asked, in the order of the settings."""
        self._hear_the_late()
        top = max((m.head.number for m in self._members if m.head), default=0)
        return tuple(
            Health(
                name=m.name,
                head=m.head.number if m.head else None,
                lag=top - m.head.number if m.head else None,
                age=time.time() - m.head.timestamp if m.head else None,
                ailing=self._ailing(m),
                failures=m.failures,
            )
            for m in self._members
        )

    def _ailing(self, member: Member) -> str:
        if self._is_wrong(member):
            return f"node: {member.name} is on chain {member.chain_id}, not on {self._chain_id}"
        if member.quarantine:
            return member.quarantine
        if member.head is None:
            return f"node: {member.name} has not answered yet"
        if self._head is not None and member.head.number < self._head.number:
            behind = self._head.number - member.head.number
            return f"node: {member.name} lags {behind} blocks behind block {self._head.number}"
        return f"node: {member.name} failed {member.failures} times in a row" if member.failures else ""

    def _is_wrong(self, member: Member) -> bool:
        return member.chain_id not in (None, self._chain_id)

    # The head.

    @staticmethod
    def _look(node: Node) -> list[Any]:
        return node.ask_many(_HEAD)

    def _header(self, member: Member, outcome: list[Any] | Blind) -> Block | None:
        """What an endpoint shows as its head, if it is on the right chain."""
        if isinstance(outcome, Blind):
            member.failed()
            return None
        try:
            member.chain_id = number_of(outcome[0], "eth_chainId")
            head = block_of(outcome[1], "latest")
        except NodeUnreachable:
            member.failed()
            return None
        member.answered()
        if self._is_wrong(member):
            return None
        member.head = head
        return head

    def _same(self, heads: dict[Member, Block]) -> Block | None:
        """The head a quorum gives already, which spares waiting for the slow."""
        block = agreed_head(list(heads.values()), self.quorum)
        # Those who lag may be the first to answer.
        return None if block is None or (self._head and block.number < self._head.number) else block

    def _highest(self, heads: dict[Member, Block]) -> Block:
        """The highest block whose hash a quorum gives, those further ahead being asked what they have there."""
        for number in sorted({block.number for block in heads.values()}, reverse=True):
            reach = {member: head for member, head in heads.items() if head.number >= number}
            if len(reach) < self.quorum:
                continue
            votes = {member: self._hash_at(member, head, number) for member, head in reach.items()}
            counted = Counter(hash_ for hash_ in votes.values() if hash_ is not None).most_common(2)
            if not counted or counted[0][1] < self.quorum:
                continue
            if len(counted) == 2 and counted[1][1] == counted[0][1]:
                continue
            found = self._block(number, counted[0][0], votes, heads)
            if found is not None:
                return found
        shown = ", ".join(f"{m.name} shows block {b.number} {b.hash}" for m, b in heads.items())
        raise NoQuorum(
            f"node: {self.quorum} of {len(self._members)} endpoints must agree on a block, and do not: "
            f"{shown or 'none answered'}"
        )

    def _block(
        self, number: int, hash_: str, votes: dict[Member, str | None], heads: dict[Member, Block]
    ) -> Block | None:
        """The header of a block that was voted for, as a quorum gives it; it may be nobody's head."""
        told: Counter[Block] = Counter()
        for member in (m for m, vote in votes.items() if vote == hash_):
            block = heads[member]
            if block.hash != hash_:
                try:
                    with member.node.within(min(self._patience, self._left())):
                        block = member.node.block(number)
                except Blind:
                    continue
            told[block] += 1
            if block.hash == hash_ and told[block] >= self.quorum:
                return block
        return None

    def _hash_at(self, member: Member, head: Block, number: int) -> str | None:
        if head.number == number:
            return head.hash
        if head.number == number + 1:
            return head.parent
        try:
            with member.node.within(min(self._patience, self._left())):
                return member.node.block(number).hash
        except Blind:
            return None

    def _never_back(self, agreed: Block) -> None:
        """A head below one that was returned is believed only when every endpoint has left that one."""
        before = self._head
        if before is None or agreed.number >= before.number:
            return
        honest = [m for m in self._members if not m.quarantine and not self._is_wrong(m)]
        ahead = [m.name for m in honest if m.head is not None and m.head.number > agreed.number]
        if ahead:
            raise NoQuorum(
                f"node: a quorum shows block {agreed.number}, and block {before.number} was seen before, which "
                f"{', '.join(ahead)} had; waiting for the others to catch up"
            )

    def _hear_the_late(self) -> None:
        """What came in after a quorum had agreed without it."""
        while True:
            try:
                self._hear(*self._late.get_nowait())
            except Empty:
                return

    def _hear(self, member: Member, outcome: list[Any] | Blind) -> None:
        if self._header(member, outcome) is not None:
            self._sort(member)

    def _remember(self, agreed: Block) -> None:
        self._path = {n: h for n, h in self._path.items() if agreed.number - _PATH < n < agreed.number}
        self._path |= {agreed.number - 1: agreed.parent, agreed.number: agreed.hash}

    def _sort(self, member: Member) -> None:
        """Quarantine an endpoint that has another block where the agreed ones are, and let it back when it has not."""
        agreed, shown = self._head, member.head
        if agreed is None or shown is None:
            return
        number = min(agreed.number, shown.number)
        due, has = self._path.get(number), self._hash_at(member, shown, number)
        if due is None or has is None:
            return
        member.quarantine = (
            "" if has == due else f"node: {member.name} has {has} as block {number}, and a quorum has {due}"
        )

    # Reads.

    def _readable(self) -> list[Member]:
        """Whoever may be read from: on the chain, in no quarantine, and holding the head; those that failed last."""
        self._hear_the_late()
        head = self._head
        fit = [
            m
            for m in self._members
            if not m.quarantine
            and m.chain_id == self._chain_id
            and (head is None or (m.head is not None and m.head.number >= head.number))
        ]
        return sorted(fit, key=lambda m: m.shunned)

    def _fit(self) -> list[Member]:
        fit = self._readable()
        if not fit:
            self.head()
            fit = self._readable()
        if not fit:
            raise NoQuorum("node: no endpoint holds the head and agrees with the others on it")
        return fit

    def _ask_one(self, questions: Sequence[Question]) -> list[Any]:
        """The answers of the first endpoint that has them, each but the last waited for only so long."""
        self._fit()
        tried: list[Member] = []
        silence: Blind | None = None
        refused: list[Any] | None = None
        while fit := self._untried(tried):
            member, last = fit[0], len(fit) == 1
            tried.append(member)
            try:
                with member.node.within(self._left() if last else min(self._patience, self._left())):
                    answers = member.node.ask_each(questions)
            except NodeUnreachable as error:
                member.failed()
                silence = silence or error
                continue
            if not any(isinstance(a, NodeRefused) and _elsewhere(a) for a in answers):
                member.answered()
                return answers
            refused = refused or answers
        if refused is not None:
            return refused
        assert silence is not None
        raise silence

    def _untried(self, tried: list[Member]) -> list[Member]:
        """Whoever else may be read from; when none is known to, one whose head is still awaited is waited for."""
        give_up_at = time.monotonic() + min(self._patience, self._left())
        while True:
            fit = [m for m in self._readable() if m not in tried]
            left = give_up_at - time.monotonic()
            if fit or left <= 0 or all(m in tried or m.waiting == 0 for m in self._members):
                return fit
            try:
                self._hear(*self._late.get(timeout=left))
            except Empty:
                return []

    def _ask_all(self, questions: Sequence[Question]) -> list[Any]:
        """What a quorum answers to each question, as soon as one has."""
        self._fit()
        until = self._until()
        told: Told = SimpleQueue()

        def task(node: Node) -> list[Any]:
            return node.ask_each(questions)

        # One whose head is still awaited may turn out to hold it: its thread answers in order.
        able = [m for m in self._members if not m.quarantine and not self._is_wrong(m)]
        missing = sum(member.start(task, told, until) for member in able)
        answers: list[list[Any]] = []
        while missing:
            try:
                member, outcome = told.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            missing -= 1
            if isinstance(outcome, Blind):
                member.failed()
            elif member in self._readable():
                member.answered()
                answers.append(outcome)
                found = [self._decided(q, [a[n] for a in answers]) for n, q in enumerate(questions)]
                if all(each is not None for each in found):
                    return [each[0] for each in found if each is not None]
        if len(answers) < self.quorum:
            ailing = "; ".join(filter(None, map(self._ailing, self._members)))
            raise NoQuorum(
                f"node: {len(answers)} of {len(self._members)} endpoints answered {questions[0][0]} and can be "
                f"believed, and {self.quorum} must ({ailing or 'the others gave no answer'})"
            )
        return [self._verdict(q, [a[n] for a in answers]) for n, q in enumerate(questions)]

    def _verdict(self, question: Question, answers: list[Any]) -> Any:
        found = self._decided(question, answers)
        if found is not None:
            return found[0]
        return NodeRefused(f"{question[0]}: the endpoints do not agree on the answer")

    def _decided(self, question: Question, answers: list[Any]) -> Believed | None:
        return decided(*question, answers, self.quorum)

    # Sending.

    def _send(self, params: Sequence[Any]) -> Any:
        """Give the bytes to every endpoint on the chain, and return with the first that takes them."""
        until = self._until()
        told: Told = SimpleQueue()

        def task(node: Node) -> list[Any]:
            return [node.ask(SEND, *params)]

        able = [m for m in self._members if not self._is_wrong(m)]
        missing = sum(member.start(task, told, until) for member in able)
        silent: list[str] = [] if missing == len(able) else ["too much waits for an endpoint"]
        refusals: list[NodeRefused] = []
        while missing:
            try:
                _, outcome = told.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                silent.append(f"{missing} gave no answer in time")
                break
            missing -= 1
            if isinstance(outcome, NodeRefused):
                refusals.append(outcome)
            elif isinstance(outcome, Blind):
                silent.append(str(outcome))
            else:
                return outcome[0]
        if silent or not refusals:
            said = "; ".join([*silent, *(refusal.message for refusal in refusals)]) or "no endpoint is there"
            raise NodeUnreachable(f"node: nobody took the transaction: {said}")
        first, *rest = refusals
        raise NodeRefused(first.message, first.code, first.data, tuple(rest))

    def _left(self) -> float:
        return self._give_up_at - time.monotonic()

    def _until(self) -> float:
        return min(time.monotonic() + self.timeout, self._give_up_at)


def connect(urls: Sequence[str], chain_id: int, timeout: float, quorum: int | None = None) -> Node:
    """The node behind one address, or all behind several, known to be on the chain; else `Misconfigured`."""
    if len(urls) == 1 and quorum in (None, 1):
        node = Node(urls[0], timeout)
        told = node.ask_number("eth_chainId")
        if told != chain_id:
            raise Misconfigured(f"chain: {node.name} is on chain {told}, and the settings say {chain_id}")
        return node
    endpoints = Endpoints(urls, chain_id, timeout, quorum)
    endpoints.prove()
    return endpoints


def _elsewhere(refusal: NodeRefused) -> bool:
    """Whether another endpoint may well answer what this one refused."""
    said = refusal.message.lower()
    return refusal.is_about_rate or refusal.code == -32001 or any(text in said for text in _UNKNOWN_BLOCK)
