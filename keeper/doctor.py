"""What must be true before a keeper is started, looked at without starting one: each finding a sentence and what to do.

Nothing is signed but a transaction no chain can take, nothing is sent, and the journal is not created.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from keeper.alerts import channels_of
from keeper.app import breaker_limits_of, connect, look, relays_of, send_limits_of, signer, watched
from keeper.breakers import PAUSE, prices_apart
from keeper.chain import deployed
from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, JournalBroken, KeeperError, NodeRefused, Unsafe
from keeper.domain.rules import RuleKey
from keeper.domain.texts import count_text
from keeper.domain.units import NOBODY, Address, decimal_text
from keeper.domain.verdicts import Kind, Verdict
from keeper.journal.journal import Reader, stopped_by
from keeper.positions.port import Look, Positions
from keeper.protocols.deployments import deployed_on
from keeper.send.fees import first_fees, gwei_text
from keeper.send.signers import KEY_VARIABLE, PASSWORD_VARIABLE
from keeper.settings import Settings
from keeper.shards import require_keys_apart

_SKEW_SECONDS: Final = 30
_OLD_HEAD_SECONDS: Final = 300
_SLOW_SECONDS: Final = 1.0
_LEAST_DISK: Final = 100 * 2**20
_ACTIONS_IN_STOCK: Final = 10
_GRANTS: Final = frozenset({"allowance", "approval", "delegation"})
_OBSTACLES: Final = _GRANTS | {"pool", "oracle"}
"""The rooms of a reason why a rule could not be acted on, though nothing is to be done yet."""
_LOCAL_CHAINS: Final = frozenset({1337, 31337})


class Grade(IntEnum):
    """How bad a finding is: nothing to do, worth a look, or not to be started with."""

    GOOD = 0
    POOR = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen in a sentence, and what to type next when something is to be done."""

    subject: str
    grade: Grade
    said: str
    next: str = ""


def examine(settings: Settings, config: Path) -> Iterator[Finding]:
    """Every finding, in the order in which a start would stumble over them; none of them raises."""
    can_be_asked = yield from _endpoints(settings)
    node, head = None, None
    try:
        if can_be_asked:  # else it has been said why not
            node = connect(settings)
            head = node.head()
            yield Finding("chain", Grade.GOOD, f"chain: block {head.number} on chain {settings.chain.id}")
    except KeeperError as error:
        yield Finding("chain", Grade.BAD, str(error), f"edit chain.url, chain.urls or chain.id in {config}")
    if head is not None:
        yield _clock(head, settings.chain.id)
    yield from _relays(settings)
    if node is not None and head is not None:
        yield from _protocols(settings, node, head)
    yield _alerts(settings)
    senders: dict[str, Address] = {}
    for shard, mine in _each_shard(settings):
        for finding, address in _key(mine, shard):
            if address is not None:
                senders[shard] = address
            yield finding
    yield from _shards(settings, senders)
    yield from _journal(settings, senders)
    if node is not None and head is not None:
        for sender in senders.values():
            yield _money(settings, node, head, sender)
        yield from _rules(settings, node, config, senders)


def _each_shard(settings: Settings) -> tuple[tuple[str, Settings], ...]:
    """What has a key of its own, by the name of its shard; the whole, without a name, where there are none."""
    return tuple((shard.name, settings.of_shard(shard)) for shard in settings.shards) or (("", settings),)


def _shards(settings: Settings, senders: Mapping[str, Address]) -> Iterator[Finding]:
    """Among which shards the owners are, and that no two take each other's nonces."""
    if not settings.shards:
        return
    try:
        require_keys_apart(senders)
    except KeeperError as error:
        yield Finding("shards", Grade.BAD, str(error), "name another key in one of them")
        return
    counts = {
        shard: len({owner for watch in mine.watch for owner in watch.owners})
        for shard, mine in _each_shard(settings)
    }
    said = ", ".join(f"{shard} {count_text(count, 'owner')}" for shard, count in counts.items())
    idle = not all(counts.values())
    next_ = "name owners in its shards.owners, or take it out" if idle else ""
    yield Finding("shards", Grade.POOR if idle else Grade.GOOD, f"shards: {said}", next_)
    known = {owner for watch in settings.watch for owner in watch.owners}
    for shard in settings.shards:
        if strange := [owner for owner in shard.owners if owner not in known]:
            unwatched = f"shards: {shard.name} names {', '.join(strange)}, whom no watch has"
            yield Finding("shards", Grade.POOR, unwatched, "name them in a watch's owners, or take them out")


def _endpoints(settings: Settings) -> Generator[Finding, None, bool]:
    """Each endpoint by itself: an answer, the right chain, how long it took; whether enough of them can be used."""
    urls = settings.chain.endpoints
    needed = settings.chain.quorum or len(urls) // 2 + 1
    able = 0
    heads: list[int] = []
    for url in urls:
        try:
            node = Node(url, min(settings.chain.timeout_seconds, 5.0))
            begun = time.monotonic()
            chain_id, number = node.ask_number("eth_chainId"), node.ask_number("eth_blockNumber")
            taken = (time.monotonic() - begun) / 2
        except KeeperError as error:
            grade = Grade.POOR if len(urls) > 1 else Grade.BAD
            yield Finding("endpoint", grade, str(error), "try it with curl, or name another endpoint")
            continue
        if chain_id != settings.chain.id:
            said = f"node: {node.name} is on chain {chain_id}, and the settings say {settings.chain.id}"
            yield Finding("endpoint", Grade.BAD, said, "name an endpoint of the right chain")
            continue
        able += 1
        heads.append(number)
        behind = max(heads) - number
        said = f"node: {node.name} is at block {number} and answers in {taken * 1000:.0f} ms"
        if taken > _SLOW_SECONDS or behind > 3:
            slow = f", {behind} blocks behind another" if behind > 3 else ""
            yield Finding("endpoint", Grade.POOR, said + slow, "name it last, or another one")
        else:
            yield Finding("endpoint", Grade.GOOD, said)
    if able < needed:
        if len(urls) > 1:
            said = f"chain: {able} of {len(urls)} endpoints can be used, and {needed} must agree"
            lower = ", or lower chain.quorum" if needed > 1 else ""
            yield Finding("quorum", Grade.BAD, said, f"name more endpoints in chain.urls{lower}")
        return False
    if len(urls) == 1:
        yield Finding(
            "quorum",
            Grade.POOR if settings.chain.id not in _LOCAL_CHAINS else Grade.GOOD,
            "chain: one endpoint is named, so whatever it says is believed",
            "" if settings.chain.id in _LOCAL_CHAINS else "name two more in chain.urls",
        )
    else:
        yield Finding(
            "quorum", Grade.GOOD, f"chain: {able} of {len(urls)} endpoints, and {needed} must agree"
        )
    return True


def _relays(settings: Settings) -> Iterator[Finding]:
    """Whether each relay says anything, a refusal being something: not all of them answer questions."""
    for relay in relays_of(settings):
        begun = time.monotonic()
        try:
            relay.node.ask("eth_chainId")
        except NodeRefused:
            pass
        except KeeperError as error:
            next_ = "try it with curl, or take it out of relays"
            yield Finding("relay", Grade.POOR, f"relay {relay.name}: {error}", next_)
            continue
        taken = time.monotonic() - begun
        said = f"relay {relay.name}: {relay.node.name} answers in {taken * 1000:.0f} ms"
        yield Finding("relay", Grade.GOOD, said)


def _protocols(settings: Settings, node: Node, head: Block) -> Iterator[Finding]:
    """Aave and Uniswap where their owners publish them, on a chain that is known, and the contracts on top of them."""
    known = deployed_on(settings.chain.id)
    if known is None:
        return
    try:
        deployed.require(node, known, head)
        yield Finding("protocols", Grade.GOOD, f"chain: Aave and Uniswap stand where {known.title} has them")
        for watch in settings.watch:
            at = Address(watch.thresholds)
            if what := deployed.stands_elsewhere(node, known, watch.kind, at, head):
                said = f"contract: {at} for {watch.kind} stands on {what}"
                yield Finding("protocols", Grade.POOR, said, "leave it, unless you know whose it is")
    except KeeperError as error:
        yield Finding("protocols", Grade.BAD, str(error), "name an endpoint of the right chain")


def _alerts(settings: Settings) -> Finding:
    """Whether anybody would be told; nothing is sent to find out."""
    try:
        count = len(channels_of(settings.alerts))
    except KeeperError as error:
        return Finding("alerts", Grade.BAD, str(error), "edit alerts.urls, or KEEPER_ALERT_URLS")
    if count == 0:
        grade = Grade.GOOD if settings.chain.id in _LOCAL_CHAINS else Grade.POOR
        return Finding(
            "alerts",
            grade,
            "alerts: the keeper itself tells nobody",
            "name one in alerts.urls" if grade else "",
        )
    beats = ", and a heartbeat" if settings.alerts.heartbeat_url else ""
    return Finding("alerts", Grade.GOOD, f"alerts: by {count_text(count, 'channel')} in turn{beats}")


def _clock(head: Block, chain_id: int) -> Finding:
    """This machine's clock against the newest block's, which is never ahead of the time it was made."""
    ahead = head.timestamp - time.time()
    local = chain_id in _LOCAL_CHAINS
    if ahead > _SKEW_SECONDS:
        said = f"clock: the newest block is {ahead:.0f} s ahead of this machine's clock"
        return Finding("clock", Grade.POOR if local else Grade.BAD, said, "timedatectl set-ntp true")
    said = f"clock: the newest block is {max(-ahead, 0.0):.0f} s old"
    if -ahead <= _OLD_HEAD_SECONDS:
        return Finding("clock", Grade.GOOD, said)
    if local:
        return Finding("clock", Grade.GOOD, f"{said}, as where nobody mines it may be")
    return Finding(
        "clock",
        Grade.BAD,
        f"{said}: the chain stands still, or the clock runs ahead",
        "timedatectl status",
    )


def _key(settings: Settings, shard: str) -> Iterator[tuple[Finding, Address | None]]:
    key = settings.key
    kept = key.remote.private_key if key.remote else key.keystore
    if kept is not None:
        mode = _mode(kept)
        if mode is not None and mode & 0o077:
            said = f"key: {kept} can be read by others than its owner (its mode is {mode:o})"
            yield Finding("key", Grade.BAD, said, f"chmod 600 {kept}"), None
    elif not (key.remote or key.aws_kms or key.gcp_kms) and _is_in_the_open(settings.chain.id):
        said = f"key: it stands in {KEY_VARIABLE}, where every program of this user can read it"
        yield Finding("key", Grade.POOR, said, "name an encrypted keystore in key.keystore"), None
    try:
        found = signer(settings)
    except KeeperError as error:
        whose = f"shard {shard}: " if shard else ""
        yield Finding("key", Grade.BAD, f"{whose}{error}", _next_about_the_key(settings, str(error))), None
        return
    what = f" for shard {shard}" if shard else ""
    yield Finding("key", Grade.GOOD, f"key: {found.address} signs{what}"), found.address


def _is_in_the_open(chain_id: int) -> bool:
    return bool(os.environ.get(KEY_VARIABLE)) and chain_id not in _LOCAL_CHAINS


def _next_about_the_key(settings: Settings, said: str) -> str:
    """What to type when nothing signs, for the reason that was said."""
    key = settings.key
    if key.aws_kms:
        return f"aws kms get-public-key --key-id {key.aws_kms}"
    if key.gcp_kms:
        return f"gcloud kms keys versions get-public-key {key.gcp_kms}"
    if key.remote and "key.remote.url" in said:
        return "edit key.remote.url"
    if key.remote:
        return f"curl --cert … --key … {urlsplit(key.remote.url).hostname}"
    if key.keystore is None:
        return f"export {KEY_VARIABLE}=…, or set key.keystore"
    if f"{PASSWORD_VARIABLE} is not set" in said:
        return f"export {PASSWORD_VARIABLE}=…"
    if "does not open" in said:
        return f"export {PASSWORD_VARIABLE}=…, the one that {key.keystore.name} was made with"
    return f"ls -l {key.keystore}, or name another in key.keystore"


def _journal(settings: Settings, senders: Mapping[str, Address]) -> Iterator[Finding]:
    """Whether it can be read and written, whose flights are in it, and which breakers are latched."""
    path = None if settings.journal.url else settings.journal.path
    if path is not None:
        trouble = _unwritable(path)
        if trouble is not None:
            next_ = "name a file in journal.path" if path.is_dir() else f"ls -ld {path.parent}"
            yield Finding("journal", Grade.BAD, trouble, next_)
            return
        if not path.exists():
            yield Finding("journal", Grade.GOOD, f"journal: none at {path} yet, and one can be made there")
            return
    try:
        with Reader(settings.journal.place) as reader:
            bound, open_, latches = reader.chain(), reader.flights(), reader.latches()
            among = reader.among()
    except JournalBroken as error:
        new = "empty" in str(error) or "older keeper" in str(error)
        next_ = "keeper run" if new else "restore it, or name another in keeper.toml"
        if path is None and error.__cause__ is not None:  # the database's own, before anything of it was read
            next_ = "see that the server answers there, and that journal.url names it"
        yield Finding("journal", Grade.POOR if new else Grade.BAD, str(error), next_)
        return
    if bound is not None and bound[0] != settings.chain.id:
        said = f"journal: it belongs to chain {bound[0]}, and the settings say {settings.chain.id}"
        yield Finding("journal", Grade.BAD, said, "name another in keeper.toml")
    if open_ and among != settings.among:
        said = (
            "journal: its owners are shared otherwise than these settings say, and it has "
            f"{count_text(len(open_), 'flight')} under way"
        )
        yield Finding(
            "journal", Grade.BAD, said, "keeper run, paused, with the shards as they were until none is"
        )
    keys = sorted(senders.values())
    known = len(keys) == len(_each_shard(settings))
    foreign = sorted({flight.sender for flight in open_ if known and flight.sender not in keys})
    if foreign:
        said = f"journal: flights of {', '.join(foreign)} are not over, and the key is {' or '.join(keys)}'s"
        yield Finding("journal", Grade.BAD, said, "keeper run, with the key they were signed with")
    yield Finding(
        "journal", Grade.GOOD, f"journal: it can be used, with {count_text(len(open_), 'flight')} under way"
    )
    for latch in latches:
        grade = Grade.POOR if latch.name == PAUSE else Grade.BAD
        yield Finding("breaker", grade, stopped_by(latch), f"keeper resume {latch.name}")


def _unwritable(path: Path) -> str | None:
    """Why a journal cannot be written at a path; None when it can."""
    if path.is_dir():
        return f"journal: {path} is a folder"
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return f"journal: {path.parent} cannot be written ({error.strerror})"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"journal: {path} may not be read and written by this user"
    if free < _LEAST_DISK:
        return f"journal: {free >> 20} MiB are free at {path.parent}, and {_LEAST_DISK >> 20} are the least"
    return None


def _money(settings: Settings, node: Node, head: Block, sender: Address) -> Finding:
    """The key's gas money against what actions of the largest size would cost at the first bid."""
    limits = settings.limits
    try:
        send_limits = send_limits_of(settings)
        fees = first_fees(head.base_fee, send_limits, send_limits.action_fee_wei)
        balance = node.ask_number("eth_getBalance", sender, "latest")
    except Unsafe as error:
        return Finding("gas", Grade.POOR, str(error), "raise limits.max_fee_gwei, or wait")
    except Blind as error:
        return Finding("gas", Grade.BAD, str(error), "keeper doctor")
    cost = fees.max_fee * limits.max_gas
    said = (
        f"gas: {sender} holds {decimal_text(balance, 18, 4)} ETH, and an action may cost {decimal_text(cost, 18, 4)} "
        f"at {gwei_text(fees.max_fee)} gwei"
    )
    grade = Grade.BAD if balance < cost else Grade.POOR if balance < _ACTIONS_IN_STOCK * cost else Grade.GOOD
    missing = decimal_text(max(_ACTIONS_IN_STOCK * cost - balance, 0), 18, 4)
    return Finding("gas", grade, said, "" if grade is Grade.GOOD else f"send {missing} ETH to {sender}")


def _rules(settings: Settings, node: Node, config: Path, senders: Mapping[str, Address]) -> Iterator[Finding]:
    """The code at each contract, and every rule's own obstacles, allowances among them, in its contract's words."""
    try:
        positions = watched(settings, node)
        for watch in settings.watch:
            yield Finding(
                "contract", Grade.GOOD, f"contract: {watch.thresholds} holds rules for {watch.kind}"
            )
        head, looks = look(settings)
        yield from _prices(settings, positions, head, [seen.verdict.key for seen in looks])
    except KeeperError as error:
        yield Finding("contract", Grade.BAD, str(error), f"edit [[watch]] in {config}")
        return
    able = 0
    for seen in looks:
        verdict = seen.verdict
        named = _named_in_vain(settings, seen, senders)
        if named is not None:
            yield named
        elif verdict.kind in (Kind.BARRED, Kind.BLIND) or verdict.why.partition(":")[0] in _OBSTACLES:
            kind = settings.kinds[verdict.key.thresholds]
            said = f"{kind} rule {verdict.key.id} of {verdict.key.owner}: {verdict.why}"
            yield Finding("rule", Grade.POOR, said, _next_about(verdict, kind, config))
        else:
            able += 1
    yield Finding(
        "rules",
        Grade.GOOD if able else Grade.POOR,
        f"rules: {able} of {len(looks)} can be acted on" if looks else "rules: no watched owner has one",
        "" if looks else "keeper rule set --help",
    )


def _named_in_vain(settings: Settings, seen: Look, senders: Mapping[str, Address]) -> Finding | None:
    """A rule that names a keeper which is not the one that acts for its owner here; None when it may be acted on."""
    key, named = seen.verdict.key, seen.rule.get("keeper", NOBODY)
    shard = settings.shard_of(key.owner)
    sender = senders.get(shard, named)
    if named in (NOBODY, sender):
        return None
    holds = f"shard {shard}, which its owner is in, signs" if shard else "the key here signs"
    rule = f"{settings.kinds[key.thresholds]} rule {key.id} of {key.owner}"
    said = f"{rule}: rule: another keeper is named, {named}, and {holds} as {sender}"
    other = next((name for name, address in senders.items() if address == named), None)
    if other is not None:
        return Finding("rule", Grade.POOR, said, f"name {key.owner} in the owners of shard {other}")
    return Finding("rule", Grade.POOR, said, f"have its owner name {sender}, or no keeper")


def _next_about(verdict: Verdict, kind: str, config: Path) -> str:
    """What to type about a rule that cannot be acted on: the calls for its owner to sign, where a grant is missing."""
    if verdict.why.partition(":")[0] in _GRANTS:
        rule = f"{verdict.key.owner} --kind {kind} --id {verdict.key.id}"
        return f"keeper rule set {rule} … --approve --config {config}, for its owner to sign"
    return f"keeper look --config {config}"


def _prices(
    settings: Settings, positions: Sequence[Positions], head: Block, keys: Sequence[RuleKey]
) -> Iterator[Finding]:
    """Where prices are to be doubted, what the pools say of each that watched rules go by."""
    limits = breaker_limits_of(settings)
    if not limits.divergence_bps:
        return
    for held, watch in zip(positions, settings.watch, strict=True):
        mine = [key for key in keys if key.thresholds == watch.thresholds]
        for quote in held.quotes(mine, head, limits.divergence_seconds):
            pair = f"{quote.sold} in {quote.bought}"
            if quote.mean is None:
                said = f"price: pool {quote.pool} keeps no {limits.divergence_seconds} s of {pair} to doubt it by"
                yield Finding(
                    "price", Grade.POOR, said, "lower breakers.divergence_seconds, or have it keep more"
                )
                continue
            grade = Grade.POOR if prices_apart([quote], limits) else Grade.GOOD
            said = f"price: {pair} is {quote.apart_bps} basis points apart in pool {quote.pool}"
            yield Finding("price", grade, said, "find out which is right" if grade else "")


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
