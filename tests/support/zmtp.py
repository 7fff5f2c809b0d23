"""A peer that speaks ZMTP 3.0 (ZeroMQ RFC 23) on a plain socket, as badly as a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final, Self

from civitas_zmq import addresses

DEADLINE: Final = 15.0

_COMMAND: Final = 4
_MORE: Final = 1


def greeting(major: int = 3, mechanism: bytes = b"NULL") -> bytes:
    """Return the 64 bytes with which a connection begins."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes((major, 0)) + mechanism.ljust(20, b"\0") + bytes(32)


def message(body: bytes, *, more: bool = False) -> bytes:
    """Return one part of a message, as it is on the wire."""
    return _framed(_MORE if more else 0, body)


def command(name: bytes, data: bytes = b"") -> bytes:
    """Return a command, as it is on the wire."""
    return _framed(_COMMAND, bytes((len(name),)) + name + data)


def _framed(flags: int, body: bytes) -> bytes:
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return struct.pack(">BQ", flags | 2, len(body)) + body


def connected(address: str) -> socket.socket:
    """Return a plain connection to an address of a proxy."""
    path = addresses.ipc_path(address)
    if path is None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        return socket.create_connection((host, int(port)), DEADLINE)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(path)
    return connection


class RawPeer:
    """A connection that has shaken hands. Use it as a context.

    Args:
        address: where the proxy listens.
        kind: the type of socket that it claims to be.
        alive: send a PONG every 0.1 s, whatever else happens: nothing is ever read.
    """

    def __init__(self, address: str, kind: bytes = b"SUB", *, alive: bool = False) -> None:
        self._socket = connected(address)
        self._socket.sendall(greeting())
        self._read(64)
        ready = b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        self._socket.sendall(command(b"READY", ready))
        _, size = self._read(2)
        self._read(size)
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._keep_alive, daemon=True)
        if alive:
            self._pulse.start()

    def send(self, *frames: bytes) -> None:
        """Send bytes; a connection that is closed by the other side raises OSError."""
        self._socket.sendall(b"".join(frames))

    def take(self, size: int) -> None:
        """Read up to so many bytes, if they are there."""
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            self._socket.recv(size)
        self._socket.settimeout(DEADLINE)

    def close(self) -> None:
        """Leave."""
        self._ended.set()
        if self._pulse.is_alive():
            self._pulse.join()
        self._socket.close()

    def has_been_closed(self) -> bool:
        """Return whether sending fails, as it does some time after the other side has closed."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                self._socket.sendall(command(b"PONG"))
            except OSError:
                return True
        return False

    def is_closed(self) -> bool:
        """Read what there is, and return whether the other side has closed the connection."""
        self._socket.settimeout(0)
        try:
            while self._socket.recv(1 << 16):
                continue
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(DEADLINE)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _keep_alive(self) -> None:
        while not self._ended.wait(0.1):
            try:
                self._socket.sendall(command(b"PONG"))
            except OSError:
                return

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data))
        return data
