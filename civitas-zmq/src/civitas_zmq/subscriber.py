"""Subscriber: subscribes to topics, reads their frames in batches, and sorts them by address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import zmq

from civitas.transport import guard_callback
from civitas_zmq.sockets import NOBLOCK, TOPIC_END, descriptor_of

_FRAMES_PER_TURN: Final = 64
"""Frames read in one turn of the loop. During a flood others still get their turn; above all those
who handle the frames and return credit for them, so that the sender need not pause."""

_POLLIN: Final = int(zmq.POLLIN)
_EVENTS: Final = int(zmq.EVENTS)

_NAME: Final = "civitas zmq subscriber"


class Subscriber:
    """Reads topics with their frames from a SUB socket.

    A message is one part, a topic and the frame behind it, or two, when the frame is large
    (`JOINED`). Who makes more of them, which are none of ours, has each part read as a message.

    | the first part           | and then        | is read as                                |
    |--------------------------|-----------------|-------------------------------------------|
    | a topic, and bytes       | -               | the frame of the topic                    |
    | a topic                  | nothing         | its frame, which is empty (a probe)       |
    | a topic                  | one more part   | its frame                                 |
    | a topic                  | more than one   | malformed                                 |
    | no topic                 | -               | malformed                                 |

    The socket's descriptor is edge-triggered: it signals news once, and any use of the socket takes
    the signal away (zmq_getsockopt(3), ZMQ_FD). So a turn of reading ends in one of two ways: with
    nothing left, after which libzmq signals again, or with another turn scheduled. Each other use
    of the socket schedules a turn as well. Nothing needs to be polled.

    | state     | event                                 | what is done             | next      |
    |-----------|---------------------------------------|--------------------------|-----------|
    | idle      | the descriptor signals                | reads all there is       | idle      |
    | idle      | ... and there are many                | reads `_FRAMES_PER_TURN` | scheduled |
    | idle      | the socket is used otherwise          | -                        | scheduled |
    | scheduled | the turn                              | reads all there is       | idle      |
    | scheduled | ... and there are many                | reads `_FRAMES_PER_TURN` | scheduled |
    | scheduled | the descriptor signals                | -                        | scheduled |

    Most often one frame comes at a time. So EVENTS is asked whether there is another one, at less
    than half the cost of an EAGAIN, which is an exception. And it is asked at once: to leave that,
    and the other frames, to the next turn took 4% more time for a single asker, and 10% more of the
    processors' for 16 askers.

    Args:
        socket: a SUB socket; the owner closes it.
        addresses: topics with their addresses. The owner changes it, and calls `subscribe` or
            `unsubscribe`; what it holds now is subscribed at once.
        deliver: called with (address, frame); never raises.
        other: called with (topic, frame) for a topic that is not in `addresses`.
        malformed: called with the parts of anything else.
        failed: called when the socket can't be read any more.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        addresses: Mapping[bytes, str],
        *,
        deliver: Callable[[str, bytes], None],
        other: Callable[[bytes, bytes], None],
        malformed: Callable[[list[bytes]], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._socket = socket
        self._addresses = addresses
        self._deliver = deliver
        self._other = other
        self._malformed = malformed
        self._loop = asyncio.get_running_loop()
        self._scheduled: asyncio.Handle | None = None
        self._descriptor = descriptor_of(socket)
        self._look_later = guard_callback(self._look, name=_NAME, failed=failed)
        signal_later = guard_callback(self._on_signal, name=_NAME, failed=failed)
        self._loop.add_reader(self._descriptor, signal_later)
        for topic in addresses:
            self._socket.subscribe(topic)
        self._look_soon()

    def subscribe(self, topic: bytes) -> None:
        """Ask the proxy for the frames of a topic."""
        self._socket.subscribe(topic)
        self._look_soon()

    def subscribe_last(self, topic: bytes) -> None:
        """Subscribe so that the proxy handles all earlier subscriptions before this one.

        After a reconnection libzmq (4.3.5) sends the earlier ones again, in the order of their
        bytes, when the socket next takes the news of its I/O thread. Asking for EVENTS makes it do
        so before it sends this one.
        """
        self._socket.get(zmq.EVENTS)
        self.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Ask the proxy for no more frames of a topic."""
        self._socket.unsubscribe(topic)
        self._look_soon()

    def close(self) -> None:
        """Read no more."""
        self._loop.remove_reader(self._descriptor)
        if self._scheduled is not None:
            self._scheduled.cancel()

    def _look_soon(self) -> None:
        """Look for frames in the next turn of the loop, whatever the descriptor says."""
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._look_later)

    def _look(self) -> None:
        self._scheduled = None
        if self._has_more():
            self._read()

    def _on_signal(self) -> None:
        if self._scheduled is None:
            self._read()

    def _has_more(self) -> bool:
        events = self._socket.get(_EVENTS)
        assert isinstance(events, int)
        return bool(events & _POLLIN)

    def _read(self) -> None:
        """Read what there is; go on in the next turn where that is very much."""
        receive = self._socket.recv
        addresses, deliver = self._addresses, self._deliver
        for _ in range(_FRAMES_PER_TURN):
            try:
                # Bytes take 0.9 us. A Frame would take 2.2, and say whether more follows.
                whole = receive(NOBLOCK)
            except zmq.Again:  # the signal was for something else
                return
            frame_at = whole.find(TOPIC_END) + 1
            topic = whole[:frame_at]
            if frame_at == len(whole):
                self._read_frame_of(topic)
            elif (address := addresses.get(topic)) is not None:
                deliver(address, whole[frame_at:])
            elif topic:
                self._other(topic, whole[frame_at:])
            else:
                self._malformed([whole])
            if not self._has_more():
                return
        self._look_soon()

    def _read_frame_of(self, topic: bytes) -> None:
        """Read the frame that follows its topic, or is empty."""
        frame = b""
        if self._socket.get(zmq.RCVMORE):
            # A Frame knows whether more follows; asking the socket takes longer than to read.
            second = self._socket.recv(NOBLOCK, False)
            frame = second.bytes
            if second.more:
                self._malformed([topic, frame, *self._rest()])
                return
        address = self._addresses.get(topic)
        if address is None:
            self._other(topic, frame)
        else:
            self._deliver(address, frame)

    def _rest(self) -> Iterator[bytes]:
        """Read the other parts of a message that has too many."""
        more = True
        while more:
            part = self._socket.recv(NOBLOCK, False)
            more = part.more
            yield part.bytes
