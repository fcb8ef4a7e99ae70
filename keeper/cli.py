"""The command line: every command is one door to the rooms below, opened only when it is called.

Exit codes: 0 all is well; 1 the chain or the journal could not be used; 2 the command, the configuration or a key is
wrong; 3 (`look`, `doctor`, `score`) something asks for attention; 4 (`explain`, `resume`, `rule`, `score`) there is no
such thing.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from keeper.domain.errors import KeeperError, Misconfigured
from keeper.planning.backtests import backtest
from keeper.planning.data import data
from keeper.planning.plans import plan
from keeper.planning.theories import theory

if TYPE_CHECKING:
    from keeper.rules.writing import Written
    from keeper.settings import Settings
    from keeper.watch.serve import Standing

DEVNET_FOLDER = Path(".keeper")
WEB = "127.0.0.1:8787"
ATTENTION = 3
UNKNOWN = 4
_KEYS = "A key elsewhere"

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cli.add_typer(backtest, name="backtest")
cli.add_typer(plan, name="plan")
cli.add_typer(theory, name="theory")
cli.add_typer(data, name="data")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="keeper.toml; by default the one here, or the running devnet's."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
MayPause = Annotated[
    bool,
    typer.Option("--may-pause", help="Whoever signs in to the dashboard may pause and resume the keeper."),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"keeper {version('threshold-keeper')}")
        raise typer.Exit


@cli.callback()
def keeper(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold DeFi positions to the rules their owners wrote on chain."""


@cli.command()
def init(
    url: Annotated[
        list[str] | None,
        typer.Option(help="A node's HTTP address; once per node. KEEPER_RPC_URL does as well."),
    ] = None,
    chain: Annotated[
        str | None, typer.Option(help="The chain the node must be on: its id, or a name such as arbitrum.")
    ] = None,
    heads: Annotated[str | None, typer.Option(help="A WebSocket that tells of new blocks.")] = None,
    loans: Annotated[str | None, typer.Option(help="A LoanThresholds contract.")] = None,
    ranges: Annotated[str | None, typer.Option(help="A RangeThresholds contract.")] = None,
    baskets: Annotated[str | None, typer.Option(help="A BasketThresholds contract.")] = None,
    owner: Annotated[list[str] | None, typer.Option(help="Whose rules to hold; once per owner.")] = None,
    keystore: Annotated[
        str | None, typer.Option(help="The encrypted key that signs; without one KEEPER_KEY does.")
    ] = None,
    remote: Annotated[
        str | None, typer.Option(help="The address of a signer elsewhere.", rich_help_panel=_KEYS)
    ] = None,
    aws_kms: Annotated[
        str | None, typer.Option(help="A key of AWS KMS, by ARN or alias.", rich_help_panel=_KEYS)
    ] = None,
    gcp_kms: Annotated[
        str | None, typer.Option(help="A key version of Google Cloud KMS.", rich_help_panel=_KEYS)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The account that key must sign for.", rich_help_panel=_KEYS)
    ] = None,
    certificate: Annotated[
        str | None, typer.Option(help="What is shown to a signer elsewhere, PEM.", rich_help_panel=_KEYS)
    ] = None,
    private_key: Annotated[
        str | None, typer.Option(help="The certificate's own key, PEM.", rich_help_panel=_KEYS)
    ] = None,
    authority: Annotated[
        str | None, typer.Option(help="Who issued the signer's certificate, PEM.", rich_help_panel=_KEYS)
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("keeper.toml"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nobody: what is not said here is left out.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a first keeper.toml: ask for what is not said, prove chain and contracts, then write it whole.

    Example: keeper init --url http://127.0.0.1:8545 --chain 31337 --loans 0x5FbDB2315678afecb367f032d93F642f64180aa3
    --owner 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --yes

    Example: keeper init --chain arbitrum --aws-kms alias/keeper --address 0x90F79bf6EB2c4f870365E785982E1f101E93b906
    """
    from keeper import show
    from keeper.init import Said, begin

    elsewhere = {
        "remote": remote,
        "aws_kms": aws_kms,
        "gcp_kms": gcp_kms,
        "address": address,
        "certificate": certificate,
        "private_key": private_key,
        "authority": authority,
    }
    contracts = {"loans": loans, "ranges": ranges, "baskets": baskets}
    said = Said(url or (), chain, heads, contracts, owner or (), keystore, elsewhere)

    def ask(question: str, default: str) -> str:
        return str(typer.prompt(question, default=default, show_default=bool(default), err=True))

    settings = begin(out, said, None if yes else ask, partial(print, file=sys.stderr), force)
    if as_json:
        watched = [{"kind": watch.kind, "thresholds": watch.thresholds} for watch in settings.watch]
        show.print_json({"file": str(out), "chain": settings.chain.id, "watch": watched})
        return
    held = ", ".join(f"{watch.kind} at {watch.thresholds}" for watch in settings.watch)
    print(f"{out}: chain {settings.chain.id}, {held}")
    print(f"next: keeper doctor --config {out}")


@cli.command()
def look(
    ahead: Annotated[
        bool, typer.Option("--ahead", help="Tell what would stop the actions that may be due soon, too.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show every watched position, its band and its verdict now; exit 3 if one needs attention.

    Example: keeper look --json

    Example: keeper look --ahead
    """
    from keeper import app, show
    from keeper.domain.texts import span_text
    from keeper.domain.verdicts import Kind
    from keeper.settings import read_settings

    settings = read_settings(_config(config))
    block, looks = app.look(settings)
    foreseen = app.look_ahead(settings) if ahead else None
    if as_json:
        more = show.foreseen_json(foreseen, settings.kinds) if foreseen else {}
        show.print_json({**show.look_json(block, looks, settings.kinds), **more})
    else:
        show.print_looks(show.console(), block, looks, settings.kinds)
        if foreseen:
            within = span_text(app.horizon_of(settings).seconds)
            show.print_foreseen(show.console(), foreseen, settings.kinds, within)
    foretold = foreseen and (foreseen.untold or any(each.obstacles for each in foreseen.foresights))
    if foretold or any(seen.verdict.kind is not Kind.WITHIN for seen in looks):
        raise typer.Exit(ATTENTION)


@cli.command()
def run(
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but sign and send.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Show the dashboard too, as `keeper web` does.")] = False,
    web_at: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The same, elsewhere than on 127.0.0.1:8787.")
    ] = None,
    may_pause: MayPause = False,
    as_json: Json = False,
) -> None:
    """Run the keeper until it is stopped: take a turn at every new block.

    Example: keeper run --dry-run

    Example: keeper run --web --may-pause --config /etc/keeper/keeper.toml
    """
    from keeper import app, shards, show
    from keeper.alerts import Alerts, News, channels_of, heartbeat
    from keeper.settings import read_settings
    from keeper.turn import Keeper, Turn

    settings = read_settings(_config(config))
    console = show.console()

    alerts = Alerts(channels_of(settings.alerts), heartbeat(settings.alerts.heartbeat_url))

    def listen(shard: str) -> shards.Listener:
        news = News(settings.alerts.silent_seconds, settings.alerts.unattended_seconds)

        def on_turn(turn: Turn) -> None:
            alerts.alive()
            for alert in news.of_turn(turn, time.monotonic()):
                alerts.say(alert)
            if as_json:
                whose = {"shard": shard} if shard else {}
                show.print_json(whose | show.turn_json(turn, dry_run, settings.kinds))
            else:
                show.print_turn(console, turn, dry_run, settings.kinds)

        def on_trouble(error: KeeperError) -> None:
            print(error, file=sys.stderr, flush=True)
            for alert in news.of_trouble(error, time.monotonic()):
                alerts.say(alert)

        return shards.Listener(on_turn, on_trouble, on_open)

    with ExitStack() as opened:
        opened.callback(alerts.close)
        standing = None
        if web or web_at:
            standing = opened.enter_context(_serving(settings, web_at or WEB, may_pause))

        def on_open(keeper: Keeper) -> None:
            if standing and keeper.sender:
                standing.add_account(keeper.sender.address)

        if settings.shards:
            shards.run(settings, dry_run, listen)
        else:
            one = listen("")
            app.run(settings, dry_run, one.on_turn, one.on_trouble, one.on_open)


@cli.command()
def web(
    place: Annotated[
        str,
        typer.Argument(metavar="[HOST:PORT]", help="Where to listen; loopback only, unless you say more."),
    ] = WEB,
    may_pause: MayPause = False,
    config: Config = None,
) -> None:
    """Show the dashboard of a keeper that runs elsewhere on this machine; it only reads, unless it may pause.

    Its token is made once and kept beside the journal, or is given as KEEPER_WEB_TOKEN. Prometheus reads /metrics with
    the same token as a bearer's.

    Example: keeper web 127.0.0.1:9000 --may-pause
    """
    from keeper.settings import read_settings

    ended = threading.Event()
    with _serving(read_settings(_config(config)), place, may_pause):
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: ended.set())
        while not ended.wait(3600):
            pass


@cli.command()
def explain(
    owner: Annotated[str, typer.Argument(help="The owner's address.")],
    block: Annotated[
        int | None,
        typer.Option(
            "--block",
            "-b",
            min=0,
            help="A block's number; by default the newest, and the last out of its band.",
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell why the keeper did, or did not, act for an owner at a block; exit 4 if it never looked.

    Example: keeper explain 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --block 18000000
    """
    from keeper import desk, show
    from keeper.settings import read_settings

    settings = read_settings(_config(config))
    explained = desk.explain(settings, owner, block)
    if explained is None:
        where = "" if block is None else f" at or before block {block}"
        print(
            f"journal: no verdict on {owner}{where}; is the owner in keeper.toml, and was the keeper running? "
            "keeper look shows who is watched",
            file=sys.stderr,
        )
        raise typer.Exit(UNKNOWN)
    if as_json:
        show.print_json(show.explained_json(explained, settings.kinds))
    else:
        show.print_explained(show.console(), block, explained, settings.kinds)


@cli.command()
def doctor(config: Config = None, as_json: Json = False) -> None:
    """Prove before a start what a keeper needs; exit 3 if something is worth a look, 1 if it must not be started.

    Example: keeper doctor --config /etc/keeper/keeper.toml
    """
    from keeper import show
    from keeper.doctor import Grade, examine
    from keeper.settings import read_settings

    path = _config(config)
    console, findings = show.console(), []
    for finding in examine(read_settings(path), path):
        findings.append(finding)
        if not as_json:
            show.print_finding(console, finding)
    if as_json:
        show.print_json(show.findings_json(findings))
    worst = max(finding.grade for finding in findings)
    if worst is not Grade.GOOD:
        raise typer.Exit(ATTENTION if worst is Grade.POOR else 1)


@cli.command()
def score(
    owner: Annotated[str | None, typer.Option(help="Only this owner's rules.")] = None,
    rule_number: Annotated[
        int | None, typer.Option("--rule", help="Only rules of this number.", min=0)
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="What was decided from this day or time on.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="And until then; a bare date takes its whole day in.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--plan", help="The plan.json of `keeper plan`: what a year was to cost.")
    ] = None,
    native: Annotated[
        str, typer.Option(help="The token that wraps what gas is paid in: its symbol or address.")
    ] = "WETH",
    ether: Annotated[float | None, typer.Option(help="One price for what gas is paid in.", min=0)] = None,
    tolerate: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit 3 if a rule's actions cost this much above plan."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row per action.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell what each action cost, part by part, beside its plan; exit 4 if the journal holds none.

    Example: keeper score --plan build/plan.json --tolerate 20
    """
    from keeper import show
    from keeper.score import telling
    from keeper.score.account import Wanted, account, read_promise
    from keeper.settings import read_settings

    if as_csv and as_json:
        raise Misconfigured("score: ask for --csv or for --json, not for both")
    settings = read_settings(_config(config))
    promise = None if against is None else read_promise(against)
    wanted = Wanted(owner, rule_number, start, end, native, ether)
    found = account(settings.journal.place, settings.kinds, wanted, promise)
    if found is None or not found.actions:
        print("journal: of what is asked for it holds no action that is in a block", file=sys.stderr)
        raise typer.Exit(UNKNOWN)
    if as_csv:
        telling.write_csv(found, settings.kinds, sys.stdout)
    elif as_json:
        show.print_json(telling.account_json(found, settings.kinds))
    else:
        telling.print_account(show.console(), found, settings.kinds)
    if tolerate is not None and any(by * 100 > tolerate for by in found.dearer_by().values()):
        raise typer.Exit(ATTENTION)


@cli.command()
def pause(
    reason: Annotated[str, typer.Argument(help="Why, for whoever asks.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Let nothing more be sent until `keeper resume`; what is under way is followed to its end.

    It is written in the journal, so that every keeper of that journal obeys from then on, after a restart too.

    Example: keeper pause "moving to other pools"
    """
    from keeper import desk, show
    from keeper.settings import read_settings

    latch, is_new = desk.pause(read_settings(_config(config)), reason)
    if as_json:
        show.print_json({**show.latch_json(latch), "new": is_new})
    else:
        print(f"{'paused' if is_new else 'was paused already'}, at block {latch.block}: {latch.why}")


@cli.command()
def resume(
    breakers: Annotated[
        list[str] | None,
        typer.Argument(help="Which breakers to reset, or `pause`; all that are latched by default."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Go on after a pause, or after breakers have tripped and you know why they did; exit 4 if none is latched.

    Example: keeper resume reverts slippage
    """
    from keeper import desk, show
    from keeper.settings import read_settings

    found = desk.resume(read_settings(_config(config)), breakers or [])
    if found and as_json:
        show.print_json({"reset": [show.latch_json(latch) for latch in found]})
    for latch in found if not as_json else ():
        print(f"reset {latch.name}, which was latched at block {latch.block}: {latch.why}")
    if not found:
        print("journal: nothing of the kind is latched; keeper doctor tells what is", file=sys.stderr)
        raise typer.Exit(UNKNOWN)


@cli.command()
def devnet(
    aave: Annotated[
        Literal["3.0.2", "3.6"],
        typer.Option(help="Aave's version: 3.0.2, or 3.6 (compiled once, about a minute)."),
    ] = "3.0.2",
    port: Annotated[
        int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8545,
    fork_url: Annotated[str | None, typer.Option(help="Fork the chain behind this address instead.")] = None,
    eth_price: Annotated[
        float, typer.Option(help="The price of ETH to begin with, in USD.", min=0.01)
    ] = 2000.0,
    weth_is_token0: Annotated[
        bool, typer.Option("--weth-is-token0", help="Order the pool's tokens the other way round.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a local chain with the real Aave V3 and Uniswap V3 on it until it is stopped.

    Example: keeper devnet --port 8545 --eth-price 2500

    Example: keeper devnet --fork-url https://node.example --port 8546
    """
    from keeper import show
    from keeper.devnet import serve
    from keeper.devnet.anvil import Anvil

    if fork_url is not None and not fork_url.startswith(("http://", "https://", "ws://", "wss://")):
        raise Misconfigured(f"devnet: {fork_url} is not the address of a node")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def build(anvil: Anvil) -> dict[str, Any]:
        if fork_url is not None:
            return serve.build_on_fork(anvil, DEVNET_FOLDER, say)
        return serve.build_world(anvil, aave, eth_price, weth_is_token0, say)

    tell = show.print_json if as_json else partial(show.print_devnet, show.console())
    serve.serve(DEVNET_FOLDER, port, build, fork_url, tell, say)


@cli.command()
def demo(
    bars: Annotated[
        Path | None,
        typer.Option(help="Hourly OHLC bars, .csv, .csv.gz or .parquet; Black Thursday by default."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="The first hour, such as 2020-03-12T06:00, UTC.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The last hour; a bare date takes that whole day in.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for demo.html and demo.json.")] = Path("build"),
    as_json: Json = False,
) -> None:
    """Play a crash over pairs of a loan, a range and a basket, one of each with a rule and a real keeper.

    Example: keeper demo --bars june.csv.gz --from 2022-06-10 --to 2022-06-18
    """
    from keeper import show
    from keeper.demo import stage as play

    console = show.console()
    record = play.demo(bars, start, end, out, show.console(stderr=as_json))
    play.write(record, out)
    if as_json:
        show.print_json(record.to_json())
    else:
        play.print_record(console, record, out)


@cli.command()
def simulate(
    fork_url: Annotated[
        str,
        typer.Option(
            help="A node of the chain in keeper.toml to be forked; devnet is the one that runs here."
        ),
    ] = "devnet",
    scenario: Annotated[
        str,
        typer.Option(
            help="black-thursday, june-2022, usdc-depeg, gbm, or a file of hourly bars: .csv, .csv.gz or .parquet."
        ),
    ] = "black-thursday",
    start: Annotated[
        str | None, typer.Option("--from", help="The first hour, such as 2020-03-12T06:00, UTC.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="The last hour; a bare date takes that whole day in.")
    ] = None,
    hours: Annotated[
        int | None, typer.Option(help="No more than the first so many hours; 24 of gbm.")
    ] = None,
    volatility: Annotated[
        float | None, typer.Option(help="Of gbm, a year; 0.8, which is 80 %, by default.")
    ] = None,
    drift: Annotated[float | None, typer.Option(help="Of gbm, a year; none by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of gbm: one seed, one path; 1 by default.", min=0)] = None,
    hostile: Annotated[
        bool,
        typer.Option(
            "--hostile", help="Set a mempool against the keeper that holds back, outbids and sandwiches."
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Leave a page with plots in this file, too.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Play a history over forks of the devnet or of a chain, one with the keeper: what your rules would have done.

    Example: keeper simulate --scenario usdc-depeg --hours 24 --html depeg.html
    """
    from keeper import show
    from keeper.devnet.serve import MANIFEST
    from keeper.settings import read_settings
    from keeper.simulate import screen, stage
    from keeper.simulate.histories import Wanted

    settings = read_settings(_config(config))
    console = show.console(stderr=as_json)
    wanted = Wanted(scenario, start, end, hours, volatility, drift, seed)
    if html is not None:
        stage.require_page(html)
    told = stage.simulate(
        settings, DEVNET_FOLDER / MANIFEST, wanted, console, hostile=hostile, fork_url=fork_url
    )
    if as_json:
        show.print_json(told.to_json())
    else:
        screen.print_simulated(console, told)
    if html is not None:
        stage.write_page(told, html)
        console.print(f"Page: {html}", markup=False, soft_wrap=True)


rule = typer.Typer(no_args_is_help=True, help="An owner's rules: show, write, take back, look for faults.")
cli.add_typer(rule, name="rule")
Owner = Annotated[str, typer.Argument(help="The owner's address.")]
Thresholds = Annotated[str | None, typer.Option(help="The contract, where several are watched.")]
RuleKind = Annotated[
    Literal["basket", "loan", "range"] | None,
    typer.Option(help="What the rule is about; by default what the file says, or a loan."),
]
Safe = Annotated[bool, typer.Option("--safe", help="A batch for a Safe's Transaction Builder.")]


@rule.command("show")
def show_rules(owner: Owner, config: Config = None, as_json: Json = False) -> None:
    """Show an owner's rules and what their contracts say of them now; exit 4 if there is none.

    Example: keeper rule show 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    from keeper import app, show
    from keeper.settings import read_settings

    settings = read_settings(_config(config))
    block, looks = app.look(settings)
    mine = [seen for seen in looks if seen.verdict.key.owner.lower() == owner.lower()]
    if not mine:
        print(
            f"rule: {owner} has none in the watched contracts; is the owner in keeper.toml? keeper rule set writes one",
            file=sys.stderr,
        )
        raise typer.Exit(UNKNOWN)
    if as_json:
        show.print_json(show.look_json(block, mine, settings.kinds))
    else:
        show.print_rules(show.console(), block, mine, settings.kinds)


@rule.command("set")
def set_rule(
    owner: Owner,
    kind: RuleKind = None,
    id: Annotated[int | None, typer.Option(help="The rule to replace; without it, a new one.", min=0)] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A TOML file, such as a plan leaves: the options' names, with _ for -."),
    ] = None,
    slippage_bps: Annotated[int | None, typer.Option(help="Of the value sold; 100 by default.")] = None,
    cooldown: Annotated[int | None, typer.Option(help="Seconds between actions; 0 by default.")] = None,
    days: Annotated[str | None, typer.Option(help="How long it holds; 365 by default.")] = None,
    keeper: Annotated[str | None, typer.Option(help="Who may act; anyone by default.")] = None,
    max_step: Annotated[
        str | None,
        typer.Option(help="Most at once: repaid, in whole debt tokens; sold of a basket, in dollars."),
    ] = None,
    collateral: Annotated[
        str | None,
        typer.Option(help="What is sold: an address, or its symbol on Aave.", rich_help_panel="Loans"),
    ] = None,
    debt: Annotated[
        str | None, typer.Option(help="What is repaid, likewise.", rich_help_panel="Loans")
    ] = None,
    floor: Annotated[
        str | None, typer.Option(help="Act below this health, such as 1.4.", rich_help_panel="Loans")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Land on this health.", rich_help_panel="Loans")] = None,
    ceiling: Annotated[
        str | None, typer.Option(help="Borrow again above this health.", rich_help_panel="Loans")
    ] = None,
    borrow_step: Annotated[
        str | None,
        typer.Option(
            help="Most borrowed at once, in whole debt tokens; none by default.", rich_help_panel="Loans"
        ),
    ] = None,
    token_id: Annotated[
        int | None, typer.Option(help="Uniswap's number of the position.", rich_help_panel="Ranges")
    ] = None,
    below: Annotated[
        int | None,
        typer.Option(help="Ticks from the price down to the new edge.", rich_help_panel="Ranges"),
    ] = None,
    above: Annotated[int | None, typer.Option(help="And up.", rich_help_panel="Ranges")] = None,
    buffer: Annotated[
        int | None, typer.Option(help="Ticks beyond an edge before it is moved.", rich_help_panel="Ranges")
    ] = None,
    hold: Annotated[
        int | None, typer.Option(help="Seconds it must have been out.", rich_help_panel="Ranges")
    ] = None,
    priced_in: Annotated[
        str | None,
        typer.Option(
            help="The token in which cutoffs are prices; else they are ticks.", rich_help_panel="Ranges"
        ),
    ] = None,
    cutoff_low: Annotated[
        str | None, typer.Option(help="Leave the pool below it.", rich_help_panel="Ranges")
    ] = None,
    cutoff_high: Annotated[
        str | None, typer.Option(help="Leave the pool above it.", rich_help_panel="Ranges")
    ] = None,
    asset: Annotated[
        list[str] | None,
        typer.Option(
            help="TOKEN:TARGET_BPS:BAND_BPS, once per asset; the token alone beside a file that has the rest.",
            rich_help_panel="Baskets",
        ),
    ] = None,
    approve: Annotated[
        bool,
        typer.Option(
            "--approve", help="The grants it lives from too: allowances, and credit where it borrows."
        ),
    ] = False,
    thresholds: Thresholds = None,
    safe: Safe = False,
    config: Config = None,
) -> None:
    """Print the call that sets a rule, tried on the contract first; the owner's wallet signs it, not the keeper.

    A file may say more than the options do: see the how-to `Add a rule`.

    Example: keeper rule set 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --collateral WETH --debt USDC --floor 1.4
    --target 1.7 --max-step 50000 --approve

    Example: keeper rule set 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --kind basket --asset WETH:6000:500
    --asset USDC:4000:500 --max-step 10000 --approve

    Example: keeper rule set 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --kind range --token-id 7 --below 600
    --above 600 --buffer 50 --hold 300 --priced-in USDC --cutoff-low 1200 --approve --safe
    """
    from keeper.rules import writing
    from keeper.settings import read_settings

    said = {
        "slippage_bps": slippage_bps,
        "cooldown": cooldown,
        "days": days,
        "keeper": keeper,
        "max_step": max_step,
        "collateral": collateral,
        "debt": debt,
        "floor": floor,
        "target": target,
        "ceiling": ceiling,
        "borrow_step": borrow_step,
        "token_id": token_id,
        "below": below,
        "above": above,
        "buffer": buffer,
        "hold": hold,
        "priced_in": priced_in,
        "cutoff_low": cutoff_low,
        "cutoff_high": cutoff_high,
        "assets": asset or None,
    }
    text = writing.read_rule(file, said, kind)
    written = writing.write_rule(read_settings(_config(config)), owner, id, text, thresholds, approve)
    _tell_calls(written, safe)


def _tell_calls(written: Written, safe: bool) -> None:
    """The calls for a wallet, and on standard error what a person is about to sign."""
    from keeper import show

    print(f"for {written.owner} to sign on chain {written.chain_id}:", file=sys.stderr)
    for number, said in enumerate(written.said, 1):
        print(f"{number}. {said}", file=sys.stderr)
    for said in written.lacking:
        print(f"not granted yet, and the rule cannot act without it (--approve): {said}", file=sys.stderr)
    show.print_json(written.to_safe() if safe else written.to_json())


@rule.command("clear")
def clear_rule(
    owner: Owner,
    id: Annotated[int, typer.Argument(help="The rule's number.", min=0)],
    kind: RuleKind = None,
    thresholds: Thresholds = None,
    safe: Safe = False,
    config: Config = None,
) -> None:
    """Print the call that takes a rule back, tried on the contract first.

    Example: keeper rule clear 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 0 --kind loan
    """
    from keeper.rules import writing
    from keeper.settings import read_settings

    written = writing.clear_rule(read_settings(_config(config)), owner, id, thresholds, kind)
    _tell_calls(written, safe)


@rule.command("lint")
def lint_rules(owner: Owner, config: Config = None, as_json: Json = False) -> None:
    """Look through all of an owner's rules for what is wrong; exit 3 if something is, 4 if there is no rule.

    Example: keeper rule lint 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --json
    """
    from keeper import show
    from keeper.domain.texts import count_text
    from keeper.rules import cases
    from keeper.settings import read_settings

    settings = read_settings(_config(config))
    count, found = cases.lint_rules(settings, owner)
    if count == 0:
        print(
            f"rule: {owner} has no rule in the watched contracts; keeper rule set writes one", file=sys.stderr
        )
        raise typer.Exit(UNKNOWN)
    if as_json:
        show.print_json(cases.lint_json(count, found, settings.kinds))
    else:
        for each in found:
            print(cases.lint_text(each, settings.kinds))
        if not found:
            print(f"{count_text(count, 'rule')}, and nothing wrong with {'it' if count == 1 else 'them'}")
    if found:
        raise typer.Exit(ATTENTION)


@contextmanager
def _serving(settings: Settings, place: str, may_pause: bool) -> Iterator[Standing]:
    """The dashboard for as long as the block lasts; where it and its token are is told on standard error."""
    try:
        from keeper.watch.serve import serving
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise Misconfigured(f"web: {library} is not installed; install the extra `web`") from error

    with serving(settings, place, may_pause) as standing:
        told = f"web: the dashboard is at {standing.url}"
        if standing.token_file is not None:
            told += f", and its token in {standing.token_file}"
        print(told, file=sys.stderr, flush=True)
        if standing.is_open:
            told = "web: other machines reach it, and over plain HTTP: put a proxy with TLS before it"
            print(told, file=sys.stderr, flush=True)
        yield standing


def _config(given: Path | None) -> Path:
    if given is not None:
        return given
    for path in (Path("keeper.toml"), DEVNET_FOLDER / "keeper.toml"):
        if path.exists():
            return path
    raise Misconfigured(
        "settings: there is no keeper.toml here, and no `keeper devnet` runs in this folder; `keeper init` writes one"
    )


_SEEN_BY_THE_DOCTOR = frozenset({"chain", "contract", "journal", "node", "oracle", "send", "settings"})


def told(error: KeeperError, words: Sequence[str]) -> str:
    """The error with the command to type next, unless it says what to do; `words` are those that were typed."""
    said = str(error)
    if "keeper " in said or "; " in said:
        return said
    path: list[str] = []
    group: Any = typer.main.get_command(cli)
    for word in words:
        if word not in getattr(group, "commands", {}):
            break
        path.append(word)
        group = group.commands[word]
    if said.partition(":")[0] not in _SEEN_BY_THE_DOCTOR or path == ["doctor"]:
        return f"{said}; next: keeper {' '.join([*path, '--help'])}"
    named = next((file for flag, file in pairwise(words) if flag in ("-c", "--config")), None)
    return f"{said}; next: keeper doctor{f' --config {shlex.quote(named)}' if named else ''}"


def main() -> NoReturn:
    """The console script: errors are one sentence on standard error, and an exit code scripts can use."""
    try:
        cli()
    except Misconfigured as error:
        print(told(error, sys.argv[1:]), file=sys.stderr)
        sys.exit(2)
    except KeeperError as error:
        print(told(error, sys.argv[1:]), file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that closing it does not complain too
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
