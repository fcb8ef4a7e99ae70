"""Aave 3.6 as deployed: compiled from its published sources once, kept in the user's cache, then wired.

Assumes: Node and npm on PATH the first time. The compiler and the sources (17 MB) have a package.json and lock of
their own in `aave36/`, so that only who asks for 3.6 downloads and compiles them; its licence (BUSL with conditions)
does not let the compiled code be shipped as freely as the rest.
Source: @aave-dao/aave-v3-origin 3.6.0. Against 3.0.2: no stable debt, one rate strategy for all reserves, the
treasury fixed in the aToken's code, the data provider after the pool.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import encode

from keeper.devnet.aave_v3 import Aave, Listing, found_market, found_oracle, reserve_names, set_risk
from keeper.devnet.artifacts import Load, compiled
from keeper.devnet.transactions import Queue, create_address
from keeper.domain.errors import Misconfigured
from keeper.domain.units import NOBODY, Address

_SOURCES: Final = ("package.json", "package-lock.json", "compile.mjs")
_LIBRARIES: Final = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "ConfiguratorLogic", "PoolLogic")
_FLASH_LOAN_PREMIUM_BPS: Final = 5
_INSTALL_SECONDS: Final = 300
_COMPILE_SECONDS: Final = 600
_RESERVE: Final = "(address,address,address,string,string,string,string,bytes,bytes)"


def cache_folder() -> Path:
    """Where compiled protocols are kept: `keeper` in the XDG cache directory."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "keeper"


def load_compiled(say: Callable[[str], None] = lambda _: None) -> Load:
    """Loads Aave 3.6's contracts, compiling them when this exact set of sources and settings never was.

    `say` is told before the half minute that takes. What is kept and damaged is compiled again.
    """
    room = files("keeper.devnet").joinpath("aave36")
    contents = {name: room.joinpath(name).read_bytes() for name in _SOURCES}
    key = hashlib.sha256(b"\0".join(contents.values())).hexdigest()[:16]
    kept = cache_folder() / f"aave-3.6-{key}.json"
    found = _kept(kept)
    if found is None:
        say("devnet: compiling Aave 3.6, once; this takes about a minute")
        output = _compile(contents)
        found = json.loads(output)
        try:
            _keep(output, kept)
        except OSError as error:
            say(
                f"devnet: Aave 3.6 will be compiled anew next time: {kept} cannot be written ({error.strerror})"
            )
    return lambda name: compiled(name, found[name])


def _kept(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _keep(output: bytes, path: Path) -> None:
    """Written aside, brought to the disk and renamed into place, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(output)
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _compile(contents: dict[str, bytes]) -> bytes:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Misconfigured("devnet: Aave 3.6 is compiled on first use, which needs Node 20 and npm on PATH")
    with tempfile.TemporaryDirectory(prefix="keeper-aave36-") as folder:
        for name, content in contents.items():
            Path(folder, name).write_bytes(content)
        install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run("fetching Aave 3.6's sources", install, folder, _INSTALL_SECONDS)
        return _run("compiling Aave 3.6", [node, "compile.mjs"], folder, _COMPILE_SECONDS)


def _run(step: str, command: Sequence[str], folder: str, seconds: int) -> bytes:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(f"devnet: {step} failed: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise Misconfigured(f"devnet: {step} failed: {' '.join(said[:4])}")
    return done.stdout


def deploy(queue: Queue, load: Load, admin: Address, treasury: Address, listings: Sequence[Listing]) -> Aave:
    """Queue the whole market with `admin` in every role; `admin` is the queue's sender."""
    provider, acl = found_market(queue, load, admin)
    oracle = found_oracle(queue, load, provider, listings)

    libraries = {name: queue.create(load(name)) for name in _LIBRARIES}
    borrow_logic = libraries["BorrowLogic"]
    libraries["FlashLoanLogic"] = queue.create(load("FlashLoanLogic"), BorrowLogic=borrow_logic)
    strategy = queue.create(load("DefaultReserveInterestRateStrategyV2"), provider)
    pool, configurator = create_address(provider, 1), create_address(provider, 2)
    pool_behind = queue.create(load("PoolInstance"), provider, strategy, **libraries)
    queue.call(provider, "setPoolImpl(address)", pool_behind)
    configurator_behind = queue.create(load("PoolConfiguratorInstance"), **libraries)
    queue.call(provider, "setPoolConfiguratorImpl(address)", configurator_behind)
    queue.call(configurator, "updateFlashloanPremium(uint128)", _FLASH_LOAN_PREMIUM_BPS)
    # Its constructor reads the pool, so it cannot come earlier.
    data_provider = queue.create(load("AaveProtocolDataProvider"), provider)
    queue.call(provider, "setPoolDataProvider(address)", data_provider)
    queue.create(load("LiquidationDataProvider"), pool, provider)

    a_token = queue.create(load("ATokenInstance"), pool, NOBODY, treasury)
    variable = queue.create(load("VariableDebtTokenInstance"), pool, NOBODY)
    reserves = [
        (a_token, variable, listing.token, *reserve_names(listing.symbol), b"", _rates(listing))
        for listing in listings
    ]
    queue.call(configurator, f"initReserves({_RESERVE}[])", reserves)
    set_risk(queue, configurator, listings)
    return Aave(provider, pool, configurator, acl, oracle, data_provider)


def _rates(listing: Listing) -> bytes:
    curve = (listing.optimal_bps, 0, listing.slope1_bps, listing.slope2_bps)
    return encode(["(uint16,uint32,uint32,uint32)"], [curve])
