"""Running the programs that do the work: git, pip, build, pytest."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SHOWN: Final = 40
"""How many of the last lines of a failed program's output are worth showing."""


class CommandError(Exception):
    """A program failed. Its text has the command and the end of what it printed."""


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed to stdout.

    Args:
        command: the program and its arguments.
        cwd: where it runs; here by default.
        env: its whole environment; ours by default.

    Raises:
        CommandError: it could not be started, or its exit code is not 0.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise CommandError(f"{words[0]} can't be run: {error}") from error
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_SHOWN:])
        raise CommandError(f"{shlex.join(words)} ended with {done.returncode}:\n{output}")
    return done.stdout


def watch(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> int:
    """Run a program that takes its time, with all it prints on our stderr; return its exit code."""
    return subprocess.run(command, cwd=cwd, env=env, stdout=sys.stderr, check=False).returncode


def plain_environment() -> dict[str, str]:
    """Return this process's environment without what points Python at other code, or sets us up."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("CIVITAS", "PYTHON", "PIP"))}
