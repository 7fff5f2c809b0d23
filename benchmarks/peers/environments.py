"""Environments: one for each peer, and one for ours, all with the same Python.

A peer has the versions of `requirements/peers/NAME.txt` and nothing else; ours has those of
`requirements/runtime.txt` and the packages of this workspace. An environment is made once, and
again when its requirements or the Python have changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.child import ROOT
from release.commands import CommandError, run
from release.environment import Environment

FOLDER: Final = ROOT / ".venv-peers"
OURS: Final = "ours"

_VERSIONS: Final = ("3.12", "3.13", "3.14")
"""Pythons that all peers run on; the first that is installed is taken."""

_STAMP: Final = "made-of"
_IMPATIENT: Final = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "20"}
"""Without a network pip would try for minutes."""


class UnavailableError(RuntimeError):
    """An environment can't be made; the message says why."""


def find_python() -> Path:
    """Return the interpreter for all environments: the first of `_VERSIONS`, or else this one."""
    for version in _VERSIONS:
        for python in _candidates(version):
            try:
                run(python, "-c", "import ensurepip, ssl, venv")
            except CommandError:
                continue
            return Path(python)
    return Path(sys.executable)


def make(name: str, python: Path) -> Path:
    """Make the environment of a peer, or of ours, unless it is there; return its Python.

    Raises:
        UnavailableError: it can't be made, such as without a network.
    """
    pinned = ROOT / "requirements" / ("runtime.txt" if name == OURS else f"peers/{name}.txt")
    environment = Environment(FOLDER / name)
    stamp = environment.folder / _STAMP
    try:
        version = run(python, "-c", "import sys; print(sys.version)")
        made_of = hashlib.sha256(version.encode() + pinned.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != made_of:
            shutil.rmtree(environment.folder, ignore_errors=True)
            Environment.make(environment.folder, python)
            _install(environment, "--require-hashes", "-r", str(pinned))
            if name == OURS:
                local = sorted(each.parent for each in ROOT.glob("civitas-*/pyproject.toml"))
                _install(environment, "--no-build-isolation", *(f"--editable={p}" for p in local))
            stamp.write_text(made_of)
    except CommandError as error:
        raise UnavailableError(_reason(error)) from error
    return environment.python


def _candidates(version: str) -> Iterator[str]:
    """Return names and places of an interpreter; pyenv's shims are there for all, and may fail."""
    yield f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))


def _install(environment: Environment, *what: str) -> None:
    pip = (sys.executable, "-m", "pip", "--python", str(environment.python), "install", "--quiet")
    run(*pip, "--no-deps", *what, env={**os.environ, **_IMPATIENT})


def _reason(error: CommandError) -> str:
    """Return the line of pip's that says what is wrong, or all that there is."""
    said = re.findall(r"^ERROR: (.*)", str(error), re.MULTILINE)
    return said[-1] if said else str(error)
