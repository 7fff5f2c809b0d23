"""Publisher: sends frames to the proxy; at the high-water mark they wait here, in order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import zmq

from civitas.errors import NotConnectedError, OutcomeUnknownError, TransportError
from civitas.transport import guard_callback
from civitas_zmq.sockets import JOINED, NOBLOCK, descriptor_of

_READS_PER_TURN: Final = 1000
"""Subscriptions read in one turn of the loop."""

_SENDS_BETWEEN_READS: Final = 4096
"""Frames sent before subscriptions are read whatever the descriptor says: a sender that never
yields to the loop gives it no turn."""

_NAME: Final = "civitas zmq publisher"

_TOPIC_FLAGS: Final = int(zmq.SNDMORE) | NOBLOCK


class Publisher:
    """Sends on an XPUB socket, never blocks the loop, and drops nothing.

    Senders that find no room wait in a queue. Whether an XPUB with XPUB_NODROP has room can't be
    asked for: its EVENTS always say so (libzmq 4.3.5). But its descriptor signals when the proxy
    has taken frames, and then the first in the queue tries again. Any use of the socket may take
    that signal away: so each use is followed by another attempt for the queue.

    Args:
        socket: connected or about to be; the owner closes it.
        timeout: seconds that a sender waits for room.
        failed: called when the socket can't be used any more.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], timeout: float, failed: Callable[[BaseException], None]
    ) -> None:
        self._socket = socket
        # What pyzmq puts in Python before this one serves other kinds of sockets, and takes longer
        # than all the rest of a send: 0.65 us for a part, 0.25 without.
        self._send = super(zmq.Socket, socket).send
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._queue: OrderedDict[asyncio.Future[None], tuple[bytes, bytes]] = OrderedDict()
        self._until_read = _SENDS_BETWEEN_READS
        self._descriptor = descriptor_of(socket)
        self._flush_later = guard_callback(self._flush, name=_NAME, failed=failed)
        self._signal_later = guard_callback(self._on_signal, name=_NAME, failed=failed)
        self._loop.add_reader(self._descriptor, self._signal_later)

    def offer(self, topic: bytes, frame: bytes) -> bool:
        """Send now and return True; return False where there is no room, or others wait."""
        return not self._queue and self._try(topic, frame)

    async def send(self, topic: bytes, frame: bytes) -> None:
        """Send as soon as there is room.

        Raises:
            TransportError: there was none in time.
            NotConnectedError: the connection was lost meanwhile.
        """
        if self.offer(topic, frame):
            return
        sent = self._loop.create_future()
        self._queue[sent] = (topic, frame)
        try:
            async with asyncio.timeout(self._timeout):
                await sent
        except TimeoutError:
            raise TransportError(
                f"no room for a frame within {self._timeout:g} s: the proxy takes nothing;"
                " raise send_hwm or send_timeout if it is only slow"
            ) from None
        except asyncio.CancelledError as error:
            if sent.done() and not sent.cancelled():
                raise error from OutcomeUnknownError("it had just been sent")
            raise
        finally:
            self._queue.pop(sent, None)

    def probe(self, topic: bytes) -> None:
        """Try to send an empty frame, ahead of the queue; it may be lost."""
        self._try(topic, b"")
        if self._queue:
            self._loop.call_soon(self._flush_later)

    def fail_waiting(self, reason: str) -> None:
        """Fail all who wait for room."""
        while self._queue:
            sent, _ = self._queue.popitem(last=False)
            if not sent.done():
                sent.set_exception(NotConnectedError(reason))

    def close(self) -> None:
        """Stop watching the socket, which is still open."""
        self._loop.remove_reader(self._descriptor)

    def _try(self, topic: bytes, frame: bytes) -> bool:
        try:
            if len(frame) <= JOINED:
                self._send(topic + frame, NOBLOCK)
            else:
                self._send(topic, _TOPIC_FLAGS)
                self._send(frame, NOBLOCK)  # the mark counts whole messages: there is room for it
        except zmq.Again:
            return False
        self._until_read -= 1
        if not self._until_read:
            self._read()
        return True

    def _flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._queue:
            sent, (topic, frame) = next(iter(self._queue.items()))
            if not sent.done():  # its sender has not given up
                if not self._try(topic, frame):
                    return
                sent.set_result(None)
            del self._queue[sent]

    def _on_signal(self) -> None:
        self._read()
        self._flush()

    def _read(self) -> None:
        """Take the subscriptions that the proxy passes on; unread they would pile up."""
        self._until_read = _SENDS_BETWEEN_READS
        for _ in range(_READS_PER_TURN):
            try:
                self._socket.recv(NOBLOCK)
            except zmq.Again:
                return
        self._loop.call_soon(self._signal_later)
