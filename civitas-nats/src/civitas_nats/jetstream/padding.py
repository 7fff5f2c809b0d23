"""Padding: message sizes with which a full stream refuses a message instead of losing another one.

With `max_bytes` and `discard: new`, a server (nats-server 2.9.10) checks a new message by the size
of its headers and data, but counts what it stores, which is more. A message that fits by the first
measure and not by the second is stored, and the oldest messages are removed. When the limit and all
that is stored are multiples of one unit that is larger than the difference, both measures agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

UNIT: Final = 1024
"""Bytes; more than a server adds to headers and data: the subject and the record around it."""

HEADER: Final = "Civitas-Padding"

_RECORD_OVERHEAD: Final = 22 + 4 + 8
"""Bytes of a message in a server's file besides its subject, headers and data."""

_HEADERS_OVERHEAD: Final = len("NATS/1.0\r\n") + len("\r\n")
_HEADER_OVERHEAD: Final = len(": \r\n")


def rounded(limit: int) -> int:
    """Return a limit in bytes, rounded down to a multiple of the unit, but not to 0."""
    return max(limit // UNIT, 1) * UNIT


def stored_bytes(subject: str, frame: bytes, headers: Mapping[str, str]) -> int:
    """Return how many bytes a message has in a server's file."""
    header_bytes = sum(len(key) + len(value) + _HEADER_OVERHEAD for key, value in headers.items())
    return _RECORD_OVERHEAD + len(subject.encode()) + _HEADERS_OVERHEAD + header_bytes + len(frame)


def padded(subject: str, frame: bytes, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers and one more that makes the stored size a multiple of the unit."""
    bare = stored_bytes(subject, frame, {**headers, HEADER: "."})
    return {**headers, HEADER: "." * (1 + -bare % UNIT)}
