"""Consumer: takes message after message out of the mailbox; what the errors of one come to.

What becomes of a message: see the tables of `civitas._agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from math import inf
from typing import Final, TypeVar

from civitas import _platform as platform
from civitas._agents.binding import leave
from civitas._agents.message_loop import MessageLoop, StopMode
from civitas._agents.retrying import retry_delay
from civitas._agents.settings import Settings
from civitas._bus.arguments import kind_of
from civitas._bus.instrument_guards import Handle
from civitas._bus.mailbox import Item
from civitas._bus.sender import Sender
from civitas._bus.settlement import DurableFrame
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
from civitas.process import Retry
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


class Consumer:
    """Handles messages in one task: one after the other.

    Args:
        message_loop: that of the agent object.
        sender: has the message in hand.
        settings: those of the agent object.
    """

    __slots__ = ("_activity", "_counts", "_handle", "_limit", "_loop", "_settings", "sender")

    def __init__(self, message_loop: MessageLoop, sender: Sender, settings: Settings) -> None:
        self.sender = sender
        self._loop = message_loop
        self._settings = settings
        self._counts = message_loop.counts
        self._activity = self._counts.next_consumer(sender, timed=settings.concurrency > 1)
        self._limit = settings.handle_timeout
        self._handle: Handle = self._watched(self._limit)

    async def run(self) -> None:
        """Handle messages until the stop mode ends it. This is the handling half of the hot path.

        Raises:
            Exception: the agent crashed.
            CancelledError: it was cancelled; the message loop accounts for the message in hand.
        """
        loop, counts, at_once = self._loop, self._counts, StopMode.NOW
        get_nowait, read = loop.mailbox.get_nowait, loop.bus.read
        handle = self._handle if self._settings.concurrency == 1 else self._timed
        sender, belong_to = self.sender, belongs_to.set
        pause_at = self._activity.begin(platform.monotonic(), counts.handled) + _STINT
        streak = 0
        durable: DurableFrame | None = None
        message: Message | None
        reply: Message | None
        loop.at_work += 1  # until the object ends
        while loop.stop_mode is not at_once:
            streak += 1
            if streak == _LOOK:
                streak = 0
                if platform.monotonic() > pause_at:
                    await asyncio.sleep(0)  # with no frame in hand, that a cancellation would lose
                    pause_at = platform.monotonic() + _STINT
                    continue
            frame = get_nowait()
            if frame is None:
                if loop.drained():
                    return
                message = reply = durable = None  # they may be large, and the rest may be long
                pause_at = await self._rest() + _STINT
                continue
            if type(frame) is DurableFrame:
                durable = sender.durable = frame
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
                concluding = self._begin_conclusion(message, reply)
                if concluding is not None:
                    await concluding
            elif durable is not None:
                durable.processed()
            sender.current = None

    def crash_in(self, hook: str, error: BaseException) -> Exception:
        """Return what a hook raised as a crash, whatever it is.

        Raises:
            BaseException: it is this task that is being cancelled, or destroyed, or the process
                that a signal ends.
        """
        return crash_unless_cancelled(error, hook, self.sender.task)

    async def _refuse(self, frame: Item, error: CivitasError) -> None:
        if isinstance(frame, DurableFrame):
            known = isinstance(error, FrameError | DeserializationError)
            frame.failed(error if known else DeserializationError(str(error)))
        await self._loop.bus.answers.refuse(frame, self._loop.agent.name, error)

    def _expire(self, message: Message) -> None:
        self._loop.bus.dead_letters.record("expired before it was handled", message)
        if self.sender.durable is not None:
            self.sender.durable.processed()

    async def _rest(self) -> float:
        """Wait for something to do; return when that came."""
        loop = self._loop
        loop.at_work -= 1
        activity = self._activity  # which is not called here: that would cost as much as the clock
        since, activity.since = activity.since, inf
        activity.busy += platform.monotonic() - since
        self.sender.durable = None
        if belongs_to.get() is not None:  # to set it takes memory
            belongs_to.set(None)
        loop.report_idle()
        wakeup = loop.mailbox.wakeup()
        try:
            if wakeup is not None:
                await wakeup
        except BaseException:
            if wakeup is not None:
                loop.mailbox.forget(wakeup)
            raise
        finally:
            loop.at_work += 1
        activity.since = woken = platform.monotonic()
        activity.handled_before = self._counts.handled
        return woken

    async def _within(self, limit: float | None, what: str, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(limit) as deadline:
                return await work
        except TimeoutError as error:
            if deadline.expired():
                text = f"{what} took longer than handle_timeout, {limit:g} s"
                raise TimeoutError(text) from error
            raise

    def _timed(self, message: Message) -> Awaitable[Message | None]:
        """Handle a message, and take note of when it begins."""
        self._activity.next()
        return self._handle(message)

    def _watched(self, limit: float | None) -> Handle:
        """Return the agent's `handle`, with its limit, and with the instruments around it."""
        handle: Handle = self._loop.agent.handle
        if limit is not None:
            handle = partial(self._handle_within, limit)
        return self._loop.bus.instruments.around(self.sender.name, handle)

    async def _handle_within(self, limit: float, message: Message) -> Message | None:
        return await self._within(limit, "handle", self._loop.agent.handle(message))

    async def _recover(self, message: Message, error: Exception) -> Message | None:
        """Do what `on_error` says; return the reply of a retry, or raise to crash."""
        agent = self._loop.agent
        retries = 0
        while True:
            self._loop.withdraw(self.sender)
            if isinstance(error, RefusedMessageError):
                answers = self._loop.bus.answers
                await answers.refuse_message(message, self.sender.durable, agent.name, error)
                return _SETTLED
            self._counts.errors += 1
            action = await self._judge(message, error)
            delay = retry_delay(action, self._settings, retries)
            if delay is not None:
                if delay and not await self._loop.pause(self.sender, message, error, delay):
                    return _SETTLED
                retries += 1
                self._counts.retries += 1
                message.attempt += 1
                try:
                    return await self._handle(message)
                except BaseException as again:  # noqa: BLE001 - judged next
                    error = self.crash_in("handle", again)
                continue
            if action is ErrorAction.SKIP:
                await self._loop.bus.answers.report_error(message, agent.name, error)
                if self.sender.durable is not None:
                    self.sender.durable.processed()
                logger.warning("agent %r skipped a message: %s", agent.name, describe(error))
                return _SETTLED
            self._loop.stop_mode = StopMode.NOW  # at once: others take nothing more meanwhile
            await self._fail(message, error)
            if action is ErrorAction.STOP:
                logger.warning("agent %r stops after an error: %s", agent.name, describe(error))
                leave(agent)
                return _SETTLED
            raise error

    async def _judge(self, message: Message, error: Exception) -> ErrorAction | Retry:
        """Ask the agent what to do; a broken `on_error` is a crash of its own."""
        limit = self._limit
        try:
            judging = self._loop.agent.on_error(error, message)
            action: object = await self._within(limit, "on_error", judging)
        except BaseException as raised:  # noqa: BLE001 - a crash
            second = self.crash_in("on_error", raised)
            self._loop.stop_mode = StopMode.NOW
            await self._fail(message, error)
            raise second from error if second.__cause__ is None else second.__cause__
        if type(action) is not ErrorAction and type(action) is not Retry:
            self._loop.stop_mode = StopMode.NOW
            await self._fail(message, error)
            raise TypeError(
                f"on_error of agent {self._loop.agent.name!r} returned {kind_of(action)}, "
                f"not an ErrorAction"
            ) from error
        return action

    async def _fail(self, message: Message, error: Exception) -> None:
        """Settle the message in hand with an error."""
        await self._loop.bus.answers.fail(
            message, self.sender.durable, self._loop.agent.name, error
        )
        self.sender.current = None

    def _begin_conclusion(self, message: Message, reply: Message | None) -> Awaitable[None] | None:
        """Do what `_conclude` does; return the rest of it to await, or None where all is done.

        Most often all is done: the answer that is there is sent without waiting.
        """
        loop, sender = self._loop, self.sender
        if (
            type(reply) is not Message
            or reply.recipient != message.reply_to
            or sender.deferred is not None
            or sender.durable is not None
        ):
            return self._conclude(message, reply)
        try:
            waiting = loop.bus.answers.begin_answer(reply, loop.mailbox)
        except BaseException as raised:  # noqa: BLE001 - a payload may do anything when it is read
            if not loop.bus.answers.expects(message):
                return self._conclude(message, reply)
            return self._unanswerable(message, raised)
        return None if waiting is None else self._finish_answer(message, waiting)

    async def _finish_answer(self, request: Message, answering: Awaitable[None]) -> None:
        try:
            await answering
        except BaseException as raised:  # noqa: BLE001 - a transport may raise anything
            await self._unanswerable(request, raised)

    async def _conclude(self, message: Message, reply: Message | None) -> None:
        """Answer the message that was handled, and settle it, unless its answer comes later."""
        if reply is None and self.sender.deferred is not None:
            self.sender.deferred = None
            return
        self._loop.withdraw(self.sender)
        if reply is _SETTLED:
            return
        if message.reply_to is None or not self._loop.bus.answers.expects(message):
            if type(reply) is not Message and reply is not None:
                self._warn(message, _no_reply(reply))
        elif reply is None:
            await self._report_unanswered(message, message.reply_to)
        else:
            await self._answer(message, reply)
        if self.sender.durable is not None:
            self.sender.durable.processed()

    async def _answer(self, request: Message, reply: object) -> None:
        """Send a reply; one that can't be sent is an error to who asked, and logged here."""
        if not isinstance(reply, Message):
            await self._unanswerable(request, TypeError(_no_reply(reply)))
            return
        try:
            if reply.recipient != request.reply_to:
                # Made by hand; or of somebody else's, to be passed on; or the request, as an echo.
                reply = compose_reply(self._loop.agent.name, request, reply.payload, reply.type)
            answering = self._loop.bus.answers.answer(reply, self._loop.mailbox)
        except BaseException as raised:  # noqa: BLE001 - a reply made by hand may be anything
            await self._unanswerable(request, raised)
            return
        await self._finish_answer(request, answering)

    async def _unanswerable(self, request: Message, raised: BaseException) -> None:
        """Take an error of sending a reply as the answer to who asked."""
        error = self.crash_in("the reply", raised)
        logger.error("agent %r could not answer", self._loop.agent.name, exc_info=error)
        await self._fail(request, error)

    async def _report_unanswered(self, message: Message, reply_to: str) -> None:
        """Answer who asked and got nothing, unless the handler has answered by itself."""
        name = self._loop.agent.name
        if not self._loop.bus.answers.answered_by_hand(name, reply_to):
            why = (
                f"handle returned nothing to an ask of type {printable(message.type, 100)!r}: it "
                f"returns self.reply(...), or calls self.defer() to answer later"
            )
            self._warn(message, why)
            await self._loop.bus.answers.report_error(message, name, UnansweredError(name, why))

    def _warn(self, message: Message, why: str) -> None:
        """Log what is wrong with what `handle` returned, once for each type of messages."""
        types = self._counts.warned
        if message.type not in types and len(types) < _WARNED:
            self._counts.warned = types | {message.type}
            logger.warning("agent %r: %s", self._loop.agent.name, why)


def _no_reply(value: object) -> str:
    return f"handle returned {kind_of(value)}; it returns self.reply(...) or None"
