"""OwnWork: what an agent object has going on besides its messages: timers and background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from civitas._agents.counts import AgentCounts
from civitas._agents.message_loop import MessageLoop, StopMode
from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Item, Mailbox
from civitas._bus.timers import TickCounts, Timer, Timers
from civitas._typed.shapes import Payload
from civitas.errors import MessageRoutingError, TaskFailedError, logger_of

if TYPE_CHECKING:
    from civitas._agents.background import BackgroundTasks

logger = logger_of("civitas.agent")

T = TypeVar("T")


class OwnWork:
    """The timers and background tasks of one agent object; most have none.

    Args:
        message_loop: that of the object; it ends when a background task raises.
        bus: the node's bus.
        mailbox: the agent's.
        counts: the agent's.
    """

    __slots__ = (
        "_background",
        "_bus",
        "_counts",
        "_ended",
        "_mailbox",
        "_timers",
        "failure",
        "message_loop",
    )

    def __init__(
        self,
        message_loop: MessageLoop,
        bus: MessageBus,
        mailbox: Mailbox[Item],
        counts: AgentCounts,
    ) -> None:
        self.message_loop = message_loop
        self.failure: TaskFailedError | None = None
        """Why the object has to end: what a background task has raised."""
        self._bus = bus
        self._mailbox = mailbox
        self._counts = counts
        self._timers: Timers | None = None
        self._background: BackgroundTasks | None = None
        self._ended = False

    @property
    def timers(self) -> int:
        """How many timers will tick."""
        return 0 if self._timers is None else len(self._timers)

    @property
    def background_tasks(self) -> int:
        """How many background tasks are running."""
        return 0 if self._background is None else len(self._background)

    @property
    def has_background(self) -> bool:
        """Whether it has ever had a background task."""
        return self._background is not None

    def after(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Start a timer that ticks once."""
        return self._own_timers().after(seconds, payload, message_type)

    def every(self, seconds: float, payload: Payload, message_type: str) -> Timer:
        """Start a timer that ticks again and again."""
        return self._own_timers().every(seconds, payload, message_type)

    def background(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Start a background task."""
        try:
            self._bus.affinity.check()
        except BaseException:
            if isinstance(work, Coroutine):
                work.close()  # nobody else will await it
            raise
        if self._background is None:
            from civitas._agents.background import BackgroundTasks  # most have none

            self._background = BackgroundTasks(self._mailbox.name, self._failed)
            if self._ended:
                self._background.cancel()
        return self._background.start(work, name)

    def let_go(self) -> None:
        """End the timers, and cancel the background tasks: the object has ended."""
        self._ended = True
        if self._timers is not None:
            self._timers.end()
        if self._background is not None:
            self._background.cancel()

    async def end(self, crash: Exception | None) -> Exception | None:
        """End all of it, in the agent's task, and return why the object has crashed, if it has.

        `crash` is why its message loop, or its start, has ended.
        """
        self.let_go()
        if self._background is not None:
            await self._background.end()
        return self.failure or crash

    def _own_timers(self) -> Timers:
        if self._timers is None:
            ticks = self._counts.ticks = self._counts.ticks or TickCounts()
            loop = self.message_loop
            self._timers = Timers(self._bus, self._mailbox, ticks, lambda: loop.stopping)
            if self._ended:
                self._timers.end()
        return self._timers

    def _failed(self, failure: TaskFailedError) -> None:
        """Let the object end, since one of its background tasks has raised."""
        name, loop = self._mailbox.name, self.message_loop
        if self._bus.closing and isinstance(failure.__cause__, MessageRoutingError):
            logger.warning("agent %r: %s", name, failure)
            return
        if self.failure is not None:
            logger.error("agent %r, which is crashing: %s", name, failure)
            return
        self.failure = failure
        loop.stop_mode = StopMode.NOW  # also for a handler that survives its cancellation
        if loop.task is not None:
            loop.task.cancel()
