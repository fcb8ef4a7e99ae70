#!/bin/sh
# Bring a clone up: `setup.sh runtime | dev | node | numpy2`. The Makefile says when; this says how.
#
# Every step is quiet, keeps its log in build/logs, and ends in one sentence when it cannot go on.
# Packages come from the locks in requirements/, by hash, and nothing is resolved here.
set -eu
cd "$(dirname "$0")/.."
logs=build/logs

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Says what it does, does it into a log, and turns a failure into a sentence: `quietly NAME DOING COMMAND...`.
quietly() {
    log=$logs/$1.log
    doing=$2
    shift 2
    mkdir -p "$logs"
    echo "setup: $doing"
    if "$@" >"$log" 2>&1; then return 0; fi
    if grep -qE "$no_network" "$log"; then
        fail "the network did not answer while $doing; the log is $log"
    elif grep -qE 'Failed building wheel|Failed to build|metadata-generation-failed' "$log"; then
        fail "a package is not ready-made for this Python and could not be compiled, while $doing (Python 3.11" \
            "to 3.13 need no compiler: remove .venv and set PYTHON=python3.12); the log is $log"
    elif grep -qE 'No space left on device|ENOSPC' "$log"; then
        fail "the disk is full, while $doing; the log is $log"
    fi
    fail "it failed while $doing; the log is $log"
}
no_network='NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|Connection refused|Connection reset'
no_network="$no_network|name resolution|Name or service not known|Network is unreachable|SSLError|SSLCertVerif"
no_network="$no_network|No matching distribution found|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT"
no_network="$no_network|ENETUNREACH|Failed to establish a new connection"

fits() {
    "$1" -c 'import sys; sys.exit(not sys.version_info >= (3, 11))' >/dev/null 2>&1
}

# Those come first for which everything is ready-made; a name that is only a shim fails when it is run.
find_python() {
    for python in "${PYTHON:-python3.12}" python3.12 python3.11 python3.13 python3 python3.14; do
        if fits "$python"; then
            echo "$python"
            return 0
        fi
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a Python 3.11 or later"
    done
    if seen=$(python3 --version 2>/dev/null); then
        fail "Python 3.11 or later is needed, and python3 here is $seen"
    fi
    fail "Python 3.11 or later is needed, and there is no python3 on PATH"
}

# A virtual environment does not survive being moved: its scripts name the folder they were made in.
is_ours() {
    fits .venv/bin/python && grep -qF "$(pwd -P)/.venv/bin/" .venv/bin/pip 2>/dev/null
}

# An environment made anew: `make_venv LOG FOLDER`.
make_venv() {
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$("$python" --version) has no venv module (on Debian and Ubuntu: apt install python3-venv)"
    rm -rf "$2"
    quietly "$1" "making $2 with $("$python" --version)" "$python" -m venv "$2"
}

pip_install() {
    .venv/bin/python -m pip install --no-input --progress-bar off --disable-pip-version-check \
        --retries 2 --no-warn-script-location --no-deps --no-build-isolation "$@"
}

install() {
    quietly "$1" "installing requirements/$1.txt" pip_install --require-hashes -r "requirements/$1.txt"
}

runtime() {
    is_ours || make_venv venv .venv
    install build
    install runtime
    quietly keeper "installing keeper, editable" pip_install --no-index --editable .
}

dev() {
    .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' ||
        fail "the tests need Python 3.11 or 3.12 (ape, vyper and titanoboa have no later one), and" \
            ".venv has $(.venv/bin/python --version): remove .venv and set PYTHON=python3.12"
    install dev
}

# Whether the devnet will take an Anvil on PATH: what its own room says, which needs the runtime.
has_anvil() {
    .venv/bin/python -c 'from keeper.devnet.anvil import anvil_on_path; anvil_on_path()' >/dev/null 2>&1
}

node() {
    version=$(command node --version 2>/dev/null) || fail "Node 20 or later is needed, and there is no node on PATH"
    major=${version#v}
    [ "${major%%.*}" -ge 20 ] || fail "Node 20 or later is needed, and node here is $version"
    command -v npm >/dev/null || fail "npm is needed beside node $version, and it is not on PATH"
    # Of what package.json lists, Anvil alone is optional.
    what="Anvil and the protocol artifacts of package-lock.json"
    omit=
    if has_anvil; then
        what="the protocol artifacts of package-lock.json, for the Anvil $(command -v anvil)"
        omit=--omit=optional
    fi
    quietly npm "installing $what" npm ci \
        --no-audit --no-fund --fetch-retry-mintimeout 1000 --fetch-retry-maxtimeout 5000 $omit
}

# The runtime as it resolves where nothing caps numpy, in an environment of its own.
numpy2() {
    make_venv numpy2-venv build/numpy2
    quietly numpy2 "installing requirements/numpy2.txt" build/numpy2/bin/python -m pip install --no-input \
        --progress-bar off --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -r requirements/numpy2.txt
}

"$1"
