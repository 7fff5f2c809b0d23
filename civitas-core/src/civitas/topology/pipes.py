"""Topologies that come through a pipe: what was read once is kept, and handed on to children.

`civitas up` and its processes all read the topology; a pipe can be read by the first of them only,
and `/dev/stdin` is another file in each, also where it is no pipe.
"""

from __future__ import annotations

import os
import stat
from contextvars import ContextVar
from pathlib import Path
from typing import Final

kept: Final[ContextVar[dict[str, bytes] | None]] = ContextVar("kept", default=None)
"""What was read of files that can be read only once, by path; `None`: nothing is kept."""


_OF_PROCESS: Final = ("/dev/stdin", "/dev/fd/", "/proc/")
"""How paths begin that name another file in another process."""


def read_bytes(file: Path, at_most: int) -> bytes:
    """Return the first bytes of a file; of one that was kept, what was read before.

    Raises:
        OSError: it can't be read.
    """
    known = kept.get()
    if known is not None and str(file) in known:
        return known[str(file)]
    with file.open("rb") as stream:
        data = stream.read(at_most)
        if known is not None and not _is_there_for_all(file, stream.fileno()):
            known[str(file)] = data
    return data


def _is_there_for_all(file: Path, descriptor: int) -> bool:
    """Return whether another process can read a file as well, and once more."""
    is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    return is_regular and not str(file.absolute()).startswith(_OF_PROCESS)
