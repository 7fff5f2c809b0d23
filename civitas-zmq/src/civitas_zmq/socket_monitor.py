"""SocketMonitor: one connection to the proxy, as its socket monitor tells of it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from civitas_zmq.sockets import descriptor_of

_RETRYING: Final = frozenset(
    {
        zmq.Event.CONNECT_RETRIED,
        zmq.Event.CONNECT_DELAYED,
        zmq.Event.CONNECTED,
    }
)
_WATCHED: Final = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CONNECT_RETRIED
    | zmq.Event.CONNECT_DELAYED
    | zmq.Event.CONNECTED
)

REVIVE_AFTER: Final = 1.0
"""Seconds after which a connection that libzmq has given up is made anew."""


class SocketMonitor:
    """A connecting socket that knows whether it is connected, and connects again for ever.

    libzmq connects again by itself after most errors. But after a refused key, a mismatch of
    mechanisms or a message above MAXMSGSIZE it gives up without a word (4.3.5): no
    CONNECT_RETRIED follows DISCONNECTED. Then the endpoint connects anew.

    Args:
        socket: not connected yet; the owner closes it.
        address: where the proxy listens.
        connected: called when the handshake was done.
        lost: called with the reason when the connection is gone.
        refused: called with the reason when the proxy wants none.
        doubted: called with a likely reason when there was no handshake.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        *,
        connected: Callable[[], None],
        lost: Callable[[str], None],
        refused: Callable[[str], None],
        doubted: Callable[[str], None],
    ) -> None:
        self.is_connected = False
        self.address = address
        self._socket = socket
        self._connected = connected
        self._lost = lost
        self._refused = refused
        self._doubted = doubted
        self._loop = asyncio.get_running_loop()
        self._revival: asyncio.TimerHandle | None = None
        self._monitor = socket.get_monitor_socket(_WATCHED)
        self._descriptor = descriptor_of(self._monitor)
        self._loop.add_reader(self._descriptor, self._read)
        socket.connect(address)
        self._loop.call_soon(self._read)

    def close(self) -> None:
        """Watch no more, and close the monitor."""
        self._loop.remove_reader(self._descriptor)
        self._cancel_revival()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)

    def _read(self) -> None:
        while not self._monitor.closed:
            try:
                message = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(zmq.Event(parse_monitor_message(message)["event"]))

    def _take(self, event: zmq.Event) -> None:
        if event in _RETRYING:
            self._cancel_revival()
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._cancel_revival()
            self.is_connected = True
            self._connected()
        elif event == zmq.Event.DISCONNECTED:
            self.is_connected = False
            self._cancel_revival()
            self._revival = self._loop.call_later(REVIVE_AFTER, self._revive)
            self._lost(f"the connection to the proxy at {self.address} is lost")
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self._refused(
                f"the proxy at {self.address} does not let this process in: its public key is not"
                " among the allowed_clients of the process that runs the proxy"
            )
        elif event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            self._refused(
                f"the proxy at {self.address} and this process don't agree on security: one of"
                " them has curve keys and the other has none"
            )
        else:
            self._doubted(
                f"what listens at {self.address} hung up: it is no proxy, or its key is not"
                " curve.server_public_key"
            )

    def _revive(self) -> None:
        try:
            self._socket.disconnect(self.address)
        except zmq.ZMQError as error:
            if error.errno != errno.ENOENT:  # it has forgotten the address as well
                raise
        self._socket.connect(self.address)

    def _cancel_revival(self) -> None:
        if self._revival is not None:
            self._revival.cancel()
            self._revival = None
