"""SocketMonitor: connects a socket to the proxy, for ever, and reports whether it is connected.

libzmq connects again by itself after most errors. But after a refused key, a mismatch of mechanisms
or a message above MAXMSGSIZE it gives up without an event of its own (libzmq 4.3.5): DISCONNECTED
comes, and neither CONNECT_DELAYED nor CONNECT_RETRIED follows. So a timer runs from DISCONNECTED
until libzmq connects again; when it ends, this monitor connects anew.

| event of zmq_socket_monitor(3)              | reported as   | the timer    |
|---------------------------------------------|---------------|--------------|
| CONNECT_DELAYED, CONNECT_RETRIED, CONNECTED | -             | is cancelled |
| HANDSHAKE_SUCCEEDED                         | `connected`   | is cancelled |
| DISCONNECTED                                | `lost`        | begins anew  |
| HANDSHAKE_FAILED_AUTH (a key is refused)    | `refused`     | -            |
| HANDSHAKE_FAILED_PROTOCOL (keys or none)    | `refused`     | -            |
| HANDSHAKE_FAILED_NO_DETAIL                  | `unexplained` | -            |
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from civitas.transport import guard_callback
from civitas_zmq.sockets import descriptor_of

_CONNECTING: Final = frozenset(
    {zmq.Event.CONNECT_RETRIED, zmq.Event.CONNECT_DELAYED, zmq.Event.CONNECTED}
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

_NAME: Final = "civitas zmq monitor"

RECONNECT_AFTER: Final = 1.0
"""Seconds after which a connection that libzmq has given up is made anew."""


class SocketMonitor:
    """Connects a socket and reports what becomes of its connection.

    Args:
        socket: not connected yet; the owner closes it.
        address: where the proxy listens.
        connected: called when a handshake has succeeded.
        lost: called with the reason when the connection is lost.
        refused: called with the reason when the proxy refuses the connection.
        unexplained: called with the likely reason when a handshake has failed without one.
        failed: called when the monitor itself can't go on.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        *,
        connected: Callable[[], None],
        lost: Callable[[str], None],
        refused: Callable[[str], None],
        unexplained: Callable[[str], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.is_connected = False
        self._address = address
        self._socket = socket
        self._connected = connected
        self._lost = lost
        self._refused = refused
        self._unexplained = unexplained
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._events = socket.get_monitor_socket(_WATCHED)
        self._descriptor = descriptor_of(self._events)
        read_later = guard_callback(self._read, name=_NAME, failed=failed)
        self._connect_later = guard_callback(self._connect_anew, name=_NAME, failed=failed)
        self._loop.add_reader(self._descriptor, read_later)
        socket.connect(address)
        self._loop.call_soon(read_later)  # the descriptor signals news once: it may have done so

    def close(self) -> None:
        """Watch no more."""
        self._loop.remove_reader(self._descriptor)
        self._cancel_timer()
        self._socket.disable_monitor()
        self._events.close(linger=0)

    def _read(self) -> None:
        while not self._events.closed:
            try:
                message = self._events.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take(zmq.Event(parse_monitor_message(message)["event"]))

    def _take(self, event: zmq.Event) -> None:
        if event in _CONNECTING:
            self._cancel_timer()
        elif event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._cancel_timer()
            self.is_connected = True
            self._connected()
        elif event == zmq.Event.DISCONNECTED:
            self.is_connected = False
            self._cancel_timer()
            self._timer = self._loop.call_later(RECONNECT_AFTER, self._connect_later)
            self._lost(f"the connection to the proxy at {self._address} is lost")
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            self._refused(
                f"the proxy at {self._address} does not let this process in: its public key is not"
                " among the allowed_clients of the process that runs the proxy"
            )
        elif event == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            self._refused(
                f"the proxy at {self._address} and this process don't agree on security: one of"
                " them has curve keys and the other has none"
            )
        else:
            self._unexplained(
                f"what listens at {self._address} hung up: it is no proxy, or its key is not"
                " curve.server_public_key"
            )

    def _connect_anew(self) -> None:
        try:
            self._socket.disconnect(self._address)
        except zmq.ZMQError as error:
            if error.errno != errno.ENOENT:  # libzmq has forgotten the address as well
                raise
        self._socket.connect(self._address)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
