"""One Anvil process: found, started on a port of its own, watched, and stopped by its pid.

Assumes: a POSIX system. The process outlives nobody: should this one be killed, a one-line shell that waits on a pipe
kills Anvil, on every system and whichever thread started it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from keeper.chain.node import Node
from keeper.domain.errors import Misconfigured
from keeper.domain.units import Address

MINIMUM_VERSION: Final = (1, 7, 1)
DEFAULT_CHAIN_ID: Final = 31337
# One eth_call may read thousands of loans, and Anvil bounds a call by the block's gas limit.
_BLOCK_GAS_LIMIT: Final = 10**10
_BOOT_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_LISTENING: Final = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_PLATFORMS: Final = {
    ("linux", "x86_64"): "linux-amd64",
    ("linux", "aarch64"): "linux-arm64",
    ("darwin", "x86_64"): "darwin-amd64",
    ("darwin", "arm64"): "darwin-arm64",
}
# When the pipe closes, whoever held its other end is gone.
_WATCH: Final = 'read -r _; kill -9 "$1" 2>/dev/null; rm -rf "$2"'

DEV_ACCOUNTS: Final = tuple(
    Address(account)
    for account in (
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
        "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
        "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
    )
)
"""The accounts Anvil unlocks and funds with 10,000 ETH each; they come from its public test mnemonic."""


def node_modules() -> Path:
    """The folder npm filled, beside this package or above the working directory."""
    beside = Path(__file__).resolve().parents[2]
    here = Path.cwd()
    for place in (beside, here, *here.parents):
        found = place / "node_modules"
        if found.is_dir():
            return found
    raise Misconfigured(
        f"devnet: no node_modules in {beside} nor above {here}; run `npm ci` in the project's folder"
    )


def find_anvil() -> Path:
    """The Anvil on PATH if its version fits (1.7.1 up to 2), or else the native one npm installed.

    Whoever has foundry chose it, and `make setup` then fetches no other; one that does not fit is passed over.
    """
    try:
        return anvil_on_path()
    except Misconfigured:
        packaged = _packaged()
        if packaged is None:
            raise
        return packaged


def _packaged() -> Path | None:
    name = _PLATFORMS.get((sys.platform, platform.machine()))
    try:
        found = node_modules() / "@foundry-rs" / f"anvil-{name}" / "bin" / "anvil"
    except Misconfigured:
        return None
    return found if found.is_file() and os.access(found, os.X_OK) else None


def anvil_on_path() -> Path:
    """The native Anvil on PATH; `Misconfigured` when there is none, or its version does not fit."""
    found = shutil.which("anvil")
    if found is None:
        raise Misconfigured(
            f"devnet: no Anvil for {sys.platform} {platform.machine()}; run `npm ci` in the project's folder, "
            "or install foundry 1.7.1 or later (https://getfoundry.sh) so that `anvil` is on PATH"
        )
    return _fitting(Path(found).resolve())


def _fitting(path: Path) -> Path:
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(f"devnet: {path} could not be asked for its version ({error})") from error
    written = re.search(r"(\d+)\.(\d+)\.(\d+)", asked.stdout)
    if written is None:
        raise Misconfigured(f"devnet: {path} does not say its version")
    version = tuple(int(part) for part in written.groups())
    if not MINIMUM_VERSION <= version < (2,):
        raise Misconfigured(
            f"devnet: {path} is version {written.group()}, and 1.7.1 up to 2 is needed; run `npm ci` or `foundryup`"
        )
    with path.open("rb") as file:
        if file.read(2) == b"#!":
            raise Misconfigured(f"devnet: {path} is a script around Anvil; the native binary is needed")
    return path


class Anvil:
    """A running Anvil on 127.0.0.1, listening at `url` and asked through `node`; use it as a context manager.

    `port` 0 takes a free one. `fork_url` forks another chain at its head or at `fork_block`, and takes that chain's
    id unless `chain_id` is given. `timestamp` (unix seconds) is the genesis' time, not used by a fork. Nothing it
    keeps on disk outlives it.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        chain_id: int | None = None,
        timestamp: int | None = None,
        fork_url: str | None = None,
        fork_block: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        binary = find_anvil()
        self._folder = tempfile.TemporaryDirectory(prefix="keeper-anvil-")
        log = Path(self._folder.name) / "log"
        command = [str(binary), "--port", str(port), "--host", "127.0.0.1"]
        command += ["--gas-limit", str(_BLOCK_GAS_LIMIT), "--no-request-size-limit", "--color", "never"]
        command += ["--cache-path", str(Path(self._folder.name) / "states")]
        if chain_id is not None or fork_url is None:
            command += ["--chain-id", str(DEFAULT_CHAIN_ID if chain_id is None else chain_id)]
        if timestamp is not None and fork_url is None:
            command += ["--timestamp", str(timestamp)]
        if fork_url is not None:
            command += ["--fork-url", fork_url, "--no-storage-caching"]
        if fork_block is not None:
            command += ["--fork-block-number", str(fork_block)]
        with log.open("wb") as out:
            # A session of its own: Ctrl-C reaches this process, which then stops Anvil in order.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self.pid: Final = self._process.pid
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self.pid), self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.url: Final = f"http://127.0.0.1:{self._wait_until_listening(log, port, fork_url)}"
            self.node: Final = Node(self.url, timeout)
            # From here on it would write every request into that file.
            self.node.ask("anvil_setLoggingEnabled", False)
        except BaseException:
            self.stop()
            raise

    def _wait_until_listening(self, log: Path, port: int, fork_url: str | None) -> int:
        give_up_at = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < give_up_at:
            written = log.read_bytes()
            if (listening := _LISTENING.search(written)) is not None:
                return int(listening.group(1))
            if self._process.poll() is not None:
                text = written.decode(errors="replace").strip()
                # An endpoint's URL may hold a key.
                said = (text.replace(fork_url, "the fork's source") if fork_url else text).splitlines()
                if "Address already in use" in text:
                    raise Misconfigured(
                        f"devnet: something listens on port {port} already; give another by --port, or 0 for any"
                    )
                raise Misconfigured(
                    f"devnet: Anvil would not start; it said: {' '.join(said[-3:]) or 'nothing'}"
                )
            time.sleep(0.003)
        raise Misconfigured(f"devnet: Anvil did not listen within {_BOOT_SECONDS:.0f} s")

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process and remove what it kept on disk; stopping twice is harmless."""
        # The watch first: once Anvil is gone its pid may be another's.
        self._watch.kill()
        self._watch.wait()
        if self._watch.stdin is not None:
            self._watch.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
