"""Which processes there are, and whether they have ended."""

from __future__ import annotations

import os
import select
from pathlib import Path

MARK = "CIVITAS_TEST_MARK"
"""A variable of the environment that a test gives to its processes, and they to theirs."""


def marked(mark: str) -> list[int]:
    """Return the pids of the running processes that were started with the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            variables = (folder / "environ").read_bytes()
        except OSError:  # it has ended, or is somebody else's
            continue
        if wanted in variables.split(b"\0"):
            found.append(int(folder.name))
    return found


class Watched:
    """A process, not necessarily a child, whose end can be waited for."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def has_ended(self, deadline: float) -> bool:
        """Wait until it has ended, but no more than these seconds."""
        return bool(select.select([self._descriptor], [], [], deadline)[0])


def outliving(mark: str, deadline: float) -> list[int]:
    """Return the pids of those with the mark that have not ended within these seconds."""
    left = []
    for pid in marked(mark):
        try:
            with Watched(pid) as process:
                if not process.has_ended(deadline):
                    left.append(pid)
        except ProcessLookupError:
            continue  # it has just ended
    return left
