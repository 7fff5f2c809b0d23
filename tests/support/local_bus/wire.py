"""What broker and clients say to each other: commands with a length before each, without any I/O.

0    4  length of the rest, big-endian
4    1  operation: 1 SUB, 2 UNSUB, 3 PUB, 4 PING, 5 PONG
5    2  length a of the address
7    a  address, UTF-8; empty for PING and PONG
7+a     PUB: the frame; PING and PONG: a token
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

SUB: Final = 1
UNSUB: Final = 2
PUB: Final = 3
PING: Final = 4
PONG: Final = 5

MAX_FRAME: Final = 64 << 20
"""Largest frame that a command carries, in bytes."""

_HEAD: Final = Struct(">IBH")
_LENGTH: Final = Struct(">I")
_FIXED: Final = _HEAD.size - _LENGTH.size
_LARGEST: Final = _FIXED + 0xFFFF + MAX_FRAME


class WireError(Exception):
    """The bytes are no command; what comes after them can't be understood either."""


class Command(NamedTuple):
    """One command, taken apart."""

    operation: int
    address: bytes
    data: bytes


def pack(operation: int, address: bytes = b"", data: bytes = b"") -> bytes:
    """Make the bytes of a command."""
    length = _FIXED + len(address) + len(data)
    return _HEAD.pack(length, operation, len(address)) + address + data


class Splitter:
    """Takes the commands out of a stream, however it was cut into pieces."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> Iterator[Command]:
        """Yield the commands that are complete with this piece.

        Raises:
            WireError: the stream is no sequence of commands; those before the fault were yielded.
        """
        held = self._held + piece if self._held else piece
        at = 0
        try:
            while len(held) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(held, at)
                if not _FIXED <= length <= _LARGEST:
                    raise WireError(f"no command has {length} bytes")
                end = at + _LENGTH.size + length
                if len(held) < end:
                    return
                command = _command(held, at, end)
                at = end
                yield command
        finally:
            self._held = held[at:]


def _command(held: bytes, at: int, end: int) -> Command:
    _, operation, size = _HEAD.unpack_from(held, at)
    address_at = at + _HEAD.size
    data_at = address_at + size
    if data_at > end:
        raise WireError("the command ends within its address")
    if not SUB <= operation <= PONG:
        raise WireError(f"no such operation: {operation}")
    return Command(operation, held[address_at:data_at], held[data_at:end])
