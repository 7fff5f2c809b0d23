"""Disks that are soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.last_will import LastWill
from support.machines import NotPossibleHereError


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Have a file system of its own in a folder, of so many megabytes; it is gone in the end.

    Who uses it has to end before.

    Raises:
        NotPossibleHereError: the system does not allow it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder))
    will = LastWill("umount", "--lazy", str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))
        will.revoke()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPossibleHereError(
            f"{command[0]}: {done.stderr.strip()}: this test needs root, who may mount a tmpfs"
        )
