"""Padding: sizes with which a stream that is full refuses a message instead of losing another.

A server (nats-server 2.9.10) takes a message into a stream with `max_bytes` when its headers and
its data fit, and then removes the oldest messages when what it stores of it, which is more, does
not: also with `discard: new`. Where all that is stored, and the limit, are multiples of one unit
that is larger than the difference, a message fits with both measures, or with neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNIT: Final = 1024
"""Bytes; more than a server adds to a message: its subject, and what frames it in the file."""

HEADER: Final = "Civitas-Padding"

_RECORD: Final = 22 + 4 + 8
"""Bytes that a server's file has for a message besides subject, headers and data."""

_AROUND_HEADERS: Final = len("NATS/1.0\r\n") + len("\r\n")
_AROUND_ONE: Final = len(": \r\n")


def rounded(limit: int) -> int:
    """Return a limit in bytes that is a multiple of the unit, and at least one."""
    return max(limit // UNIT, 1) * UNIT


def stored_bytes(subject: str, frame: bytes, headers: Mapping[str, str]) -> int:
    """Return how many bytes a server's file has for a message."""
    told = sum(len(key) + len(value) + _AROUND_ONE for key, value in headers.items())
    return _RECORD + len(subject.encode()) + _AROUND_HEADERS + told + len(frame)


def padded(subject: str, frame: bytes, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with one more, by which what is stored is a multiple of the unit."""
    bare = stored_bytes(subject, frame, {**headers, HEADER: "."})
    return {**headers, HEADER: "." * (1 + -bare % UNIT)}
