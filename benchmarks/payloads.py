"""Payloads: what the messages carry that are measured, floors and ours alike."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, Final

SIZES: Final = {"100 B": 100, "10 KiB": 10 << 10, "1 MiB": 1 << 20, "4 MiB": 4 << 20}
"""Bytes of data in a payload, by the name of the size."""

SMALL: Final = SIZES["100 B"]

_AT_MOST: Final = 64 << 20
"""Bytes that one run carries: brokers cut off who is further behind."""

_FEWEST: Final = 8


@cache
def payload(size: int) -> dict[str, Any]:
    """Return a payload with so many bytes of data, which are any: zeros would be one page."""
    return {"n": 1, "data": Random(size).randbytes(size)}


def fewer(count: int, size: int) -> int:
    """Return how many messages of this size one run has, where it has so many small ones."""
    return min(count, max(_FEWEST, _AT_MOST // size))
