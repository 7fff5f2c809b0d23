"""Dispatcher: from the reader of a socket to the handlers, without ever holding up the reader.

Frames of one address reach its handler in order, one after the other. A handler that can take a
frame without waiting gets it at once, in the reader's own turn; behind one that has to wait, a
lane of the address's own fills up, and no other address notices.

A batch is taken apart here, and each of its frames goes the way of a single one: none of them is
spared a check, and the lanes count them one by one. Of a signed batch that is done once it is
verified. A malformed one is dropped as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from civitas.envelope import BATCH, KIND_SYSTEM, ORIGIN_AT, SIGNED, frames_in
from civitas.errors import (
    AbortError,
    CivitasError,
    FrameError,
    OutcomeUnknownError,
    TransportError,
    crash_of,
    crash_unless_cancelled,
)
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import TransportContext
from civitas.transport.protocol import Handler
from civitas.transport.tasks import cancel_task, start_task

LANE_LIMIT: Final = 16_384
"""Frames that wait for one handler at most; windows keep what nodes send far below it."""


_FENCED: Final = "from a node that was superseded"
_KIND: Final = slice(2, 3)
_SYSTEM: Final = (bytes((KIND_SYSTEM,)), bytes((KIND_SYSTEM | SIGNED,)))


class Dispatcher:
    """Hands the frames that come from elsewhere to the handlers of their addresses.

    A transport gives `deliver` what it reads, and nothing else is needed: no task, no queue and
    no lock of its own. Everything here runs in one event loop.

    Args:
        context: what the node gave to the transport: drops are counted there, and the frames of
            nodes in `context.fenced` are refused.
        lane_limit: frames that wait for one handler; more are dropped and counted.
    """

    def __init__(
        self, context: TransportContext | None = None, *, lane_limit: int = LANE_LIMIT
    ) -> None:
        self._context = context or TransportContext()
        self._fenced = self._context.fenced
        self._limit = lane_limit
        self._lanes: dict[str, tuple[_Lane, ...]] = {}
        self._is_closed = False

    def __contains__(self, address: str) -> bool:
        """Return whether anyone is subscribed to the address."""
        return address in self._lanes

    def addresses(self) -> list[str]:
        """Return the addresses that have a handler."""
        return list(self._lanes)

    def subscribe(self, address: str, handler: Handler) -> bool:
        """Give what is delivered for `address` to `handler`, and return whether it is the first.

        A handler may have a method `take(frame) -> bool`, which takes a frame without waiting or
        returns False; then the handler itself is awaited with that frame.

        A handler may stand before another one, `screened`, and have a method
        `screen(frame) -> bytes | None`. It is called with each frame when it comes; what it returns
        is given to the other handler, and None is dropped without being counted here.

        Raises:
            TransportError: the address has an owner already; only system addresses have several.
        """
        present = self._lanes.get(address, ())
        if present and not address.startswith(RESERVED_PREFIX):
            raise TransportError(f"address {address!r} has an owner already")
        self._is_closed = False
        self._lanes[address] = (*present, _Lane(address, handler, self._context, self._limit))
        return not present

    async def unsubscribe(self, address: str) -> None:
        """Forget the handlers of an address; what waits for them is dropped and counted."""
        await _close(self._lanes.pop(address, ()), 0)

    def deliver(self, address: str, frame: bytes) -> None:
        """Hand a frame to the handlers of its address. Never waits, never raises."""
        if frame.startswith(BATCH):
            self._deliver_batch(address, frame)
            return
        lanes = self._lanes.get(address)
        if lanes is None:
            # What nodes say to one that has stopped is no loss; a message is.
            unheard = self._is_closed and address.startswith(RESERVED_PREFIX)
            if not unheard and _counts(address, frame):
                self._context.dropped("nobody is subscribed", frame)
            return
        if self._fenced and frame[ORIGIN_AT] in self._fenced:
            self._context.dropped(_FENCED, frame)
            return
        for lane in lanes:
            lane.deliver(frame)

    def _deliver_batch(self, address: str, batch: bytes) -> None:
        frames = _taken_apart(batch, self._context)
        lanes = () if self._fenced else self._lanes.get(address, ())
        if not lanes:  # each is judged, or counted, by itself
            for each in frames:
                self.deliver(address, each)
            return
        for each in frames:
            for lane in lanes:
                lane.deliver(each)

    async def close(self, timeout: float = 0.0) -> None:
        """Let the handlers finish within `timeout` seconds, then forget them all.

        What is left then is cancelled, dropped and counted; so it is at once when whoever closes
        is cancelled. A handler that closes goes on to its own end, and gets no more frames.
        """
        lanes = [lane for each in self._lanes.values() for lane in each]
        self._lanes = {}
        self._is_closed = True
        await _close(lanes, timeout)


class _Lane:
    """The frames that wait for one handler. It has a task only while it holds frames."""

    __slots__ = (
        "_address",
        "_context",
        "_frames",
        "_handler",
        "_limit",
        "_screen",
        "_take",
        "deliver",
        "task",
    )

    def __init__(
        self, address: str, handler: Handler, context: TransportContext, limit: int
    ) -> None:
        self._screen: Callable[[bytes], bytes | None] | None = getattr(handler, "screen", None)
        self.deliver: Callable[[bytes], None] = self._deliver
        if self._screen is not None:
            self.deliver = self._deliver_screened
            handler = handler.screened  # type: ignore[attr-defined]
        self._address = address
        self._handler = handler
        self._context = context
        self._limit = limit
        self._take: Callable[[bytes], bool] | None = getattr(handler, "take", None)
        self._frames: deque[bytes] = deque()
        self.task: asyncio.Task[None] | None = None

    def _deliver_screened(self, frame: bytes) -> None:
        assert self._screen is not None
        try:
            screened = self._screen(frame)
        except BaseException as error:  # noqa: BLE001 - a handler that raises stops nothing
            self._survive(frame, crash_of(error))
            return
        if screened is None:
            return
        if not screened.startswith(BATCH):
            self._deliver(screened)
            return
        for each in _taken_apart(screened, self._context):
            if each[ORIGIN_AT] in self._context.fenced:
                self._context.dropped(_FENCED, each)
            else:
                self._deliver(each)

    def _deliver(self, frame: bytes) -> None:
        try:
            if self.task is None and self._take is not None and self._take(frame):
                return
        except BaseException as error:  # noqa: BLE001 - a handler that raises stops nothing
            self._survive(frame, crash_of(error))
            return
        if len(self._frames) >= self._limit:
            self._context.dropped("too many frames wait for one handler", frame)
            return
        self._frames.append(frame)
        if self.task is None:
            name = f"civitas lane {self._address}"
            self.task = start_task(self._work(), name=name, failed=self._context.failed)

    def forget(self) -> None:
        for frame in self._frames:
            if _counts(self._address, frame):
                self._context.dropped("its handler was unsubscribed before its turn", frame)
        self._frames.clear()

    async def _work(self) -> None:
        frames = self._frames
        task = asyncio.current_task()
        assert task is not None
        try:
            while frames:
                frame = frames.popleft()
                try:
                    await self._handler(frame)
                except BaseException as error:
                    if isinstance(error, asyncio.CancelledError) and task.cancelling():
                        if _counts(self._address, frame) and not _is_taken(error):
                            self._context.dropped("its handler was cancelled", frame)
                        raise
                    self._survive(frame, crash_unless_cancelled(error))
        finally:
            self.task = None

    def _survive(self, frame: bytes, error: Exception) -> None:
        if isinstance(error, CivitasError) and not isinstance(error, AbortError):
            # The verdict of a mailbox: it has been said already.
            self._context.dropped(f"refused: {error.code}", frame)
            return
        self._context.logger.error("the handler of %r raised", self._address, exc_info=error)
        self._context.dropped("handler raised", frame)


def _taken_apart(batch: bytes, context: TransportContext) -> list[bytes]:
    """Return the frames of a batch; of a malformed one, which is counted as one frame, none."""
    try:
        return frames_in(batch)
    except FrameError:
        context.dropped("malformed frame", batch)
        return []


def _is_taken(error: asyncio.CancelledError) -> bool:
    """Return whether a handler that was cancelled says that it had taken its frame by then."""
    return isinstance(error.__cause__, OutcomeUnknownError)


def _counts(address: str, frame: bytes) -> bool:
    """Return whether a frame that nobody takes is to be counted.

    At an agent's address, one of kind system is no message, but the last number of a sender.
    """
    return frame[_KIND] not in _SYSTEM or address.startswith(RESERVED_PREFIX)


async def _close(lanes: Collection[_Lane], timeout: float) -> None:
    """End lanes within the same `timeout` seconds; one whose handler calls this ends by itself."""
    own = asyncio.current_task()
    tasks = [lane.task for lane in lanes if lane.task is not None and lane.task is not own]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
    finally:  # also when the caller is cancelled
        for lane in lanes:
            lane.forget()  # first: a handler that swallows its cancellation finds nothing more
        for task in tasks:
            cancel_task(task)
        if tasks:
            await asyncio.wait(tasks)
