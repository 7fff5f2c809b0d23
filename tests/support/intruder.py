"""A hostile peer: raw sockets at a system's proxy, that send whatever they are told."""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType
from typing import Any

import zmq

from support.commands import DEADLINE


class Intruder:
    """Sockets of a stranger at the proxy of a running system.

    Args:
        transport: the options of the system's transport.
        hears: topics (prefixes) to subscribe; what comes is only read by `overhear`.
    """

    def __init__(self, transport: dict[str, Any], *hears: bytes) -> None:
        self._addresses = transport["pub_addr"], transport["sub_addr"]
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._out = self._context.socket(zmq.XPUB)
        self._in = self._context.socket(zmq.SUB)
        for topic in hears:
            self._in.subscribe(topic)
        for each in (self._out, self._in):
            each.set(zmq.LINGER, 1000)
        self._out.connect(self._addresses[0])
        self._in.connect(self._addresses[1])
        # The proxy's own subscription to all tells that the connection is there.
        assert self._out.poll(DEADLINE * 1000)
        self._out.recv()

    def __enter__(self) -> Intruder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._out.close()
        self._in.close(linger=0)
        self._context.term()

    def send(self, *parts: bytes) -> None:
        """Send a message of these parts."""
        self._out.send_multipart(parts)

    def overhear(self) -> list[bytes]:
        """Return the parts of the next message."""
        assert self._in.poll(DEADLINE * 1000), "there was nothing to be heard"
        return self._in.recv_multipart()

    def speak_http(self) -> None:
        """Send a request of another protocol to both addresses, and see that it gets no answer."""
        for address in self._addresses:
            host, port = address.removeprefix("tcp://").rsplit(":", 1)
            with (
                socket.create_connection((host, int(port)), DEADLINE) as connection,
                suppress(OSError),  # it need not even read all of it
            ):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: civitas\r\n\r\n" * 100)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    continue
