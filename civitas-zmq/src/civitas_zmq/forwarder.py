"""Forwarder: passes frames on between a proxy's two sockets, and has connections judged meanwhile.

Two threads share the work. One runs `zmq.proxy_steerable`, which forwards frames without Python's
lock. Its front is a SUB socket, which takes no subscriptions from the back: so they stay in the
back's queue until Python reads them, with the descriptors they came from. The other thread, the
watch, asks it with STATISTICS how many bytes were forwarded, and looks who has not taken them. When
the back's descriptor signals, subscriptions may have come: then TERMINATE brings the first thread
back to Python; it reads them, has the limits judge them, answers the watch, and forwards on.

| thread  | state      | until                                                          |
|---------|------------|----------------------------------------------------------------|
| forward | forwarding | TERMINATE comes: judging                                       |
| forward | judging    | the queue is empty, or `_BATCH` messages were read: forwarding |
| watch   | waiting    | the back's descriptor signals, or a tick has passed: looking   |
| watch   | looking    | bytes are counted: waiting, or steering if there was a signal  |
| watch   | steering   | the forwarding thread has answered, and bytes are counted:     |
|         |            | waiting                                                        |

Both end when the context is terminated. A signal may be missed: the first thread takes it, too.
While subscriptions wait to be read, libzmq's loop does not sleep; it forwards frames all the same,
also when somebody else holds Python's lock. So the watch also steers when the first thread works
much, but then ever more rarely while that is found to be in vain: each time frames wait for
Python's lock. What was measured was measured with libzmq 4.3.5.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import zmq

from civitas.transport import failure_of
from civitas_zmq.limits import ConnectionLimits
from civitas_zmq.sockets import NOBLOCK, descriptor_of

_NAME: Final = "civitas zmq proxy"
_WATCH: Final = "civitas zmq proxy watch"
_STEER: Final = "inproc://civitas.steer"

_TICK: Final = 0.05
"""Seconds between two looks at what was forwarded and at who has not taken it."""

_IDLE: Final = 0.00005
"""Seconds of a processor's time since the last look up to which the forwarding thread has forwarded
next to nothing; the answer to STATISTICS itself takes some. A large frame takes no more than a
small one: libzmq's I/O threads copy it."""

_BUSY: Final = 0.01
"""Seconds of a processor's time since the last steering from which subscriptions may wait."""

_RAREST: Final = 2.0
"""Seconds between two times of steering without a signal, at most."""

_BATCH: Final = 1000
"""Subscriptions read before frames are forwarded again: whoever sends very many delays nobody."""

_PAUSE: Final = 0.001
"""Seconds for which frames are forwarded, at least, between two batches of subscriptions."""

_BYTES_IN: Final = 1
"""Place of the bytes that the front received, in an answer to STATISTICS
(zmq_proxy_steerable(3))."""


_HOLD: Final = b"RESUME" if zmq.zmq_version_info() == (4, 3, 5) else b"PAUSE"
"""Holds the frames back until TERMINATE, so that STATISTICS counts all that were forwarded: 4.3.5
has confused the two commands, which was corrected after it."""

_JUDGED: Final = b"judged"


_HAS_CLOCKS: Final = hasattr(time, "pthread_getcpuclockid")


def clock_of(thread: int) -> Callable[[], float]:
    """Return what says for how long a thread has worked; without such clocks, that it always has.

    Then the watch steers every `_RAREST` seconds without need, and looks at each tick. A thread
    that has ended has no clock any more, and does no work.
    """
    if not _HAS_CLOCKS:
        return time.monotonic
    try:
        clock = time.pthread_getcpuclockid(thread)
    except OSError:
        return float

    def worked() -> float:
        with contextlib.suppress(OSError):
            return time.clock_gettime(clock)
        return 0.0

    return worked


class Forwarder:
    """Forwards from a SUB socket to an XPUB socket, in threads of its own.

    Args:
        front: subscribed to everything; closed at the end.
        back: with XPUB_VERBOSER; closed at the end, and sends what waits within its LINGER.
        limits: judges who subscribes.
        failed: called when nothing is forwarded any more.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        front: zmq.Socket[bytes],
        back: zmq.Socket[bytes],
        limits: ConnectionLimits,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._front, self._back = front, back
        self._limits = limits
        self._failed = failed
        self._control = context.socket(zmq.PAIR)
        self._control.bind(_STEER)
        self._steer = context.socket(zmq.PAIR)
        self._steer.connect(_STEER)
        self._descriptor = descriptor_of(back)
        self._counted = 0
        self._has_read = False
        self._forwarding = self._thread(_NAME, self._forward)
        self._watching = self._thread(_WATCH, self._watch)

    def start(self) -> Iterator[threading.Thread]:
        """Forward from now on, until the context is terminated; give each thread once it runs.

        Raises:
            RuntimeError: this process can't have another thread. What no thread uses is closed.
        """
        try:
            self._forwarding.start()
        except BaseException:
            self._close_forwarding()
            self._close_watching()
            raise
        yield self._forwarding
        try:
            self._watching.start()
        except BaseException:
            self._close_watching()
            raise
        yield self._watching

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            with contextlib.suppress(zmq.ContextTerminated):
                work()
        except BaseException as error:  # noqa: BLE001 - the thread is ours
            self._failed(failure_of(name, error))

    def _forward(self) -> None:
        try:
            while True:
                zmq.proxy_steerable(self._front, self._back, None, self._control)
                self._limits.take(list(self._subscriptions()))
                self._control.send(_JUDGED)
        finally:
            self._close_forwarding()

    def _close_forwarding(self) -> None:
        self._front.close(linger=0)
        self._control.close(linger=0)
        self._back.close()

    def _close_watching(self) -> None:
        self._steer.close(linger=0)

    def _subscriptions(self) -> Iterator[tuple[int, bytes]]:
        """Read what connections have sent; what libzmq makes of a lost one has no descriptor."""
        for _ in range(_BATCH):
            try:
                message = self._back.recv(NOBLOCK, False)
            except zmq.Again:
                return
            self._has_read = True
            with contextlib.suppress(zmq.ZMQError):
                yield message.get(zmq.SRCFD), message.bytes

    def _watch(self) -> None:
        try:
            assert self._forwarding.ident is not None
            clock = clock_of(self._forwarding.ident)
            poller = zmq.Poller()
            poller.register(self._descriptor, zmq.POLLIN)
            poller.register(self._steer, zmq.POLLIN)  # raises when the context is terminated
            looked = judged = due = 0.0
            pause = _TICK
            while True:
                signalled = poller.poll(round(_TICK * 1000))
                worked = clock()
                if worked - looked > _IDLE:
                    self._look()
                    looked = clock()
                suspected = worked - judged > _BUSY and time.monotonic() > due
                if signalled or suspected:
                    self._judge()
                    pause = _TICK if self._has_read else min(2 * pause, _RAREST)
                    due, judged = time.monotonic() + pause, clock()
                    time.sleep(_PAUSE)
        finally:
            self._close_watching()

    def _look(self) -> None:
        """Look at who has not taken what was forwarded since the last time."""
        self._steer.send(b"STATISTICS")
        self._count(self._steer.recv_multipart())

    def _judge(self) -> None:
        """Have the forwarding thread read subscriptions, and then count what it had forwarded.

        Not before: it uses the limits until it has answered.
        """
        self._has_read = False
        for command in (_HOLD, b"STATISTICS", b"TERMINATE"):
            self._steer.send(command)
        answers = list(iter(self._steer.recv_multipart, [_JUDGED]))
        for answer in answers:
            if len(answer) > _BYTES_IN:  # else it is the empty answer of 4.3.5 to a command
                self._count(answer)
        self._counted = 0

    def _count(self, statistics: list[bytes]) -> None:
        [forwarded] = struct.unpack("Q", statistics[_BYTES_IN])
        self._limits.look(forwarded - self._counted)
        self._counted = forwarded
