"""Set-up tells a missing prerequisite or a missing network in one sentence, and changes nothing then."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.devnet.anvil import find_anvil

ROOT = Path(__file__).resolve().parents[2]


class Clone:
    """A folder with the set-up in it, and a machine whose every tool is a stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
        for name in ("cat", "dirname", "grep", "ln", "mkdir", "rm", "sh"):
            found = shutil.which(name)
            assert found is not None
            (self.tools / name).symlink_to(found)

    def tool(self, name: str, script: str) -> None:
        """Put a shell script on the machine's PATH."""
        path = self.tools / name
        path.write_text(f"#!{self.tools}/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def environment_python(self, script: str) -> None:
        """Put a shell script where the environment's own Python would be."""
        path = self.folder / ".venv" / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!{self.tools}/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def set_up(self, step: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one step."""
        return subprocess.run(
            [str(self.tools / "sh"), "scripts/setup.sh", step],
            cwd=self.folder,
            env={"PATH": str(self.tools), "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_set_up__without_python__is_one_sentence(clone: Clone) -> None:
    done = clone.set_up("runtime")
    assert done.returncode == 1
    assert done.stderr == "setup: Python 3.11 or later is needed, and there is no python3 on PATH\n"


def test_set_up__with_an_old_python__says_which(clone: Clone) -> None:
    clone.tool("python3", '[ "$1" != --version ] || { echo Python 3.9.18; exit 0; }\nexit 1')
    done = clone.set_up("runtime")
    assert done.stderr == "setup: Python 3.11 or later is needed, and python3 here is Python 3.9.18\n"


def test_set_up__with_shims_that_only_fail__passes_them_over(clone: Clone) -> None:
    for name in ("python3.12", "python3.11"):
        clone.tool(name, "echo 'pyenv: command not found' >&2; exit 127")
    clone.tool("python3", '[ "$1" != --version ] || echo Python 3.11.9\n[ "$2" != venv ] || exit 3')
    done = clone.set_up("runtime")
    assert done.stdout == "setup: making .venv with Python 3.11.9\n"
    assert done.stderr == (
        "setup: it failed while making .venv with Python 3.11.9; the log is build/logs/venv.log\n"
    )


def test_set_up__with_a_python_named_that_is_too_old__does_not_take_another(clone: Clone) -> None:
    clone.tool("python3", "exit 0")
    clone.tool("python3.8", "exit 1")
    done = clone.set_up("runtime", PYTHON="python3.8")
    assert done.stderr == "setup: PYTHON=python3.8 is not a Python 3.11 or later\n"


@pytest.mark.parametrize("step", ["runtime", "numpy2"])
def test_set_up__with_a_python_without_venv__says_so_and_what_to_install(clone: Clone, step: str) -> None:
    clone.tool(
        "python3",
        'case "$2" in *ensurepip*) exit 1;; venv) exit 3;; esac\n[ "$1" != --version ] || echo Python 3.11.2',
    )
    done = clone.set_up(step)
    assert done.returncode == 1
    assert done.stderr == (
        "setup: Python 3.11.2 has no venv module (on Debian and Ubuntu: apt install python3-venv)\n"
    )


def test_the_tests_packages__for_a_python_too_new_for_them__are_one_sentence(clone: Clone) -> None:
    pretend = "import sys; sys.version_info = (3, 13, 1); exec(sys.argv[1])"
    clone.environment_python(
        f'[ "$1" != --version ] || {{ echo Python 3.13.1; exit 0; }}\nexec {sys.executable} -c "{pretend}" "$2"'
    )
    done = clone.set_up("dev")
    assert done.returncode == 1
    assert done.stderr == (
        "setup: the tests need Python 3.11 or 3.12 (ape, vyper and titanoboa have no later one), and .venv has "
        "Python 3.13.1: remove .venv and set PYTHON=python3.12\n"
    )


@pytest.mark.parametrize(("step", "lock"), [("dev", "dev"), ("numpy2", "numpy2")])
def test_the_later_steps__without_a_network__are_one_sentence_each(
    clone: Clone, step: str, lock: str
) -> None:
    pip = '[ "$2" != pip ] || { echo "NewConnectionError: no route" >&2; exit 1; }'
    clone.environment_python(pip)
    link = f"mkdir -p build/numpy2/bin && ln -s {clone.folder}/.venv/bin/python build/numpy2/bin/python"
    clone.tool("python3", f'[ "$1" != --version ] || echo Python 3.12.1\n[ "$2" != venv ] || {{ {link}; }}')
    done = clone.set_up(step)
    assert done.returncode == 1
    assert done.stderr == (
        f"setup: the network did not answer while installing requirements/{lock}.txt; "
        f"the log is build/logs/{lock}.log\n"
    )


@pytest.mark.parametrize(
    ("pip_says", "sentence"),
    [
        (
            "WARNING: NewConnectionError: Failed to establish a new connection: [Errno -3]",
            "the network did not answer while installing requirements/build.txt; ",
        ),
        (
            "error: metadata-generation-failed",
            (
                "a package is not ready-made for this Python and could not be compiled, while installing "
                "requirements/build.txt (Python 3.11 to 3.13 need no compiler: remove .venv and set "
                "PYTHON=python3.12); "
            ),
        ),
        (
            "ERROR: [Errno 28] No space left on device",
            "the disk is full, while installing requirements/build.txt; ",
        ),
        ("ERROR: hashes do not match", "it failed while installing requirements/build.txt; "),
    ],
)
def test_set_up__when_pip_fails__is_one_sentence_and_keeps_the_log(
    clone: Clone, pip_says: str, sentence: str
) -> None:
    made = clone.folder / "made"
    made.write_text(
        f'#!{clone.tools}/sh\nif [ "$2" = pip ]; then cat {clone.folder}/says; exit 1; fi\n', encoding="utf-8"
    )
    made.chmod(0o755)
    (clone.folder / "says").write_text(f"{pip_says}\n", encoding="utf-8")
    link = f"mkdir -p .venv/bin && ln -s {made} .venv/bin/python"
    clone.tool("python3", f'[ "$1" != --version ] || echo Python 3.12.1\n[ "$2" != venv ] || {{ {link}; }}')
    done = clone.set_up("runtime")
    assert done.returncode == 1
    assert done.stderr == f"setup: {sentence}the log is build/logs/build.log\n"
    assert pip_says in (clone.folder / "build" / "logs" / "build.log").read_text(encoding="utf-8")


def test_set_up__without_node__is_one_sentence(clone: Clone) -> None:
    done = clone.set_up("node")
    assert done.stderr == "setup: Node 20 or later is needed, and there is no node on PATH\n"


def test_set_up__with_an_old_node__says_which(clone: Clone) -> None:
    clone.tool("node", "echo v18.19.0")
    done = clone.set_up("node")
    assert done.stderr == "setup: Node 20 or later is needed, and node here is v18.19.0\n"


def test_set_up__with_node_but_without_npm__says_so(clone: Clone) -> None:
    clone.tool("node", "echo v22.1.0")
    done = clone.set_up("node")
    assert done.returncode == 1
    assert done.stderr == "setup: npm is needed beside node v22.1.0, and it is not on PATH\n"


@pytest.mark.parametrize(
    ("version", "fetched"), [("fitting", False), ("1.7.0", True), ("2.0.0", True), (None, True)]
)
def test_set_up__with_an_anvil_on_path__fetches_another_only_if_it_does_not_fit(
    clone: Clone, version: str | None, fetched: bool
) -> None:
    clone.environment_python(f'PYTHONPATH={ROOT} exec {sys.executable} "$@"')
    clone.tool("node", "echo v22.1.0")
    clone.tool("npm", 'echo "$@"')
    if version == "fitting":
        (clone.tools / "anvil").symlink_to(find_anvil())
    elif version is not None:
        clone.tool("anvil", f"echo anvil Version: {version}")
    done = clone.set_up("node")
    assert done.returncode == 0, done.stderr
    asked = (clone.folder / "build" / "logs" / "npm.log").read_text(encoding="utf-8").split()
    assert asked[0] == "ci"
    assert ("--omit=optional" not in asked) is fetched
    assert (str(clone.tools / "anvil") not in done.stdout) is fetched


def test_anvil__in_the_package__is_all_that_is_optional() -> None:
    said = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    assert {name.rpartition("-")[0].rpartition("-")[0] for name in said["optionalDependencies"]} == {
        "@foundry-rs/anvil"
    }


def test_set_up__without_the_npm_registry__is_one_sentence(clone: Clone) -> None:
    clone.tool("node", "echo v22.1.0")
    clone.tool("npm", "echo 'npm error code ENOTFOUND' >&2; exit 1")
    done = clone.set_up("node")
    assert done.returncode == 1
    assert re.fullmatch(
        r"setup: the network did not answer while installing Anvil and the protocol artifacts of "
        r"package-lock\.json; the log is build/logs/npm\.log\n",
        done.stderr,
    )


@pytest.mark.parametrize("lock", ["build", "runtime", "dev", "numpy2"])
def test_a_lock__as_committed__pins_by_hash_and_names_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    pins = [block for block in re.split(r"\n(?=[a-z])", text) if not block.startswith("#")]
    assert pins
    assert [pin.splitlines()[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_the_development_lock__beside_the_runtimes__moves_nothing() -> None:
    def pins(lock: str) -> set[str]:
        text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        return {
            " ".join(line.rstrip("\\ ").split()) for line in text.splitlines() if re.match("[a-z].*==", line)
        }

    def versions(lock: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for pin in pins(lock):
            name, _, rest = pin.partition("==")
            found.setdefault(name, set()).add(rest.split(" ")[0])
        return found

    dev = versions("dev")
    assert {name: found for name, found in versions("runtime").items() if not found <= dev[name]} == {}
