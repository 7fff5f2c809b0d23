"""AgentCell: an agent's place in the tree, which outlives the objects that fill it.

The cell keeps the mailbox, runs the current object's task, and tells its supervisor when the
task has ended by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from civitas.bus import MessageBus
from civitas.errors import (
    CivitasError,
    ErrorAction,
    MessageRoutingError,
    SpawnError,
)
from civitas.mailbox import Mailbox
from civitas.messages import Message
from civitas.outbox import Outbox
from civitas.process import AgentProcess, ProcessStatus

logger = logging.getLogger("civitas.agent")

_BATCH: Final = 64
"""Messages handled without a pause; then other tasks of the event loop get a turn."""

_CANCEL_GRACE: Final = 5.0
"""Seconds that a cancelled agent may take to let go."""


class _Leave(Enum):
    """When the serving of messages ends."""

    NEVER = 0
    WHEN_DRAINED = 1
    NOW = 2


class AgentCell:
    """One agent under supervision.

    Args:
        agent: the first object; later ones are made from its constructor arguments.
        bus: carries its messages.
        on_exit: called with the cell when the agent has ended without being told to by `stop`:
            it crashed (`failure` says why), or it is done.
        on_idle: called when the mailbox is empty while the node stops.
    """

    def __init__(
        self,
        agent: AgentProcess,
        bus: MessageBus,
        on_exit: Callable[[AgentCell], None],
        on_idle: Callable[[], None],
    ) -> None:
        self.name = agent.name
        self.agent = agent
        self.mailbox: Mailbox[bytes] = Mailbox(agent.name, agent.mailbox_size)
        self.status = ProcessStatus.INITIALIZING
        self.failure: Exception | None = None
        self.restarts = 0
        self.handled = 0
        self.errors = 0
        self._bus = bus
        self._on_exit = on_exit
        self._on_idle = on_idle
        self._task: asyncio.Task[None] | None = None
        self._leave = _Leave.NEVER
        self._told_to_stop = False
        self._done = False
        self._working = False

    # --- for the supervisor -----------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether an object is starting, serving or stopping in this cell."""
        return self._task is not None and not self._task.done()

    @property
    def finished(self) -> bool:
        """Whether the agent has ended for good: it said that it is done, or was retired."""
        return self.status is ProcessStatus.STOPPED or (self._done and not self.alive)

    @property
    def idle(self) -> bool:
        """Whether nothing is being handled, and nothing is queued that could be."""
        return not self._working and (self.finished or not self.mailbox.pending)

    async def attach(self) -> None:
        """Register the name and subscribe its address; messages wait in the mailbox from now on.

        Raises:
            ConfigurationError: the name can't be one, or is taken.
        """
        await self._bus.attach(self.name, self.mailbox)

    async def start(self, *, fresh: bool = False) -> None:
        """Start the agent, or with `fresh` a new object in its stead, and await its `on_start`.

        Raises:
            SpawnError: the constructor or `on_start` raised.
        """
        try:
            if fresh:
                self.agent = self.agent.respawn()
                self.restarts += 1
            await self._launch()
        except Exception as error:
            self.status = ProcessStatus.CRASHED
            self.failure = error
            raise SpawnError(
                f"agent {self.name!r} could not start: {type(error).__name__}: {error}"
            ) from error

    async def stop(self, *, drain: bool, since: float | None = None) -> None:
        """End the agent and await that it has.

        Args:
            drain: handle all that is queued first; otherwise only the message in hand.
            since: when the stop began (event loop's time); the agent's `shutdown_timeout` counts
                from then. Now, when left out.
        """
        task = self._task
        if task is None or task.done():
            return
        self._told_to_stop = True
        self.status = ProcessStatus.STOPPING
        if self._leave is not _Leave.NOW:
            self._leave = _Leave.WHEN_DRAINED if drain else _Leave.NOW
        self.mailbox.wake()
        now = asyncio.get_running_loop().time()
        patience = (now if since is None else since) + self.agent.shutdown_timeout - now
        await asyncio.wait((task,), timeout=max(patience, 0))
        if not task.done():
            logger.warning(
                "agent %r did not end within its shutdown_timeout of %g s: cancelled",
                self.name,
                self.agent.shutdown_timeout,
            )
            task.cancel()
            await asyncio.wait((task,), timeout=_CANCEL_GRACE)
            if not task.done():
                logger.error("agent %r does not let itself be cancelled: left behind", self.name)

    async def retire(self) -> None:
        """Take the agent off the system; what is left in the mailbox becomes dead letters."""
        if self.status is not ProcessStatus.CRASHED:
            self.status = ProcessStatus.STOPPED
        await self._bus.detach(self.name)
        error = MessageRoutingError(f"agent {self.name!r} has stopped and takes no more messages")
        for frame in self.mailbox.close(error):
            try:
                message = self._bus.read(frame)
            except CivitasError as unreadable:
                self._bus.dead_letters.record(f"unreadable: {unreadable}", frame)
                continue
            self._bus.dead_letters.record("the recipient has stopped", message)
            await self._bus.answer_error(message, self.name, error)

    def leave(self) -> None:
        """End after the message in hand; the agent said that it is done."""
        self._done = True
        self._leave = _Leave.NOW
        self.mailbox.wake()

    # --- one object's life --------------------------------------------------------------------

    async def _launch(self) -> None:
        self.failure = None
        self._leave = _Leave.NEVER
        self._told_to_stop = False
        self.status = ProcessStatus.INITIALIZING
        outbox = Outbox(self._bus, self.name)
        self.agent.connect(outbox, self.leave, lambda: self.status)
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._live(self.agent, outbox, started), name=self.name)
        self.mailbox.consumer = self._task
        try:
            await started
        except asyncio.CancelledError:
            self._told_to_stop = True
            self._task.cancel()
            raise

    async def _live(
        self, agent: AgentProcess, outbox: Outbox, started: asyncio.Future[None]
    ) -> None:
        self._working = True
        try:
            await agent.on_start()
        except asyncio.CancelledError:
            if not started.done():
                started.set_exception(SpawnError("it was stopped while it started"))
            return
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits the start
            if not started.done():
                started.set_exception(error)
            return
        finally:
            self._working = False
        if self.status is ProcessStatus.INITIALIZING:
            self.status = ProcessStatus.RUNNING
        if not started.done():
            started.set_result(None)
        try:
            await self._serve(agent, outbox)
        except asyncio.CancelledError:
            await self._abandon(outbox.current)
        except Exception as error:  # noqa: BLE001 - a crash, which the supervisor judges
            self.failure = error
        finally:
            await self._end(agent, outbox)

    async def _serve(self, agent: AgentProcess, outbox: Outbox) -> None:
        """Handle messages until told to leave. This is the serving half of the hot path."""
        get_nowait = self.mailbox.get_nowait
        read = self._bus.read
        handle = agent.handle
        limit = agent.handle_timeout
        streak = 0
        self._working = True
        while self._leave is not _Leave.NOW:
            frame = get_nowait()
            if frame is None:
                if self._leave is _Leave.WHEN_DRAINED:
                    return
                await self._rest()
                streak = 0
                continue
            streak += 1
            if streak == _BATCH:
                streak = 0
                await asyncio.sleep(0)
            try:
                message = read(frame)
            except CivitasError as error:
                self._bus.dead_letters.record(f"unreadable: {error}", frame)
                continue
            if message.ttl is not None and message.expired(time.time()):
                self._bus.dead_letters.record("expired before it was handled", message)
                continue
            outbox.current = message
            try:
                if limit is None:
                    reply = await handle(message)
                else:
                    async with asyncio.timeout(limit):
                        reply = await handle(message)
            except asyncio.CancelledError as error:
                reply = await self._recover(agent, message, _own_cancellation(error))
            except Exception as error:  # noqa: BLE001 - anything a handler raises is judged
                reply = await self._recover(agent, message, error)
            self.handled += 1
            if reply is not None and message.reply_to is not None:
                await self._answer(message, reply)
            outbox.current = None

    async def _rest(self) -> None:
        self._working = False
        if self._bus.closing:
            self._on_idle()
        try:
            await self.mailbox.wait()
        finally:
            self._working = True

    async def _recover(
        self, agent: AgentProcess, message: Message, error: Exception
    ) -> Message | None:
        """Do what `on_error` says; return the reply of a retry, or raise to crash."""
        retries = 0
        while True:
            self.errors += 1
            action = await self._judge(agent, message, error)
            if action is ErrorAction.RETRY and retries < agent.max_retries:
                retries += 1
                message.attempt += 1
                try:
                    async with asyncio.timeout(agent.handle_timeout):
                        return await agent.handle(message)
                except asyncio.CancelledError as again:
                    error = _own_cancellation(again)
                except Exception as again:  # noqa: BLE001 - judged in the next round
                    error = again
                continue
            await self._bus.answer_error(message, self.name, error)
            if action is ErrorAction.SKIP:
                logger.warning("agent %r skipped a message: %s", self.name, _told(error))
                return None
            if action is ErrorAction.STOP:
                logger.warning("agent %r stops after an error: %s", self.name, _told(error))
                self.leave()
                return None
            raise error

    async def _judge(self, agent: AgentProcess, message: Message, error: Exception) -> ErrorAction:
        try:
            action: object = await agent.on_error(error, message)
        except Exception as second:
            await self._bus.answer_error(message, self.name, error)
            raise second from error
        if not isinstance(action, ErrorAction):
            await self._bus.answer_error(message, self.name, error)
            raise TypeError(
                f"on_error of agent {self.name!r} returned {action!r}, not an ErrorAction"
            ) from error
        return action

    async def _answer(self, request: Message, reply: Message) -> None:
        """Send a reply; one that can't be sent is an error to the asker, and logged here."""
        try:
            await self._bus.answer(reply)
        except Exception as error:
            logger.exception("agent %r could not answer", self.name)
            await self._bus.answer_error(request, self.name, error)

    async def _abandon(self, message: Message | None) -> None:
        """Account for the message that was in hand when the agent was cancelled."""
        if message is not None:
            self._bus.dead_letters.record("cancelled while it was handled", message)
            error = MessageRoutingError(f"agent {self.name!r} was stopped before it could answer")
            await self._bus.answer_error(message, self.name, error)

    async def _end(self, agent: AgentProcess, outbox: Outbox) -> None:
        """Await `on_stop`, settle the status, and tell the supervisor unless it knows."""
        outbox.current = None
        outbox.leaving = True
        try:
            async with asyncio.timeout(agent.shutdown_timeout):
                await agent.on_stop()
        except Exception:
            logger.exception("on_stop of agent %r raised", self.name)
        self._working = False
        if self.failure is not None:
            self._done = False
            self.status = ProcessStatus.CRASHED
        elif self._done:
            self.status = ProcessStatus.STOPPED
        if not self._told_to_stop:
            self._on_exit(self)
        if self._bus.closing:
            self._on_idle()


def _own_cancellation(error: asyncio.CancelledError) -> Exception:
    """Return the error for a handler that awaited something cancelled by somebody else.

    Raises:
        CancelledError: it is this agent that is being cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
    return RuntimeError("what the handler awaited was cancelled")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
