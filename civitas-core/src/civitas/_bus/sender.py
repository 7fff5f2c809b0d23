"""Sender: what the verbs of one agent, or of a node's callers, act through."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from math import inf
from typing import Any, Final, NoReturn

from civitas._bus.arguments import as_answer, as_timeout, checked, give_limits
from civitas._bus.bus import MessageBus
from civitas._bus.deferred import Deferred, DeferredAnswers, DeferredMessage
from civitas._bus.settlement import DurableFrame
from civitas._typed.shapes import Payload
from civitas.errors import MessageRoutingError, crash_unless_cancelled
from civitas.messages import TYPE_REPLY, Message, compose, compose_reply
from civitas.trace import belongs_to, give_headers
from civitas.transport.tasks import contained

sender_in_task: Final[ContextVar[Sender | None]] = ContextVar("civitas_sender", default=None)
"""That of the agent's task in which this code runs, or was started."""


class Sender:
    """Sends in the name of one agent (or of the runtime's caller, which answers nobody).

    The verbs of an agent object act through one. Where that has several consumers, each of these
    has a sender besides: with the message that it has in hand. What is about the message in hand
    is left to the sender of the task in which it is called.
    """

    __slots__ = (
        "_bus",
        "current",
        "deferred",
        "deferred_answers",
        "durable",
        "leaving",
        "name",
        "task",
    )

    def __init__(
        self, bus: MessageBus, name: str, deferred_answers: DeferredAnswers | None = None
    ) -> None:
        self._bus = bus
        self.deferred_answers = deferred_answers
        self.name = name
        self.current: Message | None = None
        """The message in hand. What is sent belongs to the message of its own context instead: a
        task may have outlived the handling of the message that has started it."""
        self.durable: DurableFrame | None = None
        """The last frame that was taken, where the transport is durable."""
        self.deferred: tuple[Deferred, DeferredMessage] | None = None
        """What `defer` has returned for that message; it is not forgotten before `handle` ends."""
        self.task: asyncio.Task[Any] | None = None
        """The task in which messages are handled."""
        self.leaving = False
        """Set for what `on_stop` sends, which is taken even while the node stops."""

    def leave(self) -> None:
        """Take note that the agent ends: what it sends now is of `on_stop`, and of no message."""
        self.current = None
        self.leaving = True
        belongs_to.set(None)

    def send(
        self,
        recipient: str,
        payload: Payload,
        message_type: str,
        headers: Mapping[str, str] | None = None,
        ttl: float | None = None,
        priority: int = 0,
    ) -> Coroutine[Any, Any, None]:
        """Send; awaiting it ends when the recipient's mailbox (or the transport) has taken it."""
        if type(payload) is not dict or type(recipient) is not str or type(message_type) is not str:
            recipient, payload, message_type = checked(recipient, payload, message_type)
        if self.current is None and self._bus.closing:
            self._refuse_while_closing(recipient)
        cause = belongs_to.get()
        message = compose(self.name, recipient, payload, message_type, cause)
        if headers is not None or (cause is not None and cause.headers):
            give_headers(message, cause, headers)
        if ttl is not None or priority != 0:
            give_limits(message, ttl, priority)
        return self._bus.send(message, own=True)

    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str,
        timeout: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> Coroutine[Any, Any, Message]:
        """Send; awaiting it gives the answer."""
        if type(payload) is not dict or type(recipient) is not str or type(message_type) is not str:
            recipient, payload, message_type = checked(recipient, payload, message_type, timed=True)
        if self.current is None and self._bus.closing:
            self._refuse_while_closing(recipient)
        if timeout is not None and (type(timeout) is not float or not 0.0 < timeout < inf):
            timeout = as_timeout(timeout)
            if timeout is not None and timeout <= 0.0:
                return _no_time(recipient, timeout)
        cause = belongs_to.get()
        message = compose(self.name, recipient, payload, message_type, cause, timeout)
        if headers is not None or (cause is not None and cause.headers):
            give_headers(message, cause, headers)
        return self._bus.ask(message, timeout, own=True, by_agent=self.task is not None)

    async def broadcast(
        self,
        pattern: str,
        payload: Payload,
        message_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send to each agent whose name matches; a full one does not hold up the others."""
        pattern, payload, message_type = checked(pattern, payload, message_type)
        self._bus.affinity.check()  # once, instead of by each send
        names = [entry.name for entry in self._bus.registry.lookup_all(pattern)]
        send = self.send
        sends = [send(name, payload, message_type, headers) for name in names if name != self.name]
        results = await asyncio.gather(*map(contained, sends), return_exceptions=True)
        if self.name in names:
            # In this task: in another one, its wait for room would look like that of anybody else.
            try:
                await self.send(self.name, payload, message_type, headers)
            except BaseException as error:  # noqa: BLE001 - raised below, with those of the others
                results.append(crash_unless_cancelled(error))
        errors = [result for result in results if isinstance(result, BaseException)]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup(f"broadcast to {pattern!r} failed for some agents", errors)

    def reply(self, payload: Payload) -> Message:
        """Make the answer to the message being handled."""
        kind = TYPE_REPLY
        if type(payload) is not dict:
            kind, payload = as_answer(payload)
        request = self.current
        if request is None or belongs_to.get() is not request:
            return self._in_context("reply() answers the message being handled").reply(payload)
        return compose_reply(self.name, request, payload, kind)

    def defer(self) -> Deferred:
        """Set the message being handled aside, to be answered later."""
        request = self.current
        answers = self.deferred_answers
        if request is None or belongs_to.get() is not request or answers is None:
            return self._in_context("defer() sets the message being handled aside").defer()
        if self.deferred is not None:
            raise RuntimeError("defer() was called for this message before: use what it returned")
        message = answers.open(request, self.durable)
        deferred = Deferred(answers, message)
        self.deferred = deferred, message
        return deferred

    def check_loop(self) -> None:
        """Raise a ConfigurationError unless this is the event loop of the node."""
        self._bus.affinity.check()

    def _consumer(self) -> Sender | None:
        """Return the sender of the consumer in whose task this is, if it is one of this agent's."""
        found = sender_in_task.get()
        ours = found is not None and found.deferred_answers is self.deferred_answers
        return found if ours and found is not self else None

    def _in_context(self, what: str) -> Sender:
        """Return the sender that has the message of this code in hand, if that is another one.

        Raises:
            RuntimeError: there is none. The message is none of the agent, or no longer in hand.
        """
        cause, found = belongs_to.get(), self._consumer()
        if found is not None and cause is not None and found.current is cause:
            return found
        if cause is None:
            why = "there is none now" if self.current is None else "this code belongs to none"
        elif cause.recipient == self.name:
            why = "that of this task is over: call defer() in the handler, and answer with it later"
        else:
            why = f"{self.name!r} does not handle the one that this code belongs to"
        raise RuntimeError(f"{what}; {why}")

    def _refuse_while_closing(self, recipient: str) -> None:
        consumer = self._consumer()
        handles = consumer is not None and consumer.current is not None
        if not (handles or self.leaving or self.deferred_answers):
            raise MessageRoutingError(
                f"not sent to {recipient!r}: this node is stopping and takes no new messages"
            )


async def _no_time(recipient: str, timeout: float) -> NoReturn:
    raise TimeoutError(
        f"ask {recipient!r}: not sent, since a timeout of {timeout:g} s leaves no time for an "
        f"answer; None is no limit"
    )
