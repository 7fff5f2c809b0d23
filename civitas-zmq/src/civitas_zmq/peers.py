"""The connections of a socket as the system sees them: who they are, what they take, how they end.

libzmq (4.3.5) can neither close one connection of an XPUB socket nor say what waits for it. But a
message that it received has the descriptor of its connection (`SRCFD`), and the system knows the
rest: tcp(7), unix(7), `struct tcp_info` of linux/tcp.h (Linux 4.10 and later). Elsewhere these are
missing, or have the same names and another layout: then nothing seems to wait for a connection, and
the limits that depend on it don't hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Iterator
from typing import Final, NamedTuple

_ON_LINUX: Final = sys.platform == "linux"
_HAS_COUNTERS: Final = _ON_LINUX and hasattr(socket, "TCP_INFO")
_HAS_CREDENTIALS: Final = _ON_LINUX and hasattr(socket, "SO_PEERCRED")
_SO_COOKIE: Final = 57
_BYTES_ACKED: Final = struct.Struct("=120xQ")
_RWND_LIMITED: Final = struct.Struct("=176xQ")
_TCP_INFO_SIZE: Final = 256


class Flow(NamedTuple):
    """What a connection has taken so far.

    Attributes:
        waiting: bytes in the system that the peer has not taken.
        taken: bytes that the peer has taken; `None` where the system does not know.
        limited: seconds in which the peer, and nothing else, held up what waits; `None` likewise.
    """

    waiting: int
    taken: int | None = None
    limited: float | None = None


_UNKNOWN: Final = Flow(0)


def identity_of(descriptor: int) -> int | None:
    """Return a number that no other connection has, `None` when this one is closed.

    A descriptor is used again as soon as it is closed, perhaps for a file of somebody else's.
    """
    with _opened(descriptor) as peer:
        return None if peer is None else _identity(peer, descriptor)


def flow_of(descriptor: int, identity: int) -> Flow | None:
    """Return what a connection has taken, `None` when it is closed."""
    with _opened(descriptor) as peer:
        if peer is None or _identity(peer, descriptor) != identity:
            return None
        try:
            [waiting] = struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)))
            if peer.family == socket.AF_UNIX:
                return Flow(waiting)
            if not _HAS_COUNTERS:
                return _UNKNOWN
            info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:
            return _UNKNOWN
        if len(info) < _RWND_LIMITED.size:
            return _UNKNOWN
        [taken], [limited] = _BYTES_ACKED.unpack_from(info), _RWND_LIMITED.unpack_from(info)
        return Flow(waiting, taken, limited / 1e6)


def name_of(descriptor: int) -> tuple[str, str]:
    """Return the host or the user at the other end, and the connection's name, for the log."""
    with _opened(descriptor) as peer, contextlib.suppress(OSError):
        if peer is not None and peer.family == socket.AF_UNIX:
            if not _HAS_CREDENTIALS:
                return "", "a process of this machine"
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            process, user, _ = struct.unpack("3i", credentials)
            return f"user {user}", f"process {process} of user {user}"
        if peer is not None:
            host, port = peer.getpeername()[:2]
            return host, f"{host}, port {port}"
    return "", "somebody who has left"


def close(descriptor: int, identity: int) -> None:
    """End a connection, unless it has ended and its descriptor belongs to another one."""
    with _opened(descriptor) as peer, contextlib.suppress(OSError):
        if peer is not None and _identity(peer, descriptor) == identity:
            peer.shutdown(socket.SHUT_RDWR)


def _identity(peer: socket.socket, descriptor: int) -> int:
    if _ON_LINUX:
        with contextlib.suppress(OSError):  # it is not quite Linux
            return int.from_bytes(peer.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")
    with contextlib.suppress(OSError):  # it is closed
        return hash((descriptor, peer.getpeername()))
    return descriptor


@contextlib.contextmanager
def _opened(descriptor: int) -> Iterator[socket.socket | None]:
    """Make a connection of libzmq's usable; what is closed at the end is a copy."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        peer = socket.socket(fileno=copy)
    except OSError:  # a file by now
        os.close(copy)
        yield None
        return
    with peer:
        yield peer
