"""The Anvil process: how it is found, started, and above all ended."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keeper.chain.node import Node
from keeper.devnet import anvil as room
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil, find_anvil
from keeper.domain.errors import Misconfigured, NodeUnreachable

STARTED_AND_KILLED = """
import os, signal, sys
from keeper.devnet.anvil import Anvil
# A shell that starts the tests in its background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
anvil = Anvil()
print(anvil.pid, anvil._folder.name, flush=True)
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends_within(pid: int, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if not runs(pid):
            return True
        time.sleep(0.01)
    return False


def pretend_anvil(folder: Path, text: str) -> None:
    path = folder / "anvil"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def native() -> Path:
    """The Anvil that all other tests here run."""
    return find_anvil()


@pytest.fixture
def only_path(native: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH of one folder, which is returned, before the system's own."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


@pytest.fixture
def npms(native: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An Anvil that npm has fetched."""
    packaged = tmp_path / "node_modules"
    name = room._PLATFORMS[sys.platform, platform.machine()]
    path = packaged / "@foundry-rs" / f"anvil-{name}" / "bin" / "anvil"
    path.parent.mkdir(parents=True)
    path.symlink_to(native)
    monkeypatch.setattr(room, "node_modules", lambda: packaged)
    return path


@pytest.fixture
def without_npm(only_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same PATH, and no Anvil from npm."""

    def none_installed() -> Path:
        raise Misconfigured("devnet: no node_modules")

    monkeypatch.setattr(room, "node_modules", none_installed)
    return only_path


def test_anvil__once_started__answers_on_a_port_of_its_own() -> None:
    with Anvil() as first, Anvil(chain_id=4242) as second:
        assert first.url != second.url
        assert int(first.node.ask("eth_chainId"), 16) == 31337
        assert int(second.node.ask("eth_chainId"), 16) == 4242


def test_anvil__by_default__unlocks_the_development_accounts() -> None:
    with Anvil() as anvil:
        unlocked = [account.lower() for account in anvil.node.ask("eth_accounts")]
    assert unlocked == [account.lower() for account in DEV_ACCOUNTS]


def test_anvil__given_a_timestamp__starts_its_chain_then() -> None:
    with Anvil(timestamp=1_583_971_200) as anvil:
        assert anvil.node.head().timestamp == 1_583_971_200


def test_anvil__stopped__leaves_neither_process_nor_files() -> None:
    anvil = Anvil()
    folder = Path(anvil._folder.name)
    assert runs(anvil.pid)
    assert folder.is_dir()

    anvil.stop()
    anvil.stop()

    assert not runs(anvil.pid)
    assert not folder.exists()
    with pytest.raises(NodeUnreachable):
        Node(anvil.url, timeout=1).ask("eth_chainId")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_anvil__whose_starter_is_killed__dies_too(how: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTED_AND_KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        written, folder = starter.stdout.readline().split()
        pid = int(written)
        assert runs(pid)
        starter.send_signal(how)
        starter.wait(10)
    assert ends_within(pid, 10)
    give_up_at = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert not Path(folder).exists()


def test_anvil__that_cannot_start__repeats_what_it_said() -> None:
    with Anvil() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(Misconfigured, match=r"^devnet: something listens on port \d+ already"):
            Anvil(port=port)


def test_anvil__forking_from_nowhere__says_so_without_the_url() -> None:
    with pytest.raises(Misconfigured, match=r"^devnet: Anvil would not start; it said: .*refused") as refused:
        Anvil(fork_url="http://127.0.0.1:1/v2/secret")
    assert "secret" not in str(refused.value)


def test_the_binary__that_all_other_tests_run__is_native(native: Path) -> None:
    assert native.read_bytes()[:2] != b"#!"


@pytest.mark.usefixtures("without_npm")
def test_the_binary__nowhere__is_one_sentence_on_how_to_get_it() -> None:
    with pytest.raises(Misconfigured, match=r"^devnet: no Anvil for .*npm ci.*install foundry"):
        find_anvil()


@pytest.mark.usefixtures("only_path")
def test_the_binary__nowhere_on_path__is_npms(npms: Path) -> None:
    assert find_anvil() == npms


def test_the_binary__on_path_and_fitting__is_used_and_npms_is_not(
    only_path: Path, npms: Path, native: Path
) -> None:
    (only_path / "anvil").symlink_to(native)
    assert find_anvil() == native.resolve() != npms


@pytest.mark.parametrize("version", ["1.7.0", "0.3.1", "2.0.0"])
def test_the_binary__on_path_but_of_another_version__leaves_the_place_to_npms(
    only_path: Path, npms: Path, version: str
) -> None:
    pretend_anvil(only_path, f"#!/bin/sh\necho 'anvil Version: {version}'\n")
    assert find_anvil() == npms


@pytest.mark.parametrize("version", ["1.7.0", "0.3.1", "2.0.0"])
def test_the_binary__on_path_but_of_another_version__is_refused(without_npm: Path, version: str) -> None:
    pretend_anvil(without_npm, f"#!/bin/sh\necho 'anvil Version: {version}'\n")
    with pytest.raises(Misconfigured, match=rf"is version {version}, and 1\.7\.1 up to 2 is needed"):
        find_anvil()


def test_the_binary__on_path_but_a_script__is_refused(without_npm: Path) -> None:
    pretend_anvil(without_npm, "#!/bin/sh\necho 'anvil Version: 1.7.1'\n")
    with pytest.raises(Misconfigured, match="a script around Anvil"):
        find_anvil()


def test_the_binary__on_path_and_mute__is_refused(without_npm: Path) -> None:
    pretend_anvil(without_npm, "#!/bin/sh\nexit 3\n")
    with pytest.raises(Misconfigured, match="does not say its version"):
        find_anvil()
