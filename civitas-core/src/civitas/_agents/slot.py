"""AgentSlot: an agent's place in the tree, which outlives the objects that fill it.

It keeps the mailbox, runs the current object's task, and reports to its supervisor when the task
has ended by itself. The table of its states: `civitas._agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from civitas import _platform as platform
from civitas._agents.binding import connect, respawn
from civitas._agents.concurrency import CANCEL_GRACE, consume
from civitas._agents.counts import AgentCounts
from civitas._agents.message_loop import MessageLoop, StopMode
from civitas._agents.own_work import OwnWork
from civitas._agents.remains import part_with
from civitas._agents.running import enter
from civitas._agents.settings import settings_of
from civitas._agents.states import CRASHED_AGAIN, DOWN, CancelledFromOutsideError
from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Item, Mailbox
from civitas.errors import SpawnError, crash_unless_cancelled, describe, logger_of
from civitas.process import AgentProcess, ProcessStatus
from civitas.transport.tasks import (
    LAST_MOMENT,
    absorb_cancellation,
    cancel_task,
    start_task,
)

logger = logger_of("civitas.agent")


class AgentSlot:
    """One agent under supervision.

    Args:
        agent: the first object; later ones are made from its constructor arguments.
        bus: carries its messages.
        on_exit: called with the slot when the agent has ended, and not because of `stop`:
            it crashed (`failure` says why), or it is done.
        on_idle: called with the agent's name when the mailbox is empty while the node stops.
    """

    def __init__(
        self,
        agent: AgentProcess,
        bus: MessageBus,
        on_exit: Callable[[AgentSlot], None],
        on_idle: Callable[[str], None],
    ) -> None:
        self.name = agent.name
        self.agent = agent
        self.settings = settings_of(agent)
        self.mailbox: Mailbox[Item] = Mailbox(agent.name, agent.mailbox_size, agent.concurrency)
        self.changed_at = platform.monotonic()
        """When `status` has changed last."""
        self._status = ProcessStatus.INITIALIZING
        self.failure: Exception | None = None
        self.redelivered = False
        """Whether it crashed on a message that its transport had given before."""
        self.restarts = 0
        self.incarnation = 0
        """How often a fresh object was to be started; the first object is that of the node."""
        self._left_behind = False
        self.counts = AgentCounts()
        self._bus = bus
        self._on_exit = on_exit
        self._on_idle = on_idle
        self._task: asyncio.Task[None] | None = None
        self._message_loop: MessageLoop | None = None
        self.own_work: OwnWork | None = None
        """Timers and background tasks of the present object."""
        self._stop_asked = False
        self._done = False
        self._retired = False
        self._starting = False

    # --- for the supervisor -----------------------------------------------------------------

    @property
    def status(self) -> ProcessStatus:
        """Where the agent is in its life."""
        return self._status

    @status.setter
    def status(self, status: ProcessStatus) -> None:
        if status is not self._status:
            self._status, self.changed_at = status, platform.monotonic()

    @property
    def alive(self) -> bool:
        """Whether an object is starting, serving or stopping in this slot."""
        return self._task is not None and not self._task.done()

    @property
    def finished(self) -> bool:
        """Whether the agent has ended for good: it said that it is done, or was retired."""
        return self.status is ProcessStatus.STOPPED or (self._done and not self.alive)

    @property
    def idle(self) -> bool:
        """Whether nothing is being handled, and nothing is queued that could be."""
        loop = self._message_loop
        working = self._starting or (loop is not None and bool(loop.working or loop.deferred))
        return not working and (self.finished or not self.mailbox.pending)

    @property
    def state(self) -> tuple[str, int]:
        """Status and incarnation as others hear of them; in any thread.

        Only what is done stays away when its node comes back, so a mere stop is no end.
        """
        # A restart changes the status first: what is read meanwhile is old, and never the end of
        # an incarnation that has not begun.
        incarnation, now = self.incarnation, self.status
        status = now.value
        if now is ProcessStatus.STOPPED and not self._done:
            status = ProcessStatus.STOPPING.value
        elif now is ProcessStatus.STOPPING and (self._left_behind or not self.alive):
            status = DOWN
        elif now is ProcessStatus.CRASHED and self.redelivered:
            status = CRASHED_AGAIN
        return status, incarnation

    def may_start_after(self, incarnation: int) -> bool:
        """Return whether there is nothing later than an incarnation, and that one is over.

        The first incarnation is for the node to start, which may not have come to it yet.
        """
        over = self._task is not None and (self._left_behind or not self.alive)
        return over and not self.finished and self.incarnation <= incarnation

    async def attach(self) -> None:
        """Register the name and subscribe its address; messages wait in the mailbox from now on.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        await self._bus.attach(self.mailbox)

    async def start(self, *, fresh: bool = False) -> None:
        """Start the agent, or with `fresh` a new object in its stead, and await its `on_start`.

        Raises:
            SpawnError: the constructor or `on_start` raised.
        """
        try:
            if fresh:
                self.status = ProcessStatus.INITIALIZING  # first: see `state`
                self.incarnation += 1
                self.agent = respawn(self.agent)
                self.restarts += 1
            await self._launch()
        except BaseException as raised:  # noqa: BLE001 - what the author's code raised
            error = crash_unless_cancelled(raised, "the constructor", asyncio.current_task())
            self._crash(error)
            raise SpawnError(f"agent {self.name!r} could not start: {describe(error)}") from error
        if fresh:
            self._bus.instruments.restarted(self.name)

    async def stop(self, *, drain: bool, since: float | None = None, final: bool = False) -> None:
        """End the agent and await that it has.

        Args:
            drain: handle all that is queued first; otherwise only the message in hand.
            since: when the stop began (event loop's time); the agent's `shutdown_timeout` counts
                from then. Now, when left out.
            final: whether the whole tree ends: what others send it from then on is refused.
        """
        await self._stop(drain=drain, since=since)
        if final:
            await self.close()

    async def _stop(self, *, drain: bool, since: float | None) -> None:
        task = self._task
        if task is None or task.done():
            return
        self._stop_asked = True
        self.status = ProcessStatus.STOPPING
        if self._message_loop is not None and self._message_loop.stop_mode is not StopMode.NOW:
            self._message_loop.stop_mode = StopMode.WHEN_DRAINED if drain else StopMode.NOW
        self.interrupt_retries()
        self.mailbox.wake()
        now = asyncio.get_running_loop().time()
        patience = (now if since is None else since) + self.settings.shutdown_timeout - now
        await asyncio.wait((task,), timeout=max(patience, 0))
        if not task.done():
            late = "agent %r did not end within its shutdown_timeout of %g s: cancelled"
            logger.warning(late, self.name, self.settings.shutdown_timeout)
            if self._message_loop is not None:
                self._message_loop.stop_mode = StopMode.NOW  # also for a handler that survives it
            cancel_task(task)
            await asyncio.wait((task,), timeout=CANCEL_GRACE)
            if not task.done():
                logger.error("agent %r does not let itself be cancelled: left behind", self.name)
                self._left_behind = True
                if self.own_work is not None:
                    self.own_work.let_go()
                    await self.own_work.message_loop.abandon(None)

    def interrupt_retries(self) -> None:
        """Handle no message again that waits for it: the agent, or its node, stops."""
        if self._message_loop is not None and self._message_loop.pauses is not None:
            self._message_loop.pauses.interrupt()

    async def retire(self) -> None:
        """Take the agent off the system.

        What is left in the mailbox becomes dead letters; a durable transport gets it back.
        """
        self._retired = True
        if self.status is not ProcessStatus.CRASHED:
            self.status = ProcessStatus.STOPPED
        await self.close()  # first: what is on its way then waits for no room
        await asyncio.sleep(0)  # the turn of a durable transport, which awaits what becomes of it
        try:
            await self._bus.detach(self.name)
        except BaseException as error:
            crash_unless_cancelled(error)
            logger.exception("the transport did not let go of agent %r", self.name)

    async def finish(self) -> None:
        """End the agent for good, and await that it has: it was done before, in another node."""
        if self._message_loop is not None:
            self.leave(self._message_loop)
            await self.stop(drain=False)
        elif not self.finished:  # its node has not come to its start yet
            self._done = True
            self.status = ProcessStatus.STOPPED
            self._on_exit(self)

    def leave(self, message_loop: MessageLoop) -> None:
        """End after the message in hand; the agent said that it is done."""
        message_loop.stop_mode = StopMode.NOW
        if message_loop is not self._message_loop:
            return  # it was left behind, and another object has its place
        self._done = True
        self.mailbox.wake()
        self.interrupt_retries()
        if self.alive or self._retired or self.status is ProcessStatus.STOPPED:
            return
        self.failure = None  # it is down: a task that it left behind has said it
        self.status = ProcessStatus.STOPPED
        self._on_exit(self)

    async def close(self) -> None:
        """Refuse what comes from now on, and part with what is queued."""
        gone = f"agent {self.name!r} has stopped and takes no more messages"
        await part_with(self.mailbox.close(gone), self.name, self._bus, gone)

    # --- one object's life --------------------------------------------------------------------

    async def _launch(self) -> None:
        self.failure = None
        self.redelivered = self._left_behind = self._stop_asked = False
        self.status = ProcessStatus.INITIALIZING
        self._message_loop = message_loop = MessageLoop(
            self.agent, self.mailbox, self._bus, self.counts, self._on_idle
        )
        self.own_work = own_work = _Occupancy(self, message_loop, self._bus)
        connect(self.agent, message_loop.sender, own_work)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        life = self._live(own_work, started)
        self._task = start_task(life, name=self.name, failed=self._bus.failed)
        message_loop.task = self._task
        self.mailbox.consumers = (self._task,)
        try:
            await started
        except asyncio.CancelledError:
            self._stop_asked = True
            cancel_task(self._task)
            raise

    async def _live(self, own_work: OwnWork, started: asyncio.Future[None]) -> None:
        message_loop = own_work.message_loop
        enter(message_loop.sender)
        if not await self._begin(own_work, started):
            return
        del started  # this frame lives as long as the agent
        crash: Exception | None = None
        try:
            await consume(message_loop, self.settings)
            await message_loop.deferred.all_settled(self.settings.shutdown_timeout)
        except BaseException as error:  # noqa: BLE001 - a crash, which the supervisor judges
            crash = self._crash_of(message_loop, error)
        crash = await own_work.end(crash)
        try:
            await message_loop.abandon(crash)
        finally:
            await self._end(message_loop, crash)

    def _crash_of(self, message_loop: MessageLoop, error: BaseException) -> Exception | None:
        """Return the crash that the end of a message loop is, or None for a stop."""
        try:
            crash = message_loop.crash_in("its message loop", error)
        except asyncio.CancelledError:
            absorb_cancellation()
            if self._stop_asked:
                return None
            return CancelledFromOutsideError("its task was cancelled by somebody else")
        except BaseException:  # the process ends: nobody is to wait for this agent
            message_loop.ended()
            self.status = ProcessStatus.CRASHED
            raise
        if message_loop is self._message_loop:
            self.redelivered = message_loop.redelivered
        return crash

    async def _begin(self, own_work: OwnWork, started: asyncio.Future[None]) -> bool:
        """Await `on_start`, release who waits for it, and return whether it went well."""
        message_loop = own_work.message_loop
        failure: Exception | None = None
        self._starting = True
        try:
            await message_loop.agent.on_start()
            settings = settings_of(message_loop.agent)
            if message_loop is self._message_loop:
                self.settings = settings
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the start
            try:
                failure = message_loop.crash_in("on_start", error)
            except asyncio.CancelledError:
                failure = RuntimeError("it was cancelled while it started")
        if failure is not None or own_work.failure is not None:
            failure = await own_work.end(failure)
        if message_loop is self._message_loop:
            self._starting = False
            if failure is None and self.status is ProcessStatus.INITIALIZING:
                self.status = ProcessStatus.RUNNING
            elif self._bus.closing:
                self._on_idle(self.name)
        if not started.done():
            if failure is None:
                started.set_result(None)
            else:
                started.set_exception(failure)
        return failure is None

    async def _end(self, message_loop: MessageLoop, crash: Exception | None) -> None:
        """Await `on_stop`, settle the status, and report to the supervisor unless it knows."""
        message_loop.sender.leave()
        try:
            async with asyncio.timeout(self.settings.shutdown_timeout):
                await message_loop.agent.on_stop()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):  # of this task, or what it awaited
                message_loop.crash_in("on_stop", error)
            logger.exception("on_stop of agent %r raised", self.name)
        if message_loop is not self._message_loop:
            return  # it was left behind, and another object has its place
        message_loop.ended()
        if crash is not None:
            self._crash(crash)
        elif self._done:
            self.status = ProcessStatus.STOPPED
        if isinstance(crash, CancelledFromOutsideError):
            asyncio.get_running_loop().call_later(LAST_MOMENT, self._report_cancellation)
        elif self._done or not self._stop_asked:
            self._on_exit(self)
        elif crash is not None:
            logger.error("agent %r crashed while it was stopped", self.name, exc_info=crash)
        if self._bus.closing:
            self._on_idle(self.name)

    def _crash(self, error: Exception) -> None:
        """Be down, with the error that says why."""
        self._done = False
        self.status = ProcessStatus.CRASHED
        self.failure = error
        if not isinstance(error, CancelledFromOutsideError):
            self._bus.instruments.crashed(self.name, error)

    def _report_cancellation(self) -> None:
        """Report a crash to the supervisor, unless it knows; asyncio.run's own end is none."""
        if self.failure and not (self.alive or self._stop_asked or self._retired):
            self._bus.instruments.crashed(self.name, self.failure)
            self._on_exit(self)


class _Occupancy(OwnWork):
    """What an agent object reaches of the slot that it is in."""

    __slots__ = ("_slot",)

    def __init__(self, slot: AgentSlot, message_loop: MessageLoop, bus: MessageBus) -> None:
        super().__init__(message_loop, bus, slot.mailbox, slot.counts)
        self._slot = slot

    def leave(self) -> None:
        self._slot.leave(self.message_loop)

    def status(self) -> ProcessStatus:
        left_behind = self._slot.own_work is not self
        return ProcessStatus.STOPPED if left_behind else self._slot.status
