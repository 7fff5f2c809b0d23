"""MessageLoop: one agent object handles message after message; what its errors come to.

Stop modes, and what becomes of a message: see the tables of `civitas._agents`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from civitas._bus.bus import MessageBus
from civitas._bus.mailbox import Mailbox
from civitas._bus.sender import Sender
from civitas._bus.settlement import DurableFrame
from civitas.errors import (
    CivitasError,
    DeserializationError,
    ErrorAction,
    FrameError,
    MessageRoutingError,
    ProcessingError,
)
from civitas.messages import Message
from civitas.process import AgentProcess

logger = logging.getLogger("civitas.agent")

_STINT: Final = 0.002
"""Seconds of handling without a pause; then other tasks of the event loop get a turn."""

_LOOK: Final = 8
"""Messages between two looks at the clock."""


class StopMode(Enum):
    """When a message loop ends."""

    NEVER = 0
    WHEN_DRAINED = 1
    NOW = 2


@dataclass(slots=True)
class AgentCounts:
    """Counts of one agent, over all objects that it has been."""

    handled: int = 0
    errors: int = 0


class MessageLoop:
    """Handles the messages of one agent, with one object.

    `on_idle` is called when the mailbox is empty while the node stops.
    """

    __slots__ = (
        "_bus",
        "_counts",
        "_durable",
        "_mailbox",
        "_on_idle",
        "agent",
        "sender",
        "stop_mode",
        "working",
    )

    def __init__(
        self,
        agent: AgentProcess,
        mailbox: Mailbox[bytes],
        bus: MessageBus,
        counts: AgentCounts,
        on_idle: Callable[[], None],
    ) -> None:
        self.agent = agent
        self.sender = Sender(bus, mailbox.name)
        """What the verbs of the agent act through."""
        self._mailbox = mailbox
        self._bus = bus
        self._counts = counts
        self._on_idle = on_idle
        self._durable: DurableFrame | None = None  # the last one
        self.stop_mode = StopMode.NEVER
        self.working = False
        """Whether a message is in hand."""

    @property
    def redelivered(self) -> bool:
        """Whether the transport had given the last message before."""
        return self._durable is not None and self._durable.redelivered

    async def run(self) -> None:
        """Handle messages until the stop mode ends it. This is the handling half of the hot path.

        Raises:
            Exception: the agent crashed.
            CancelledError: it was cancelled; `abandon` accounts for the message in hand.
        """
        get_nowait = self._mailbox.get_nowait
        read = self._bus.read
        limit = self.agent.handle_timeout
        handle = self.agent.handle if limit is None else partial(self._handle_within, limit)
        sender = self.sender
        counts = self._counts
        now = asyncio.get_running_loop().time
        pause_at = now() + _STINT
        streak = 0
        durable: DurableFrame | None = None
        self.working = True
        while self.stop_mode is not StopMode.NOW:
            streak += 1
            if streak == _LOOK:
                streak = 0
                if now() > pause_at:
                    await asyncio.sleep(0)  # with no frame in hand, that a cancellation would lose
                    pause_at = now() + _STINT
                    continue
            frame = get_nowait()
            if frame is None:
                if self.stop_mode is StopMode.WHEN_DRAINED:
                    return
                await self._rest()
                pause_at = now() + _STINT
                continue
            if type(frame) is DurableFrame:
                durable = self._durable = frame
            try:
                message = read(frame)
            except CivitasError as error:
                await self._refuse(frame, error)
                continue
            if message.ttl is not None and message.expired(time.time()):
                self._expire(message)
                continue
            sender.current = message
            try:
                reply = await handle(message)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - judged, whatever it is
                reply = await self._recover(message, _own_cancellation(error, "handle"))
            counts.handled += 1
            if reply is not None and message.reply_to is not None:
                await self._answer(message, reply)
            sender.current = None
            if durable is not None:
                durable.processed()

    async def abandon(self, crash: Exception | None) -> None:
        """Account for the message that was in hand when the agent was cancelled.

        It crashed with `crash` if the cancellation was not meant to stop it.
        """
        message, name = self.sender.current, self.agent.name
        if message is not None:
            error = MessageRoutingError(f"agent {name!r} was stopped before it could answer")
            failure = error if crash is None else _failure(name, crash)
            reason = "cancelled while it was handled"
            await self._bus.give_up(message, self._durable, name, error, failure, reason)

    async def _refuse(self, frame: bytes, error: CivitasError) -> None:
        if isinstance(frame, DurableFrame):
            known = isinstance(error, FrameError | DeserializationError)
            frame.failed(error if known else DeserializationError(str(error)))
        await self._bus.refuse(frame, self.agent.name, error)

    def _expire(self, message: Message) -> None:
        self._bus.dead_letters.record("expired before it was handled", message)
        if self._durable is not None:
            self._durable.processed()

    async def _rest(self) -> None:
        self.working = False
        if self._bus.closing:
            self._on_idle()
        try:
            await self._mailbox.wait()
        finally:
            self.working = True

    async def _handle_within(self, limit: float | None, message: Message) -> Message | None:
        try:
            async with asyncio.timeout(limit) as deadline:
                return await self.agent.handle(message)
        except TimeoutError as error:
            if deadline.expired():
                raise TimeoutError(
                    f"handle took longer than handle_timeout, {limit:g} s"
                ) from error
            raise

    async def _recover(self, message: Message, error: Exception) -> Message | None:
        """Do what `on_error` says; return the reply of a retry, or raise to crash."""
        agent = self.agent
        retries = 0
        while True:
            self._counts.errors += 1
            action = await self._judge(message, error)
            if action is ErrorAction.RETRY and retries < agent.max_retries:
                retries += 1
                message.attempt += 1
                try:
                    return await self._handle_within(agent.handle_timeout, message)
                except (Exception, asyncio.CancelledError) as again:  # noqa: BLE001 - judged next
                    error = _own_cancellation(again, "handle")
                continue
            if action is ErrorAction.SKIP:
                await self._bus.answer_error(message, agent.name, error)
                logger.warning("agent %r skipped a message: %s", agent.name, _text(error))
                return None
            await self._fail(message, error)
            if action is ErrorAction.STOP:
                logger.warning("agent %r stops after an error: %s", agent.name, _text(error))
                agent.stop()
                return None
            raise error

    async def _judge(self, message: Message, error: Exception) -> ErrorAction:
        """Ask the agent what to do; a broken `on_error` is a crash of its own."""
        try:
            action: object = await self.agent.on_error(error, message)
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - a crash
            second = _own_cancellation(raised, "on_error")
            await self._fail(message, error)
            raise second from error
        if not isinstance(action, ErrorAction):
            await self._fail(message, error)
            raise TypeError(
                f"on_error of agent {self.agent.name!r} returned {action!r}, not an ErrorAction"
            ) from error
        return action

    async def _fail(self, message: Message, error: Exception) -> None:
        """Answer with the error; what nobody asked, a durable transport gets back.

        Who has the answer waits no more: the message is not to be executed again for nobody.
        """
        answered = await self._bus.answer_error(message, self.agent.name, error)
        if self._durable is None:
            return
        if answered:
            self._durable.processed()
        else:
            self._durable.failed(_failure(self.agent.name, error))

    async def _answer(self, request: Message, reply: Message) -> None:
        """Send a reply; one that can't be sent is an error to who asked, and logged here."""
        try:
            if not isinstance(reply, Message):
                raise TypeError(
                    f"handle returned a {type(reply).__name__}; it returns self.reply(...) or None"
                )
            if not reply.recipient:  # made by hand, without self.reply
                reply.sender = self.agent.name
                reply.recipient = str(request.reply_to)
                reply.correlation_id = request.correlation_id or request.id
            await self._bus.answer(reply)
        except Exception as error:
            logger.exception("agent %r could not answer", self.agent.name)
            await self._fail(request, error)


def _failure(agent: str, error: Exception) -> ProcessingError:
    failure = ProcessingError(agent, type(error).__name__, str(error))
    failure.__cause__ = error
    return failure


def _own_cancellation(error: Exception | asyncio.CancelledError, hook: str) -> Exception:
    """Return the error of a hook, also when it awaited something that somebody else cancelled.

    Raises:
        CancelledError: it is this agent that is being cancelled.
    """
    if isinstance(error, Exception):
        return error
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
    return RuntimeError(f"what {hook} awaited was cancelled")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
