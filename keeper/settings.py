"""What the operator says: which chain, which owners, within what limits of their own.

`keeper.toml` holds intent and no secret. Secrets come from the environment: `KEEPER_RPC_URL` replaces `chain.url` and
`chain.urls`, several being separated by blanks, `KEEPER_JOURNAL_URL` replaces `journal.url`, `KEEPER_PASSWORD` opens
the keystore, and `KEEPER_KEY` is the key itself where no keystore is named. `KEEPER_ALERT_URLS` replaces `alerts.urls`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Self, get_args
from urllib.parse import urlsplit

from eth_utils.address import is_hex_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from keeper.domain.errors import Misconfigured
from keeper.domain.texts import count_text
from keeper.domain.units import GWEI
from keeper.protocols.methods import address

RPC_URL = "KEEPER_RPC_URL"
JOURNAL_URL = "KEEPER_JOURNAL_URL"
ALERT_URLS = "KEEPER_ALERT_URLS"
_UNKNOWN: Final = "extra_forbidden"
"""What pydantic calls a key that a table does not have."""
_IN_WORDS: Final = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be finite",
    "string_too_short": "is empty",
    "string_type": "must be text in quotes",
    "string_pattern_mismatch": "must be small letters, digits and hyphens, 32 at most and no hyphen first",
    "path_type": "must be a file's name in quotes",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "literal_error": "must be {expected}",
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "bool": "must be true or false",
}
"""What pydantic finds, by its own name for it or how that begins, as an operator would say it."""
WATCHED: tuple[str, ...] = ("loans", "ranges", "baskets", "feeds")
"""The kinds that a table of `watch` may be of."""
_KEY_VERSION = re.compile(
    r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[^/]+"
)


def checked_address(text: str) -> str:
    """An address in its checksummed spelling; `ValueError` for what is none."""
    if not is_hex_address(text) or (
        text[2:] not in (text[2:].lower(), text[2:].upper()) and address(text) != text
    ):
        raise ValueError("is not a 20-byte address with a valid checksum")
    return address(text)


def _checked_heads(url: str) -> str:
    if url and not url.startswith(("ws://", "wss://")):
        raise ValueError("is neither ws:// nor wss://")
    return _checked_port(url)


def _checked_database(url: str) -> str:
    if url and not url.startswith("postgresql://"):
        raise ValueError("is not postgresql://…; a file is named by journal.path")
    return url


def _checked_version(name: str | None) -> str | None:
    if name is not None and not _KEY_VERSION.fullmatch(name):
        raise ValueError("is not projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/…")
    return name


def _without_doubles(owners: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(owners)) != len(owners):
        raise ValueError("an owner is listed twice")
    return owners


def _checked_url(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError(f"{_without_secrets(url)} is neither http:// nor https://")
    return _checked_port(url)


def _checked_port(url: str) -> str:
    try:
        urlsplit(url).port  # noqa: B018 - asked for the fault it finds
    except ValueError as error:
        raise ValueError(f"{_without_secrets(url)} is no address: {str(error).lower()}") from None
    return url


def _without_secrets(url: str) -> str:
    """What was written as far as the host, without what providers hide around it."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


def _checked_kind(name: str) -> str:
    if name not in WATCHED:
        raise ValueError(f"there is no kind {name!r}; {meant(name, WATCHED)}")
    return name


AddressText = Annotated[str, AfterValidator(checked_address)]

Url = Annotated[str, AfterValidator(_checked_url)]
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Chain(_Strict):
    """The chain behind the port: `url` is an HTTP address, `urls` are further ones, `heads` is a WebSocket's.

    Of several endpoints `quorum` must agree on what matters, by default more than half of them.
    """

    id: Whole = Field(gt=0)
    url: Url = ""
    urls: tuple[Url, ...] = ()
    quorum: Whole | None = Field(default=None, ge=1)
    heads: Annotated[str, AfterValidator(_checked_heads)] = ""
    timeout_seconds: Real = Field(default=10.0, gt=0, le=120)
    poll_seconds: Real = Field(default=2.0, gt=0, le=600)
    turn_seconds: Real = Field(default=30.0, gt=0, le=600)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every endpoint, each once, in the order of preference."""
        return tuple(dict.fromkeys(filter(None, (self.url, *self.urls))))


class Watch(_Strict):
    """One thresholds contract, the kind of position it is about, and the owners whose rules this keeper holds.

    `worth_eth` is the most that the gas of one action here may cost.
    """

    kind: Annotated[str, AfterValidator(_checked_kind)] = "loans"
    thresholds: AddressText
    owners: Annotated[tuple[AddressText, ...], AfterValidator(_without_doubles)] = Field(min_length=1)
    worth_eth: Decimal | None = Field(default=None, gt=0)


class RelayDoor(_Strict):
    """A private relay: actions are given to it before, or instead of, the public pool.

    `bundles` has it given bundles of one for each next block; `signed` has each request named by a key of its own.
    """

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,31}$")
    url: Url
    bundles: bool = False
    signed: bool = False
    timeout_seconds: Real = Field(default=2.0, gt=0, le=30)

    @model_validator(mode="after")
    def _not_public(self) -> Self:
        if self.name == "public":
            raise ValueError("public is the name of the door that is no relay")
        return self


class Private(_Strict):
    """When an action that was given to relays alone is made public after all: after so many blocks, 0 being never, or
    in the last quarter of its deadline.
    """

    public_after_blocks: Whole = Field(default=0, ge=0, le=10_000)
    public_when_urgent: bool = True


class Remote(_Strict):
    """A signer elsewhere: what this side shows it, a certificate and its key, and who may have issued its own."""

    url: str
    certificate: Path | None = None
    private_key: Path | None = None
    authority: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key are named together or not at all")
        return self


class Key(_Strict):
    """What signs: an encrypted keystore, a signer elsewhere, or a key of AWS or Google Cloud; the one in `KEEPER_KEY`
    where none of them is named. `address` is whose it must be, and must be said of a signer elsewhere.
    """

    keystore: Path | None = None
    remote: Remote | None = None
    aws_kms: str | None = Field(default=None, min_length=1)
    gcp_kms: Annotated[str | None, AfterValidator(_checked_version)] = None
    address: AddressText | None = None

    @model_validator(mode="after")
    def _only_one(self) -> Self:
        named = [
            name for name in ("keystore", "remote", "aws_kms", "gcp_kms") if getattr(self, name) is not None
        ]
        if len(named) > 1:
            raise ValueError(f"one key signs, and {' and '.join(named)} are named")
        if self.remote is not None and self.address is None:
            raise ValueError("address is missing: a signer elsewhere may hold the keys of many")
        return self


class Shard(_Strict):
    """A share of the owners, acted for by a key of its own. `owners` are in it whatever the rest are shared by: those
    whose rules name this key.
    """

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]{0,31}$")
    key: Key
    owners: Annotated[tuple[AddressText, ...], AfterValidator(_without_doubles)] = ()

    @model_validator(mode="after")
    def _with_a_key_of_its_own(self) -> Self:
        if self.key.model_dump(exclude={"address"}, exclude_none=True) == {}:
            raise ValueError("key names none; each shard signs with its own")
        if self.name == "writer":
            raise ValueError("writer is the name of a journal that is not shared")
        return self


class OperatorLimits(_Strict):
    """What this operator is willing to spend and believe, whatever a rule allows.

    `max_gas` bounds one action, `actions_per_owner` how often an owner is acted for within 7,200 blocks: together they
    are what a hostile rule can cost. Actions bid at most eight ninths of `max_fee_gwei`: the rest is kept so that one
    which is stuck can be cancelled. With an `ether_feed`, ether in dollars, the gas of an action is worth no more than
    what it averts, or `benefit_bps` of what it moves.
    """

    max_fee_gwei: Real = Field(default=500.0, gt=0)
    tip_gwei: Real = Field(default=1.0, ge=0)
    max_price_age_seconds: Whole = Field(default=90_000, gt=0)
    drift_bps: Whole = Field(default=30, ge=1, le=500)
    deadline_seconds: Whole = Field(default=300, ge=12, le=86_400)
    gas_margin: Real = Field(default=1.3, ge=1.05, le=3.0)
    max_gas: Whole = Field(default=2_000_000, ge=100_000)
    actions_per_owner: Whole = Field(default=24, ge=1)
    stuck_blocks: Whole = Field(default=3, ge=1, le=100)
    ether_feed: AddressText | None = None
    benefit_bps: Whole = Field(default=50, ge=1, le=10_000)

    @property
    def max_fee_wei(self) -> int:
        """The dearest gas this operator pays, in wei."""
        return int(self.max_fee_gwei * GWEI)

    @property
    def tip_wei(self) -> int:
        """The tip offered to the block's builder, in wei."""
        return int(self.tip_gwei * GWEI)


class Journal(_Strict):
    """Where verdicts, intents and receipts are kept; turns in which nothing was decided go after `keep_blocks`,
    flights that are over after `keep_days`.

    `url` is a PostgreSQL database, on which several keepers may stand by for one another; without one it is a file.
    """

    path: Path = Path("keeper.db")
    url: Annotated[str, AfterValidator(_checked_database)] = ""
    keep_blocks: Whole = Field(default=50_000, ge=1)
    keep_days: Whole = Field(default=365, ge=2)

    @property
    def place(self) -> str:
        """The address of the one that is used."""
        return self.url or str(self.path)


class Breakers(_Strict):
    """What must not go on until a person has looked; `sold_per_day` names tokens and how many of each may be sold.

    Prices are doubted only where `divergence_bps` is not 0: a pair that nobody trades is far from any feed.
    """

    reverts: Whole = Field(default=12, ge=1, le=100)
    slippage_bps: Whole = Field(default=100, ge=1, le=2_000)
    gas_eth_per_day: Decimal = Field(default=Decimal(1), gt=0)
    actions_per_hour: Whole = Field(default=60, ge=1)
    quorum_seconds: Real = Field(default=300.0, gt=0)
    equity_bps_per_day: Whole = Field(default=2_000, ge=1, le=10_000)
    divergence_bps: Whole = Field(default=0, ge=0, le=10_000)
    divergence_seconds: Whole = Field(default=600, ge=12, le=86_400)
    sold_per_day: dict[AddressText, Annotated[Decimal, Field(ge=0)]] = {}


class AlertSettings(_Strict):
    """Whom the keeper tells itself: `urls` as apprise writes them, the first being tried first, or `KEEPER_ALERT_URLS`.

    `heartbeat_url` is asked for after a turn, once a minute. A rule that is not held for `unattended_seconds`, and no
    turn for `silent_seconds`, are alerts.
    """

    urls: tuple[str, ...] = ()
    heartbeat_url: Url = ""
    unattended_seconds: Real = Field(default=600.0, gt=0)
    silent_seconds: Real = Field(default=300.0, gt=0)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every channel's address, those of the environment in place of the others."""
        return tuple(os.environ.get(ALERT_URLS, "").split()) or self.urls


class ForesightSettings(_Strict):
    """How often to look ahead, 0 being never, and how far: a position is within reach of its trigger if one in twenty
    gets there in `within_hours` at this `volatility` a year, 0.8 being 80 %, where a rule knows no other.
    """

    every_blocks: Whole = Field(default=50, ge=0, le=1_000_000)
    within_hours: Real = Field(default=24.0, gt=0, le=8_760)
    volatility: Real = Field(default=0.8, gt=0, le=10)


class Settings(_Strict):
    """`keeper.toml`, validated."""

    chain: Chain
    watch: tuple[Watch, ...] = Field(min_length=1)
    key: Key = Key()
    limits: OperatorLimits = OperatorLimits()
    breakers: Breakers = Breakers()
    journal: Journal = Journal()
    relays: tuple[RelayDoor, ...] = ()
    private: Private = Private()
    alerts: AlertSettings = AlertSettings()
    shards: tuple[Shard, ...] = ()
    foresight: ForesightSettings = ForesightSettings()

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        for what, names in (
            ("relays", [relay.name for relay in self.relays]),
            ("shards", [shard.name for shard in self.shards]),
        ):
            if (name := _doubled(names)) is not None:
                raise ValueError(f"two {what} have one name, {name}")
        if (owner := _doubled([owner for shard in self.shards for owner in shard.owners])) is not None:
            raise ValueError(f"an owner is in two shards, {owner}")
        if self.shards and self.key != Key():
            raise ValueError("key and shards are both named, and each shard has its own key")
        return self

    def shard_of(self, owner: str) -> str:
        """The name of the shard an owner is in, empty where there is none.

        It is the shard that names the owner, else one by hash, so that one more shard moves few.
        """
        for shard in self.shards:
            if owner in shard.owners:
                return shard.name
        names = [shard.name for shard in self.shards]
        return max(names, key=lambda name: sha256(f"{name} {owner.lower()}".encode()).digest(), default="")

    def of_shard(self, shard: Shard) -> Settings:
        """These settings as they are for one shard: its owners, and its key."""
        mine = (
            watch.model_copy(update={"owners": owners})
            for watch in self.watch
            if (owners := tuple(owner for owner in watch.owners if self.shard_of(owner) == shard.name))
        )
        return self.model_copy(update={"watch": tuple(mine), "key": shard.key})

    @property
    def among(self) -> str:
        """How the owners are shared, in one text that differs when any owner's shard might."""
        return " ".join(
            ",".join((each.name, *sorted(each.owners))) for each in sorted(self.shards, key=_name)
        )

    @property
    def kinds(self) -> dict[str, str]:
        """What each watched contract holds rules for, in the singular: a loan, a range, a basket."""
        return {watch.thresholds: watch.kind.removesuffix("s") for watch in self.watch}


def _name(shard: Shard) -> str:
    return shard.name


def _doubled(names: Sequence[str]) -> str | None:
    """The first that is there twice."""
    return next((name for n, name in enumerate(names) if name in names[:n]), None)


def read_settings(path: Path) -> Settings:
    """The settings in a file; paths in it are taken from the file's own folder."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        next_ = f"; keeper init --out {path} writes one" if isinstance(error, FileNotFoundError) else ""
        raise Misconfigured(f"settings: {path} cannot be read ({error.strerror}){next_}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"settings: {path} is not text") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"settings: {path} is not TOML: {error}") from error
    return _validated(content, path)


def fault_text(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong with what a person wrote, `where: what`, or what alone if it is in no one place.

    A key that nobody knows goes before one that is missing, because it may be that one misspelt.
    """
    found = error.errors(include_url=False)
    first = min(found, key=lambda each: each["type"] != _UNKNOWN)
    if not first["loc"]:
        return _in_words(first)
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where}: is missing"
    if first["type"] != _UNKNOWN:
        return f"{where}: {_in_words(first)}"
    *above, name = first["loc"]
    return f"{where}: there is no such key; {meant(str(name), _keys(model, above))}"


def _in_words(found: Mapping[str, Any]) -> str:
    """A fault in the words of whoever wrote the file."""
    kind, context = found["type"], found.get("ctx", {})
    if kind == "too_short":
        what = str(found["loc"][-1]).removesuffix("s") if found["loc"] else "one"
        return f"needs at least {'one' if context['min_length'] == 1 else context['min_length']} {what}"
    if kind == "tuple_type" and isinstance(found["input"], dict):
        return f"must be a list; write [[{found['loc'][-1]}]]"
    told = _IN_WORDS.get(kind) or _IN_WORDS.get(kind.partition("_")[0])
    return told.format(**context) if told else str(found["msg"]).removeprefix("Value error, ")


def _keys(model: type[BaseModel], above: Sequence[int | str]) -> list[str]:
    """The keys of the table that stands at a place in a model."""
    for part in above:
        if isinstance(part, str):
            kind = model.model_fields[part].annotation
            model = next(
                each
                for each in (kind, *get_args(kind))
                if isinstance(each, type) and issubclass(each, BaseModel)
            )
    return list(model.model_fields)


def meant(name: str, keys: Sequence[str]) -> str:
    """What a person who wrote a key that there is not may have meant."""
    near = get_close_matches(name, keys, n=1)
    return f"did you mean {near[0]}?" if near else f"those there are: {', '.join(keys)}"


def _validated(content: dict[str, Any], path: Path) -> Settings:
    chain = content.get("chain")
    if isinstance(chain, dict) and os.environ.get(RPC_URL, "").strip():
        chain["url"], *chain["urls"] = os.environ[RPC_URL].split()
    journals = content.get("journal")
    if isinstance(journals, dict) and journals.get("path") and journals.get("url"):
        raise Misconfigured(f"settings: {path}: journal: path and url are both named, and it is kept in one")
    if os.environ.get(JOURNAL_URL) and isinstance(content.setdefault("journal", {}), dict):
        content["journal"]["url"] = os.environ[JOURNAL_URL]
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        raise Misconfigured(f"settings: {path}: {fault_text(error, Settings)}") from None
    if not settings.chain.endpoints:
        raise Misconfigured(f"settings: {path}: chain.url: is missing, and {RPC_URL} is not set")
    if (settings.chain.quorum or 1) > len(settings.chain.endpoints):
        raise Misconfigured(
            f"settings: {path}: chain.quorum: {settings.chain.quorum} endpoints cannot agree where "
            f"{count_text(len(settings.chain.endpoints), 'endpoint')} can be asked"
        )
    _require_each_once(settings, path)
    here = path.parent
    journal = settings.journal.model_copy(update={"path": here / settings.journal.path})
    if settings.shards and not journal.url:
        raise Misconfigured(
            f"settings: {path}: shards: need journal.url, a PostgreSQL; a file is written by one keeper"
        )
    shards = tuple(shard.model_copy(update={"key": _from_here(shard.key, here)}) for shard in settings.shards)
    return settings.model_copy(
        update={"journal": journal, "key": _from_here(settings.key, here), "shards": shards}
    )


def _from_here(key: Key, here: Path) -> Key:
    """A key whose files are taken from a folder."""
    if key.keystore is not None:
        key = key.model_copy(update={"keystore": here / key.keystore})
    if key.remote is not None:
        files = key.remote.model_dump(include={"certificate", "private_key", "authority"}, exclude_none=True)
        found = {name: here / path for name, path in files.items()}
        key = key.model_copy(update={"remote": key.remote.model_copy(update=found)})
    return key


def _require_each_once(settings: Settings, path: Path) -> None:
    """No rule is watched twice: it would be counted, and judged, twice."""
    seen: set[tuple[str, str]] = set()
    for n, watch in enumerate(settings.watch):
        for owner in watch.owners:
            if (watch.thresholds, owner) in seen:
                raise Misconfigured(
                    f"settings: {path}: watch.{n}: {owner} is watched at {watch.thresholds} already"
                )
            seen.add((watch.thresholds, owner))
