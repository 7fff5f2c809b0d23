#!/bin/sh
# Runs the fast tests of core on other Pythons: pythons.sh TESTED VERSION...
# TESTED is the version whose tests run anyway. Each other one that is installed, on the PATH or by
# pyenv, gets an environment of its own, which `make clean` removes; those that are not are named.
set -u
cd "$(dirname "$0")/../.." || exit 1
tested=$1
shift

find_python() { # the interpreter of a version like 3.12: pyenv's shims are there for all, and fail
    for each in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        "$each" -c 'import ensurepip, ssl, venv' 2>/dev/null && { command -v "$each"; return; }
    done
}

failed=
missing=
for version in "$@"; do
    case $tested in "$version".*) continue ;; esac
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        missing="$missing $version"
        continue
    fi
    echo "--- Python $version: $python"
    make --no-print-directory test-core "PYTHON=$python" "VENV=.venv-$version" ||
        failed="$failed $version"
done
[ -z "$missing" ] || echo "not installed, so not tested: Python$missing"
[ -z "$failed" ] || { echo "failed: Python$failed" >&2; exit 1; }
