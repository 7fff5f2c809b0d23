"""Topologies that come through a pipe: what was read once is kept, and handed on to children.

`civitas up` and its processes all read the topology; a pipe can be read by the first of them only.
"""

from __future__ import annotations

import os
import stat
from contextvars import ContextVar
from pathlib import Path
from typing import Final

kept: Final[ContextVar[dict[str, bytes] | None]] = ContextVar("kept", default=None)
"""What was read of files that can be read only once, by path; `None`: nothing is kept."""


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
        if known is not None and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            known[str(file)] = data
    return data
