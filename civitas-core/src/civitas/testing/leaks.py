"""What a process holds: threads and file descriptors, which a stopped transport gives back."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

_LISTINGS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))


def threads() -> frozenset[threading.Thread]:
    """Return the threads that run now."""
    return frozenset(threading.enumerate())


def descriptors() -> dict[int, str]:
    """Return the open file descriptors, each with what it stands for."""
    for listing in _LISTINGS:
        if listing.is_dir():
            found = ((int(entry.name), _target(entry)) for entry in listing.iterdir())
            return {number: target for number, target in found if target is not None}
    return {}


def opened_since(before: dict[int, str]) -> dict[int, str]:
    """Return the descriptors that are open now and were not, or stood for something else."""
    return {
        number: target for number, target in descriptors().items() if before.get(number) != target
    }


def _target(entry: Path) -> str | None:
    """Say what a descriptor stands for; `None` for the one that listed the others."""
    with contextlib.suppress(OSError):
        return str(entry.readlink())
    try:
        status = os.fstat(int(entry.name))
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino} (mode {status.st_mode:o})"
