"""Runs commands as process 1 of a PID namespace, as a container does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.commands import Running
from support.waiting import eventually

_PRIVATE = ["--pid", "--fork", "--mount-proc", "--kill-child", "--"]


def as_process_1(folder: Path, *command: str, **settings: str) -> Running:
    """Start a command as process 1 of a namespace of its own; skip the test where that can't be."""
    unshare = shutil.which("unshare")
    assert unshare, "it comes with util-linux, which every Debian has"
    owner = ["--user", "--map-root-user"] if os.getuid() else []
    tried = subprocess.run(
        [unshare, *owner, *_PRIVATE, "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this system allows no PID namespace: {tried.stderr.strip()}")
    return Running([*owner, *_PRIVATE, *command], folder, settings, Path(unshare))


def first_of(running: Running) -> int:
    """Return the process id, here, of process 1 of the namespace."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    [first] = eventually(lambda: children.read_text().split())
    return int(first)


def states_below(pid: int) -> list[str]:
    """Return the states of the children of a process, as `ps` has them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stats = [Path(f"/proc/{child}/stat").read_text() for child in children]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]
