"""Publisher: frames on their way to the proxy, which never block the loop and are never dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

import zmq

from civitas.errors import NotConnectedError, TransportError
from civitas_zmq.sockets import NOBLOCK, descriptor_of

_BATCH: Final = 1000
"""Subscriptions read in one turn of the loop."""

_SENDS_BETWEEN_READS: Final = 4096
_TOPIC: Final = int(zmq.SNDMORE) | NOBLOCK


class _Waiting(NamedTuple):
    topic: bytes
    frame: bytes
    sent: asyncio.Future[None]


class Publisher:
    """Sends on an XPUB socket.

    At the high-water mark senders wait in order. Whether an XPUB with XPUB_NODROP has room can't
    be asked for: its EVENTS always say so. But its descriptor tells when the proxy has taken
    frames, and then the first of those who wait tries again. Any use of the socket may take that
    signal away, so whoever uses it besides looks after those who wait (`flush`).

    Args:
        socket: connected or about to be; the owner closes it.
        patience: seconds that a sender waits for room.
    """

    def __init__(self, socket: zmq.Socket[bytes], patience: float) -> None:
        self._socket = socket
        self._send = socket.send
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._until_read = _SENDS_BETWEEN_READS
        self._descriptor = descriptor_of(socket)
        self._loop.add_reader(self._descriptor, self._on_signal)

    def offer(self, topic: bytes, frame: bytes) -> bool:
        """Send now and return True, or return False: there is no room, or others wait already."""
        return not self._waiting and self._try(topic, frame)

    async def put(self, topic: bytes, frame: bytes) -> None:
        """Send as soon as there is room.

        Raises:
            TransportError: there was none in time.
        """
        if self.offer(topic, frame):
            return
        waiting = _Waiting(topic, frame, self._loop.create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._patience):
                await waiting.sent
        except TimeoutError:
            self._forget(waiting)
            raise TransportError(
                f"no room for a frame within {self._patience:g} s: the proxy takes nothing;"
                " raise send_hwm or send_timeout if it is only slow"
            ) from None
        except asyncio.CancelledError:
            self._forget(waiting)
            raise

    def overtake(self, topic: bytes) -> None:
        """Try to send a probe, before all who wait; it is sent again, so it may be lost."""
        self._try(topic, b"")
        if self._waiting:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._waiting:
            first = self._waiting[0]
            if not first.sent.done():  # it has not given up
                if not self._try(first.topic, first.frame):
                    return
                first.sent.set_result(None)
            self._waiting.popleft()

    def refuse(self, reason: str) -> None:
        """Fail all who wait."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.sent.done():
                waiting.sent.set_exception(NotConnectedError(reason))

    def close(self) -> None:
        """Stop watching the socket, which is still open."""
        self._loop.remove_reader(self._descriptor)

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _try(self, topic: bytes, frame: bytes) -> bool:
        try:
            self._send(topic, _TOPIC)
        except zmq.Again:
            return False
        self._send(frame, NOBLOCK)  # counted with its topic: where that fits, this does too
        self._until_read -= 1
        if not self._until_read:
            self._read()
        return True

    def _on_signal(self) -> None:
        self._read()
        self.flush()

    def _read(self) -> None:
        """Take the subscriptions that the proxy passes on; unread they would pile up."""
        self._until_read = _SENDS_BETWEEN_READS
        for _ in range(_BATCH):
            try:
                self._socket.recv(NOBLOCK)
            except zmq.Again:
                return
        self._loop.call_soon(self._on_signal)
