#!/bin/sh
# Resolve pyproject.toml into requirements/*.txt, one lock for every platform and Python. `lock.sh --upgrade`
# takes newer versions; without it only what pyproject.toml no longer allows moves.
#
# dev.txt comes first and the others are held to it, so adding the development group to a runtime
# environment moves nothing. numpy2.txt is the exception, on purpose: the runtime as it resolves where
# no development group caps it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p requirements

resolve() {
    file=$1
    shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
        --output-file "requirements/$file" "$@" >/dev/null
    echo "requirements/$file: $(grep -c '^[a-z].*==' "requirements/$file") pins"
}

resolve dev.txt pyproject.toml --all-extras --group dev "$@"
resolve build.txt --group build --constraint requirements/dev.txt "$@"
resolve runtime.txt pyproject.toml --all-extras --constraint requirements/dev.txt "$@"
echo 'numpy>=2' | resolve numpy2.txt pyproject.toml - --all-extras --group test "$@"
