"""MessageLoop: one agent object handles message after message; what its errors come to.

Stop modes, and what becomes of a message: see the tables of `civitas._agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from math import inf
from typing import Final, TypeVar

from civitas import _platform as platform
from civitas._agents.counts import AgentCounts
from civitas._agents.settings import Settings
from civitas._bus.arguments import kind_of
from civitas._bus.bus import MessageBus
from civitas._bus.deferred import DeferredAnswers
from civitas._bus.instrument_guards import Handle
from civitas._bus.mailbox import Item, Mailbox
from civitas._bus.sender import Sender
from civitas._bus.settlement import DurableFrame, GivenUp
from civitas.errors import (
    CivitasError,
    DeserializationError,
    ErrorAction,
    FrameError,
    RefusedMessageError,
    UnansweredError,
    crash_unless_cancelled,
    describe,
    logger_of,
    printable,
)
from civitas.messages import Message, compose_reply
from civitas.process import AgentProcess, leave
from civitas.trace import belongs_to

logger = logger_of("civitas.agent")

T = TypeVar("T")

_STINT: Final = 0.002
"""Seconds of handling without a pause; then other tasks of the event loop get a turn."""

_LOOK: Final = 8
"""Messages between two looks at the clock."""

_WARNED: Final = 100
"""Message types of an agent for which a warning is logged at most: they come from others."""

_SETTLED: Final = Message(id="")
"""What stands for the reply to a message that is settled already."""


class StopMode(Enum):
    """When a message loop ends."""

    NEVER = 0
    WHEN_DRAINED = 1
    NOW = 2


class MessageLoop:
    """Handles the messages of one agent, with one object, in one task.

    `on_idle` is called with the agent's name while the node stops, when the mailbox is empty and no
    answer is deferred.
    """

    __slots__ = (
        "_activity",
        "_bus",
        "_counts",
        "_durable",
        "_handle",
        "_limit",
        "_mailbox",
        "_max_retries",
        "_on_idle",
        "agent",
        "deferred",
        "sender",
        "stop_mode",
        "task",
        "working",
    )

    def __init__(
        self,
        agent: AgentProcess,
        mailbox: Mailbox[Item],
        bus: MessageBus,
        counts: AgentCounts,
        on_idle: Callable[[str], None],
    ) -> None:
        self.agent = agent
        self.deferred = DeferredAnswers(bus, mailbox.name, mailbox.size, self._idle)
        self.sender = Sender(bus, mailbox.name, self.deferred)
        """What the verbs of the agent act through."""
        self._mailbox = mailbox
        self._bus = bus
        self._counts = counts
        self._activity = counts.next_object(self.sender)
        self._on_idle = on_idle
        self._durable: DurableFrame | None = None  # the last one
        self._limit: float | None = None
        self._handle: Handle = agent.handle
        self._max_retries = 0
        self.stop_mode = StopMode.NEVER
        self.task: asyncio.Task[None] | None = None
        """The task that it runs in."""
        self.working = False
        """Whether a message is in hand."""

    @property
    def redelivered(self) -> bool:
        """Whether the transport had given the last message before."""
        return self._durable is not None and self._durable.redelivered

    async def run(self, settings: Settings) -> None:
        """Handle messages until the stop mode ends it. This is the handling half of the hot path.

        Raises:
            Exception: the agent crashed.
            CancelledError: it was cancelled; `abandon` accounts for the message in hand.
        """
        get_nowait, read = self._mailbox.get_nowait, self._bus.read
        self._max_retries = settings.max_retries
        limit = self._limit = settings.handle_timeout
        handle = self._handle = self._watched(limit)
        sender, belong_to = self.sender, belongs_to.set
        counts = self._counts
        pause_at = self._activity.begin(platform.monotonic(), counts.handled) + _STINT
        streak = 0
        durable: DurableFrame | None = None
        self.working = True
        while self.stop_mode is not StopMode.NOW:
            streak += 1
            if streak == _LOOK:
                streak = 0
                if platform.monotonic() > pause_at:
                    await asyncio.sleep(0)  # with no frame in hand, that a cancellation would lose
                    pause_at = platform.monotonic() + _STINT
                    continue
            frame = get_nowait()
            if frame is None:
                if self.stop_mode is StopMode.WHEN_DRAINED:
                    return
                pause_at = await self._rest() + _STINT
                continue
            if type(frame) is DurableFrame:
                durable = self._durable = self.deferred.durable = frame
            try:
                message = read(frame)
            except CivitasError as error:
                await self._refuse(frame, error)
                continue
            frame = None  # it may be large, and to handle it may take long
            if message.ttl is not None and message.expired(platform.wall()):
                self._expire(message)
                continue
            sender.current = message
            belong_to(message)
            try:
                reply = await handle(message)
            except BaseException as error:  # noqa: BLE001 - judged, whatever it is
                reply = await self._recover(message, self.crash_in("handle", error))
            counts.handled += 1
            if reply is not None or message.reply_to is not None or sender.deferred is not None:
                if reply is None or not self._answered_here(message, reply):
                    await self._conclude(message, reply)
            elif durable is not None:
                durable.processed()
            sender.current = None

    def crash_in(self, hook: str, error: BaseException) -> Exception:
        """Return what a hook raised as a crash, whatever it is.

        Raises:
            BaseException: it is this agent that is being cancelled, or destroyed, or the process
                that a signal ends.
        """
        return crash_unless_cancelled(error, hook, self.task)

    async def abandon(self, crash: Exception | None) -> None:
        """Account for what is still to be answered when the agent has ended: nobody is left to.

        It is the message in hand, if the agent was cancelled or crashed of an error of ours, and
        the deferred answers. `crash` is why it ended, None for a stop.
        """
        message, self.sender.current = self.sender.current, None
        self._activity.end(platform.monotonic())
        if message is not None:
            self._withdraw()
            why = GivenUp.ended(self.agent.name, crash)
            reason = "cancelled while it was handled"
            await self._bus.answers.give_up(message, self._durable, self.agent.name, why, reason)
        await self.deferred.end(crash)

    async def _refuse(self, frame: Item, error: CivitasError) -> None:
        if isinstance(frame, DurableFrame):
            known = isinstance(error, FrameError | DeserializationError)
            frame.failed(error if known else DeserializationError(str(error)))
        await self._bus.answers.refuse(frame, self.agent.name, error)

    def _expire(self, message: Message) -> None:
        self._bus.dead_letters.record("expired before it was handled", message)
        if self._durable is not None:
            self._durable.processed()

    async def _rest(self) -> float:
        """Wait for something to do; return when that came."""
        self.working = False
        activity = self._activity  # which is not called here: that would cost as much as the clock
        since, activity.since = activity.since, inf
        activity.busy += platform.monotonic() - since
        self._idle()
        try:
            await self._mailbox.wait()
        finally:
            self.working = True
        activity.since = woken = platform.monotonic()
        activity.handled_before = self._counts.handled
        return woken

    def _idle(self) -> None:
        """Report, while the node stops, that nothing is in hand and no answer is deferred."""
        if self._bus.closing and not self.working and not self.deferred:
            self._on_idle(self._mailbox.name)

    async def _within(self, limit: float | None, what: str, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(limit) as deadline:
                return await work
        except TimeoutError as error:
            if deadline.expired():
                text = f"{what} took longer than handle_timeout, {limit:g} s"
                raise TimeoutError(text) from error
            raise

    def _watched(self, limit: float | None) -> Handle:
        """Return the agent's `handle`, with its limit, and with the instruments around it."""
        handle: Handle = self.agent.handle
        if limit is not None:
            handle = partial(self._handle_within, limit)
        return self._bus.instruments.around(self._mailbox.name, handle)

    async def _handle_within(self, limit: float, message: Message) -> Message | None:
        return await self._within(limit, "handle", self.agent.handle(message))

    async def _recover(self, message: Message, error: Exception) -> Message | None:
        """Do what `on_error` says; return the reply of a retry, or raise to crash."""
        agent = self.agent
        retries = 0
        while True:
            self._withdraw()
            if isinstance(error, RefusedMessageError):
                answers = self._bus.answers
                await answers.refuse_message(message, self._durable, agent.name, error)
                return _SETTLED
            self._counts.errors += 1
            action = await self._judge(message, error)
            if action is ErrorAction.RETRY and retries < self._max_retries:
                retries += 1
                message.attempt += 1
                try:
                    return await self._handle(message)
                except BaseException as again:  # noqa: BLE001 - judged next
                    error = self.crash_in("handle", again)
                continue
            if action is ErrorAction.SKIP:
                await self._bus.answers.report_error(message, agent.name, error)
                if self._durable is not None:
                    self._durable.processed()
                logger.warning("agent %r skipped a message: %s", agent.name, describe(error))
                return _SETTLED
            await self._fail(message, error)
            if action is ErrorAction.STOP:
                logger.warning("agent %r stops after an error: %s", agent.name, describe(error))
                leave(agent)
                return _SETTLED
            raise error

    async def _judge(self, message: Message, error: Exception) -> ErrorAction:
        """Ask the agent what to do; a broken `on_error` is a crash of its own."""
        limit = self._limit
        try:
            judging = self.agent.on_error(error, message)
            action: object = await self._within(limit, "on_error", judging)
        except BaseException as raised:  # noqa: BLE001 - a crash
            second = self.crash_in("on_error", raised)
            await self._fail(message, error)
            raise second from error if second.__cause__ is None else second.__cause__
        if type(action) is not ErrorAction:
            await self._fail(message, error)
            raise TypeError(
                f"on_error of agent {self.agent.name!r} returned {kind_of(action)}, "
                f"not an ErrorAction"
            ) from error
        return action

    async def _fail(self, message: Message, error: Exception) -> None:
        """Settle the message in hand with an error."""
        await self._bus.answers.fail(message, self._durable, self.agent.name, error)
        self.sender.current = None

    def _withdraw(self) -> None:
        """Take back what the handler has deferred: the message is settled now."""
        self.deferred.withdraw()
        self.sender.deferred = None

    def _answered_here(self, message: Message, reply: Message) -> bool:
        """Answer the message that was handled, if that is all there is to do, within the process.

        It is what `_conclude` does then, without a coroutine for each step of it.
        """
        return (
            type(reply) is Message
            and reply.recipient == message.reply_to
            and self.sender.deferred is None
            and self._bus.answers.answer_here(reply)
        )

    async def _conclude(self, message: Message, reply: Message | None) -> None:
        """Answer the message that was handled, and settle it, unless its answer comes later."""
        if reply is None and self.sender.deferred is not None:
            self.deferred.keep()
            self.sender.deferred = None
            return
        self._withdraw()
        if reply is _SETTLED:
            return
        if message.reply_to is None or not self._bus.answers.expects(message):
            if type(reply) is not Message and reply is not None:
                self._warn(message, _no_reply(reply))
        elif reply is None:
            await self._report_unanswered(message, message.reply_to)
        else:
            await self._answer(message, reply)
        if self._durable is not None:
            self._durable.processed()

    async def _answer(self, request: Message, reply: Message) -> None:
        """Send a reply; one that can't be sent is an error to who asked, and logged here."""
        try:
            if not isinstance(reply, Message):
                raise TypeError(_no_reply(reply))
            if reply.recipient != request.reply_to:
                # Made by hand; or of somebody else's, to be passed on; or the request, as an echo.
                reply = compose_reply(self.agent.name, request, reply.payload, reply.type)
            await self._bus.answers.answer(reply, more=len(self._mailbox) > 0)
        except BaseException as raised:  # a payload may do anything when it is read
            error = self.crash_in("the reply", raised)
            logger.exception("agent %r could not answer", self.agent.name)
            await self._fail(request, error)

    async def _report_unanswered(self, message: Message, reply_to: str) -> None:
        """Answer who asked and got nothing, unless the handler has answered by itself."""
        name = self.agent.name
        if not self._bus.answers.answered_by_hand(name, reply_to):
            why = (
                f"handle returned nothing to an ask of type {printable(message.type, 100)!r}: it "
                f"returns self.reply(...), or calls self.defer() to answer later"
            )
            self._warn(message, why)
            await self._bus.answers.report_error(message, name, UnansweredError(name, why))

    def _warn(self, message: Message, why: str) -> None:
        """Log what is wrong with what `handle` returned, once for each type of messages."""
        types = self._counts.warned
        if message.type not in types and len(types) < _WARNED:
            self._counts.warned = types | {message.type}
            logger.warning("agent %r: %s", self.agent.name, why)


def _no_reply(value: object) -> str:
    return f"handle returned {kind_of(value)}; it returns self.reply(...) or None"
