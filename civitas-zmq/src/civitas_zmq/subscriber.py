"""Subscriber: reads frames from the SUB socket and gives each to its address, in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import zmq

from civitas_zmq.sockets import NOBLOCK, descriptor_of

_BATCH: Final = 64
"""Frames read in one turn of the loop. A flood leaves others their turn; above all those who handle
the frames and return credit for them, so that its sender need not pause."""


class Subscriber:
    """Reads [topic, frame] from a SUB socket.

    The socket's descriptor is edge-triggered: it tells of news once, and every use of the socket
    takes the signal away (zmq_getsockopt(3), ZMQ_FD). So a turn ends in one of two ways: with
    EAGAIN, after which libzmq will signal again, or with another turn already scheduled. Whoever
    uses the socket besides calls `look_again`. No polling is needed.

    Args:
        socket: a SUB socket; the owner closes it.
        addresses: what the topics stand for; a topic that is not in it is given to `other`.
        deliver: called with (address, frame); never raises.
        other: called with (topic, frame) for a topic that is not subscribed exactly.
        malformed: called with the parts of anything else.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        addresses: Mapping[bytes, str],
        *,
        deliver: Callable[[str, bytes], None],
        other: Callable[[bytes, bytes], None],
        malformed: Callable[[list[bytes]], None],
    ) -> None:
        self._socket = socket
        self._addresses = addresses
        self._deliver = deliver
        self._other = other
        self._malformed = malformed
        self._loop = asyncio.get_running_loop()
        self._scheduled: asyncio.Handle | None = None
        self._descriptor = descriptor_of(socket)
        self._loop.add_reader(self._descriptor, self._read)

    def look_again(self) -> None:
        """Read in the next turn of the loop, whatever the descriptor says."""
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._read)

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._descriptor)
        if self._scheduled is not None:
            self._scheduled.cancel()

    def _read(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        receive = self._socket.recv
        addresses, deliver = self._addresses, self._deliver
        for _ in range(_BATCH):
            try:
                # A Frame knows whether more follows; asking the socket takes longer than to read.
                first = receive(NOBLOCK, False)
            except zmq.Again:
                return
            if not first.more:
                self._malformed([first.bytes])
                continue
            second = receive(NOBLOCK, False)
            if second.more:
                self._malformed([first.bytes, second.bytes, *self._rest()])
                continue
            topic = first.bytes
            address = addresses.get(topic)
            if address is None:
                self._other(topic, second.bytes)
            else:
                deliver(address, second.bytes)
        self.look_again()

    def _rest(self) -> Iterator[bytes]:
        """Read the other parts of a message that has too many."""
        more = True
        while more:
            part = self._socket.recv(NOBLOCK, False)
            more = part.more
            yield part.bytes
