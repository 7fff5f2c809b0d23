"""ControlPlane: the membership with a transport and a clock of its own, and its thread.

Two questions have answers of their own here. Who owns the transport: a plane with one of its own
starts and stops it. Where it runs: a runner gives it an event loop, by default one in a thread of
its own, so that a handler that blocks the node's loop does not make the node look dead. `_live` is
its whole life, `post` is the only way into it, and events are the only way out.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

from civitas import _platform as platform
from civitas._cluster.codec import LARGEST_FRAME, drop_reason
from civitas._cluster.drop_reports import DropReports
from civitas._cluster.events import Event, NotAnnounced
from civitas._cluster.membership import Membership
from civitas._cluster.pieces import ControlCodec
from civitas._cluster.protocol import EVERYONE, Challenge, ControlMessage, Hello, control_address
from civitas.envelope import ORIGIN_AT, Origin
from civitas.errors import (
    CivitasError,
    MessageTooLargeError,
    crash_of,
    crash_unless_cancelled,
    describe,
    logger_of,
)
from civitas.transport import Transport
from civitas.transport.interruption import Interruption
from civitas.transport.tasks import (
    Failed,
    cancel_task,
    failure_of,
    guard_callback,
    start_task,
)

logger = logger_of("civitas.node")

TICK: Final = 0.05
"""Seconds between two ticks at least: what is due waits so long at most."""

_QUEUE: Final = 10_000
"""Messages that wait to be sent at most; the oldest go first when a connection stays down."""

_FLUSH_TIMEOUT: Final = 1.0
"""Seconds that the last messages of a node that stops may take."""

_LOOP_TIMEOUT: Final = 1.0
"""Seconds that the event loop may take to end when all is done."""

_GOODBYE: Final = b"\xa4Left"
"""What the body of a goodbye begins with, behind the header, so within so many bytes:"""

_HEAD: Final = 48

CONTROL_NAME: Final = "civitas control"
"""What its thread and its tasks are called."""

MakeMembership = Callable[
    [Callable[[str, ControlMessage], None], Callable[[Event], None]], Membership
]


class TaskRunner:
    """Runs a control plane as a task of the node's own event loop."""

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def start(self, main: platform.Main, ended: platform.Ended) -> None:
        """Make the task."""
        self._task = start_task(self._run(main, ended), name=CONTROL_NAME, failed=self._failed)

    def join(self) -> None:
        """Return at once: its end is that of a task."""

    async def _run(self, main: platform.Main, ended: platform.Ended) -> None:
        try:
            await main()
        finally:
            ended(None)


class ControlPlane:
    """Runs a membership over a transport, and is the handler of its own addresses there.

    `membership` makes the membership, given its `send` and its `report`. `on_event` is called with
    each event, `dropped` with (reason, frame) for what is no message: both in the node's event
    loop. `failed` is called, in any thread, when it has ended unexpectedly. With `owns_transport`
    it starts and stops the transport; otherwise that is the node's own. `runner` gives it the event
    loop in which it lives. `guard` is the context for calls of the transport at the start. No frame
    has more than `largest` bytes: what is larger goes in pieces.
    """

    def __init__(
        self,
        transport: Transport,
        origin: Origin,
        membership: MakeMembership,
        on_event: Callable[[Event], None],
        dropped: Callable[[str, bytes], None],
        failed: Failed,
        *,
        owns_transport: bool,
        runner: platform.LoopRunner,
        guard: Callable[[], AbstractContextManager[object]] = nullcontext,
        largest: int = LARGEST_FRAME,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._on_event = on_event
        self.drop = DropReports(self._at_home, dropped).drop
        """Counts a frame that is no message, or is not believed; may be called in any thread."""
        self._failed = failed
        self._owns_transport = owns_transport
        self._runner = runner
        self._guard = guard
        self._codec = ControlCodec(origin, largest)
        self._membership = membership(self._send, self._report)
        self._own_key = self._membership.info.key
        self._queue: deque[tuple[str, ControlMessage]] = deque(maxlen=_QUEUE)
        self._lock = threading.Lock()
        self._early: list[Callable[[], object]] = []
        """What was posted before there was a loop to do it in; the lock keeps it in order."""
        self._tick_later = guard_callback(self._tick, name=f"{CONTROL_NAME} tick", failed=failed)
        self._ticked_at = 0.0
        self._next_tick: tuple[float, asyncio.TimerHandle] | None = None
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._opening: Interruption | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        """Settled when nothing more is done."""
        self._over: asyncio.Future[None] | None = None
        """Settled when its event loop is about to end."""

    # --- for the node's own event loop --------------------------------------------------------

    async def start(self) -> None:
        """Return when messages would be heard. A plane lives once.

        Raises:
            TransportError: the transport could not start.
        """
        if self._ended is not None:
            raise RuntimeError("a control plane is started once; make another one")
        home = self._home = asyncio.get_running_loop()
        self._opened, self._ended, self._over = (home.create_future() for _ in range(3))
        try:
            self._runner.start(self._live, self._loop_ended)
        except BaseException:  # there is nothing that could end
            self._ended.set_result(None)
            self._over.set_result(None)
            raise
        await self._opened

    async def stop(self) -> None:
        """Send what is still to be said, and end. Idempotent, also half-started."""
        if self._ended is None or self._over is None:
            return
        self._call(self._stop)
        await asyncio.shield(self._ended)
        # The end of its event loop awaits what the transport has left to threads of its own.
        await asyncio.wait((self._over,), timeout=_LOOP_TIMEOUT)
        if self._over.done():
            self._runner.join()
        else:
            logger.warning("the control plane's transport keeps a thread at work: left behind")

    def post(self, call: Callable[[Membership, float], Any]) -> None:
        """Have the membership do something, in its own thread; may be called in any."""
        self._call(lambda: self._carry_out(call))

    def link_down(self, _reason: str = "") -> None:
        """Take note that nobody can be heard; see `TransportContext.link_down`."""
        self.post(lambda membership, _now: membership.link_down())

    def link_up(self) -> None:
        """Take note that others can be heard again."""
        self.post(lambda membership, now: membership.link_up(now))

    # --- its own loop -------------------------------------------------------------------------

    def take(self, frame: bytes, *, to_everyone: bool) -> None:
        """Take a frame of a node, which came to everyone or to this node only."""
        if to_everyone and frame[ORIGIN_AT] == self._own_key and _GOODBYE not in frame[:_HEAD]:
            return  # what it says to everyone comes back, and it knows that
        now = platform.monotonic()
        try:
            membership = self._membership
            said = self._codec.read(
                frame, now, membership.members.is_member, membership.proves, to_everyone=to_everyone
            )
        except CivitasError as error:
            logger.debug("not a control message: %s", error)
            self.drop(drop_reason(error), frame)
        else:
            if said is not None:  # else the rest of it is to come
                self._carry_out(lambda membership, now: membership.receive(*said, now))

    def _loop_ended(self, failure: BaseException | None) -> None:
        self._at_home(self._settle, None if failure is None else crash_of(failure))
        self._at_home(_set, self._over)

    async def _live(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            for guarded in self._early:
                self._loop.call_soon(guarded)
            self._early.clear()
        failure: Exception | None = None
        try:
            if await self._open():
                self._at_home(_set, self._opened)
                await self._serve()
        except BaseException as error:  # noqa: BLE001 - whoever starts the node hears of it
            failure = crash_unless_cancelled(error)
        finally:
            if self._owns_transport:
                await self._close()
            self._at_home(self._settle, failure)

    async def _open(self) -> bool:
        """Start and subscribe; return whether it was done before anyone called `stop`."""
        if self._stopping.is_set():
            return False
        try:
            with Interruption() as self._opening:
                await self._subscribe()
                return True
        finally:
            self._opening = None
        return False

    def _stop(self) -> None:
        self._stopping.set()
        if self._opening is not None:
            self._opening.interrupt()

    async def _subscribe(self) -> None:
        with self._guard():
            if self._owns_transport:
                await self._transport.start()
            own = control_address(self._origin.node.hex())
            await self._transport.subscribe(EVERYONE, _Listener(self, to_everyone=True))
            await self._transport.subscribe(own, _Listener(self, to_everyone=False))
            await self._transport.wait_ready()

    @property
    def _home_has_ended(self) -> bool:
        return self._home is not None and self._home.is_closed()

    async def _serve(self) -> None:
        sending = start_task(self._deliver(), name=f"{CONTROL_NAME} sender", failed=self._failed)
        try:
            self._tick()
            await self._stopping.wait()
            self._news.set()
            _, waiting = await asyncio.wait((sending,), timeout=_FLUSH_TIMEOUT)
            if waiting:
                logger.debug("the last messages of this node could not be sent")
        finally:
            self._cancel_tick()
            cancel_task(sending)
            await asyncio.wait((sending,))

    def _carry_out(self, call: Callable[[Membership, float], Any]) -> None:
        """Have the membership do something, and look what is due after it."""
        now = platform.monotonic()
        call(self._membership, now)
        # In a large system something is due all the time: then nobody looks at all of it each time.
        if self._next_tick is not None and self._next_tick[0] > now + TICK:
            self._plan_tick(now)

    def _tick(self) -> None:
        self._cancel_tick()
        if self._home_has_ended:  # without a stop of the node: it leaves nobody to speak for
            self._stopping.set()
        if not self._stopping.is_set():
            now = self._ticked_at = platform.monotonic()
            self._membership.tick(now)
            self._plan_tick(now)

    def _plan_tick(self, now: float) -> None:
        """Tick when something is due; a tick that is planned for earlier stays."""
        due = max(self._membership.next_due(), self._ticked_at + TICK)
        if self._next_tick is None or due < self._next_tick[0]:
            self._cancel_tick()
            timer = asyncio.get_running_loop().call_later(max(due - now, 0.0), self._tick_later)
            self._next_tick = due, timer

    def _cancel_tick(self) -> None:
        if self._next_tick is not None:
            self._next_tick[1].cancel()
            self._next_tick = None

    async def _deliver(self) -> None:
        """Send what is queued, in order, until the queue is empty after `stop` was called."""
        while not self._stopping.is_set():
            await self._news.wait()
            self._news.clear()
            await self._flush()

    async def _flush(self) -> None:
        while self._queue:
            address, message = self._queue.popleft()
            try:
                for frame in self._codec.frames(message):
                    await self._transport.publish(address, frame)
            except MessageTooLargeError as error:
                what = f"the transport refuses a {type(message).__name__} of this node"
                self._report(NotAnnounced(f"{what}: {describe(error).text}"))
            except CivitasError as error:  # said again where it matters, when the link is back
                logger.debug("%s not sent: %s", type(message).__name__, error)
            except BaseException as error:
                crash_unless_cancelled(error)
                logger.exception("the transport failed to send a %s", type(message).__name__)

    async def _close(self) -> None:
        try:
            await self._transport.stop()
        except BaseException as error:
            crash_unless_cancelled(error)
            logger.exception("the control plane's transport did not stop cleanly")

    def _send(self, address: str, message: ControlMessage) -> None:
        is_greeting = isinstance(message, Hello | Challenge) and address != EVERYONE
        if is_greeting and len(self._queue) > _QUEUE // 2:
            return  # strangers say hello again, and what is said to members must not go for them
        self._queue.append((address, message))
        self._news.set()

    def _report(self, event: Event) -> None:
        self._at_home(self._on_event, event)

    def _call(self, call: Callable[[], object]) -> None:
        """Run something in the control plane's loop, once there is one and unless it has ended."""
        guarded = guard_callback(call, name=CONTROL_NAME, failed=self._failed)
        with self._lock:
            if self._loop is None:
                self._early.append(guarded)
            else:
                _call_in(self._loop, guarded)

    def _at_home(self, call: Callable[..., object], *arguments: Any) -> None:
        assert self._home is not None
        guarded = guard_callback(call, name=f"{CONTROL_NAME} events", failed=self._failed)
        _call_in(self._home, partial(guarded, *arguments))

    def _settle(self, failure: Exception | None) -> None:
        """Let those go on who wait for the start or for the end; it has ended, perhaps failed."""
        opened = self._opened
        assert opened is not None
        if failure is not None and not opened.done():
            opened.set_exception(failure)
        elif failure is not None and not opened.cancelled():  # else nobody waits for this node
            self._failed(failure_of(CONTROL_NAME, failure))
        _set(opened)
        _set(self._ended)


class _Listener:
    """The handler of one of the addresses of a control plane."""

    def __init__(self, plane: ControlPlane, *, to_everyone: bool) -> None:
        self._plane = plane
        self._to_everyone = to_everyone

    def take(self, frame: bytes) -> bool:
        """Take a frame of another node."""
        self._plane.take(frame, to_everyone=self._to_everyone)
        return True

    async def __call__(self, frame: bytes) -> None:
        """Do the same as `take`."""
        self.take(frame)


def _call_in(loop: asyncio.AbstractEventLoop, guarded: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(guarded)
    except RuntimeError:
        logger.debug("an event loop had ended before it could run %r", guarded)


def _set(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
