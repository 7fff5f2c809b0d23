"""Counts how much fresh memory is written: so, copies of what is large, whoever makes them.

Theory. The system gives memory a page at a time, when a page is first written, and counts that
(minor page faults). A large block comes fresh from the system and goes back to it as soon as it is
free, if the C library's allocator is told to do so, and has no free block of that size; then a copy
of N bytes is N bytes of such pages. That counts what Python allocates, and what libraries in C do,
in all threads of this process. It counts neither what is written into memory that was used before,
nor the system's own buffers of sockets.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MMAP_THRESHOLD: Final = -3
"""M_MMAP_THRESHOLD of mallopt(3): bytes from which on a block comes fresh from the system."""

_TRIM_THRESHOLD: Final = -1
"""M_TRIM_THRESHOLD: free bytes from which on the heap gives memory back, to ask for it again."""

_NEVER: Final = 1 << 30

_LARGE: Final = 192 << 10
"""Bytes; more than the allocator has in hand for small blocks, less than asyncio reads at once."""

_DEFAULT: Final = 128 << 10
"""What glibc begins with, for both. (It would raise them by itself, but not once they were set.)"""

_SET_THP_DISABLE: Final = 41
"""PR_SET_THP_DISABLE of prctl(2): no pages of 2 MiB, one of which would count as one."""

_BLOCKS: Final = 3
"""Where mallinfo2(3) has the number of blocks that came fresh from the system."""


class _Mallinfo(ctypes.Structure):
    _fields_ = (("values", ctypes.c_size_t * 10),)


@contextmanager
def large_blocks_are_fresh() -> Iterator[None]:
    """Within the block, all large blocks of memory come fresh from the system."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Mallinfo
    library.malloc.restype = ctypes.c_void_p
    library.mallopt(_MMAP_THRESHOLD, _LARGE)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    library.prctl(_SET_THP_DISABLE, 1, 0, 0, 0)
    taken = []
    try:
        taken = _take_free_blocks(library)
        yield
    finally:
        for block in taken:
            library.free(ctypes.c_void_p(block))
        library.prctl(_SET_THP_DISABLE, 0, 0, 0, 0)
        library.mallopt(_TRIM_THRESHOLD, _DEFAULT)
        library.mallopt(_MMAP_THRESHOLD, _DEFAULT)


def fresh_bytes() -> int:
    """Return how many bytes of fresh memory this process has been given so far, in whole pages."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()


def _take_free_blocks(library: ctypes.CDLL) -> list[int]:
    """Take what large blocks the allocator has, until the next one is fresh."""
    taken = []
    before = library.mallinfo2().values[_BLOCKS]
    while library.mallinfo2().values[_BLOCKS] == before:
        taken.append(library.malloc(ctypes.c_size_t(_LARGE)))
    return taken
