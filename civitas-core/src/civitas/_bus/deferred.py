"""Deferred answers: what an agent owes to those who asked, after its handlers have returned.

Theory. A handler that calls `defer()` has its message set aside: who asked goes on waiting, and a
durable transport keeps the message, until the `Deferred` is settled. It is settled once:

    event                                          | who asked gets  | a durable transport
    -----------------------------------------------+-----------------+--------------------------
    `reply`                                        | the answer      | acknowledges
    ... and the answer can't be sent               | AgentError      | as for `fail`
    `fail`                                         | AgentError      | acknowledges, if somebody
                                                   |                 | asked; else gives it again
    `handle` returns an answer, or raises          | that            | as for any message
    nobody holds the Deferred any more             | UnansweredError | as for `fail`
    the agent crashes, or ends before it was done  | AgentError      | as for `fail`

    who asked has given up: its time to live is    | nothing: it     | acknowledges
    over                                           | timed out       |

What is open counts as work: a stop waits for it. An agent has at most `limit` open. An answer that
comes after its asker has given up is dropped, and no error: nobody could know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from civitas import _platform as platform
from civitas._bus.arguments import as_answer, kind_of
from civitas._bus.bus import MessageBus
from civitas._bus.settlement import DurableFrame, GivenUp
from civitas._typed.shapes import Payload
from civitas.errors import MailboxFullError, UnansweredError, logger_of
from civitas.messages import Message, compose_reply
from civitas.transport.tasks import contained, guard_callback, start_task

logger = logger_of("civitas.agent")

_EXPIRED: Final = "expired before it was answered"


class Deferred:
    """The answer to one message, to be given later: what `AgentProcess.defer` returns.

    It may be kept, and passed to other tasks and agents of the same process, in the node's event
    loop. Whoever has it calls `reply` or `fail`, once.
    """

    __slots__ = ("__weakref__", "_answers", "_message")

    def __init__(self, answers: DeferredAnswers, message: DeferredMessage) -> None:
        self._answers = answers
        self._message = message

    @property
    def done(self) -> bool:
        """Whether the message is settled: nothing can be answered any more."""
        return self._message.settled is not None

    async def reply(self, payload: Payload) -> None:
        """Send the answer.

        Args:
            payload: a dict of JSON-like values, or an object of a model.

        Raises:
            MessageValidationError: the payload is neither.
            RuntimeError: the message is settled: it was answered, or its agent has ended.
            ConfigurationError: this is not the node's event loop.
            SerializationError, MessageTooLargeError: the payload can't be sent; who asked gets
                that as an AgentError.
        """
        await self._answers.reply(self._message, *as_answer(payload))

    async def fail(self, error: BaseException | str) -> None:
        """Answer with an error: who asked gets an AgentError with its class and text.

        Args:
            error: an exception, or a text that says what is wrong.

        Raises:
            TypeError: it is neither.
            RuntimeError: the message is settled: it was answered, or its agent has ended.
        """
        given: object = error
        if isinstance(given, type) and issubclass(given, BaseException):
            given = given()  # as `raise` does
        if isinstance(given, str):
            given = RuntimeError(given)
        if not isinstance(given, BaseException):
            raise TypeError(f"fail() takes an exception, or a text, not {kind_of(given)}")
        await self._answers.fail(self._message, given)

    def __del__(self) -> None:
        if not self.done:
            self._answers.forgotten(self._message)


class DeferredMessage:
    """One message that is set aside; `settled` says how it was settled, None while it is open."""

    __slots__ = ("durable", "message", "settled", "timer")

    def __init__(self, message: Message, durable: DurableFrame | None) -> None:
        self.message = message
        self.durable = durable
        self.settled: str | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Ends with the asker's patience."""

    def settle(self, how: str) -> None:
        """Take note of how it is settled.

        Raises:
            RuntimeError: it was settled before.
        """
        if self.settled is not None:
            raise RuntimeError(f"this deferred answer can't be given any more: {self.settled}")
        self.settled = how


class DeferredAnswers:
    """The open deferred answers of one agent object.

    `limit` is how many may be open; `on_settled` is called when none is any more.
    """

    __slots__ = (
        "_agent",
        "_answering",
        "_bus",
        "_changed",
        "_limit",
        "_loop",
        "_on_settled",
        "_open",
    )

    def __init__(
        self, bus: MessageBus, agent: str, limit: int, on_settled: Callable[[], None]
    ) -> None:
        self._bus = bus
        self._agent = agent
        self._limit = limit
        self._on_settled = on_settled
        self._loop = asyncio.get_running_loop()
        self._open: dict[DeferredMessage, None] = {}  # in order, unlike a set
        self._changed: asyncio.Future[None] | None = None
        self._answering: dict[asyncio.Task[None], None] = {}  # smaller than a set, when empty

    def __len__(self) -> int:
        return len(self._open)

    def open(self, message: Message, durable: DurableFrame | None) -> DeferredMessage:
        """Set a message in hand aside; `durable` is its frame, where the transport is durable.

        Raises:
            MailboxFullError: too many are open.
        """
        if len(self._open) >= self._limit:
            raise MailboxFullError(
                f"agent {self._agent!r} has {len(self._open)} deferred answers open, and may have "
                f"no more (its mailbox_size)"
            )
        deferred = DeferredMessage(message, durable)
        self._open[deferred] = None
        self._bus.waiting.set_aside(message)
        if message.ttl is not None:
            left = max(message.timestamp + message.ttl - platform.wall(), 0.0)
            expire_later = self._guarded(self._expire)
            deferred.timer = self._loop.call_later(left, expire_later, deferred)
        return deferred

    def withdraw(self, deferred: DeferredMessage) -> None:
        """Take note that the message loop settles the message after all."""
        if deferred.settled is None:
            deferred.settle("its handler returned an answer, or raised")
            self._close(deferred)

    async def reply(self, deferred: DeferredMessage, kind: str, payload: dict[str, Any]) -> None:
        if not self._settle(deferred):
            return
        request = deferred.message
        try:
            if request.reply_to is not None:
                reply = compose_reply(self._agent, request, payload, kind)
                await self._bus.answers.answer(reply)
        except BaseException as error:
            await self._fail(deferred, error)
            raise
        if deferred.durable is not None:
            deferred.durable.processed()
        self._close(deferred)

    async def fail(self, deferred: DeferredMessage, error: BaseException) -> None:
        if self._settle(deferred):
            await self._fail(deferred, error)

    async def all_settled(self, timeout: float) -> None:
        """Return when none is open, or after `timeout` seconds."""
        deadline = self._loop.time() + timeout
        while self._open and (left := deadline - self._loop.time()) > 0:
            self._changed = self._loop.create_future()
            await asyncio.wait((self._changed,), timeout=left)

    async def end(self, crash: Exception | None) -> None:
        """Answer all that are open: their agent has crashed, or (`crash` is None) was stopped."""
        left = [deferred for deferred in self._open if deferred.settled is None]
        for deferred in left:
            deferred.settle("its agent has ended")
        await asyncio.gather(*(contained(self._give_up(each, crash)) for each in left))

    async def _give_up(self, deferred: DeferredMessage, crash: Exception | None) -> None:
        why, reason = GivenUp.ended(self._agent, crash), "its agent ended before it answered"
        message, durable = deferred.message, deferred.durable
        try:
            await self._bus.answers.give_up(message, durable, self._agent, why, reason)
        finally:
            self._close(deferred)

    def forgotten(self, deferred: DeferredMessage) -> None:
        """Take note, in any thread, that nobody can settle one any more."""
        answer_later = self._guarded(self._answer_forgotten)
        try:
            self._loop.call_soon_threadsafe(answer_later, deferred)
        except RuntimeError:
            logger.debug("an event loop had ended with a deferred answer of %r", self._agent)

    def _guarded(self, call: Callable[[DeferredMessage], None]) -> Callable[..., None]:
        """Return a callback; it is made when it is needed, since most agents never defer."""
        return guard_callback(call, name="civitas deferred answer", failed=self._bus.failed)

    def _answer_forgotten(self, deferred: DeferredMessage) -> None:
        if deferred.settled is not None:
            return
        why = (
            f"it deferred its answer to a message of type {deferred.message.type!r}, and forgot it"
        )
        logger.warning("agent %r: %s", self._agent, why)
        work = self.fail(deferred, UnansweredError(self._agent, why))
        task = start_task(work, name="civitas deferred answer", failed=self._bus.failed)
        self._answering[task] = None
        task.add_done_callback(self._answering.pop)

    async def _fail(self, deferred: DeferredMessage, error: BaseException) -> None:
        try:
            await self._bus.answers.fail(deferred.message, deferred.durable, self._agent, error)
        finally:
            self._close(deferred)

    def _settle(self, deferred: DeferredMessage) -> bool:
        """Take note that an answer is given; return False if its asker has given up before.

        Raises:
            RuntimeError: the message is settled in another way.
            ConfigurationError: this is not the node's event loop.
        """
        self._bus.affinity.check()
        if deferred.settled == _EXPIRED:
            return False
        deferred.settle("it was given before")
        return True

    def _expire(self, deferred: DeferredMessage) -> None:
        """Let go of a message that has outlived its time to live: nobody waits for an answer."""
        if deferred.settled is None:
            deferred.settle(_EXPIRED)
            self._bus.dead_letters.record(_EXPIRED, deferred.message)
            if deferred.durable is not None:
                deferred.durable.processed()
            self._close(deferred)

    def _close(self, deferred: DeferredMessage) -> None:
        self._open.pop(deferred, None)
        self._bus.waiting.settled(deferred.message)
        if deferred.timer is not None:
            deferred.timer.cancel()
        if not self._open:
            if self._changed is not None and not self._changed.done():
                self._changed.set_result(None)
            self._on_settled()
