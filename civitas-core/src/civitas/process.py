"""AgentProcess: the class that agents derive from. It is no process of the operating system.

Its methods and attributes are what authors use or override, and nothing else: every other name is
theirs. What the runtime keeps with an agent object is behind one attribute, the binding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar, overload

from civitas._bus.arguments import as_seconds
from civitas._bus.binding import Binding, ProcessStatus
from civitas._bus.deferred import Deferred
from civitas._bus.mailbox import DEFAULT_SIZE
from civitas._bus.timers import Timer
from civitas._typed import handlers
from civitas._typed.shapes import Handled, Payload
from civitas.errors import ErrorAction
from civitas.messages import Message

__all__ = ["AgentProcess", "Deferred", "ProcessStatus", "Retry", "Timer"]

R = TypeVar("R")

Headers: TypeAlias = Mapping[str, str] | None


class _Done:
    """What `stop` returns, so that both `self.stop()` and `await self.stop()` work."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


class Retry(NamedTuple):
    """What `retry` returns: RETRY, but later. `after` is in seconds."""

    after: float


class AgentProcess:
    """An agent: subclass it and override `handle`, and the other hooks as needed.

    Messages are handled one at a time (see `concurrency`), in the order in which they came. When a
    handler raises,
    `on_error` decides; by default the agent crashes and its supervisor makes a fresh object from
    the same constructor arguments, which goes on with the same mailbox.

    Args:
        name: the agent's name, unique in the system.
        mailbox_size: how many messages may wait for it.
        max_retries: how often RETRY runs a message again before it escalates.
        shutdown_timeout: seconds that a stop waits for the mailbox to be drained.
        handle_timeout: seconds after which a `handle` is cancelled with TimeoutError; None for
            no limit.
        concurrency: how many messages may be in hand at once, 1,000 at most. They are begun in
            the order in which they came, and end in any.
        retry_delay: seconds before the first RETRY of a message.
        retry_backoff: how that grows with each RETRY: CONSTANT, LINEAR or EXPONENTIAL.

    Example:
        A greeter, and how it is asked:

            class Greeter(AgentProcess):
                async def handle(self, message):
                    return self.reply({"text": f"Hello, {message.payload['name']}!"})

            async with Runtime(Supervisor("root", children=[Greeter("greeter")])) as runtime:
                reply = await runtime.ask("greeter", {"name": "Ada"})
    """

    name: str
    _civitas_binding: Binding

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the methods that are marked with `@on` handle the messages of their classes."""
        super().__init_subclass__(**kwargs)
        handlers.install(cls, AgentProcess.handle)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the constructor's arguments: a restart makes a fresh object from them."""
        if handlers.unfinished:
            handlers.complete(cls)
        self = super().__new__(cls)
        # A subclass may have a `__setattr__` that works only after its `__init__`.
        object.__setattr__(self, "_civitas_binding", Binding(self, (args, kwargs)))
        return self

    def __init__(
        self,
        name: str,
        mailbox_size: int = DEFAULT_SIZE,
        max_retries: int = 3,
        shutdown_timeout: float = 30.0,
        handle_timeout: float | None = None,
        concurrency: int = 1,
        retry_delay: float = 0.0,
        retry_backoff: str = "CONSTANT",
    ) -> None:
        self.name = name
        self.mailbox_size = mailbox_size
        self.max_retries = max_retries
        self.shutdown_timeout = shutdown_timeout
        self.handle_timeout = handle_timeout
        self.concurrency = concurrency
        self.retry_delay = retry_delay
        self.retry_backoff = retry_backoff

    @cached_property
    def state(self) -> Any:
        """A dict of this object's own, for what it keeps between two messages.

        It does not survive a restart. The runtime does not use it: a subclass may redeclare it as
        whatever it likes.
        """
        return {}

    # --- hooks ------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Prepare; awaited before the first message. Raising here fails the start."""

    async def handle(self, message: Message) -> Message | None:
        """Handle one message; return `self.reply(...)` to answer an ask.

        Who asks and gets nothing has an `UnansweredError`; see `defer` for a later answer.
        """
        return None

    async def on_unhandled(self, message: Message) -> Handled:
        """Handle a message of a type that no method with `@on` takes; what it returns answers it.

        It is called in classes with such methods only. The default refuses the message: who asked
        gets a MessageValidationError that names the types; a message that nobody asked is a dead
        letter.
        """
        raise handlers.unhandled(type(self), self.name, message)

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        """Decide what becomes of a message whose handling raised. The default is ESCALATE.

        `return self.retry(after=5.0)` is RETRY after so many seconds.
        """
        return ErrorAction.ESCALATE

    async def on_stop(self) -> None:
        """Clean up; awaited whenever a started agent ends, also after a crash."""

    # --- verbs, for use inside the hooks ------------------------------------------------------

    def send(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = "message",
        headers: Headers = None,
        ttl: float | None = None,
        priority: int = 0,
    ) -> Coroutine[Any, Any, None]:
        """Send a message: `await self.send(...)` returns when the recipient's mailbox has taken it.

        Args:
            recipient: name of an agent.
            payload: a dict, or another mapping, of JSON-like values; or a model: an object of a
                dataclass, a pydantic model or a msgspec Struct, whose message type is its own.
            message_type: says what it is; types that begin with `_agency.` are reserved.
            headers: text by name, 4 KiB at most, that the message bears beside its payload. A
                `traceparent` (W3C) makes it part of that trace.
            ttl: seconds after which it is dropped unhandled; None for no limit.
            priority: carried for the application, 32 bits; delivery does not depend on it.

        Raises:
            MessageRoutingError: there is no such agent.
            MailboxFullError: there was no room in time.
            SerializationError: a value can't be sent; the message names its path.
            MessageValidationError: an argument is of a wrong type, or the message type reserved.
        """
        send = self._civitas_binding.sender.send
        return send(recipient, payload, message_type, headers, ttl, priority)

    @overload
    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
        headers: Headers = ...,
    ) -> Coroutine[Any, Any, Message]: ...

    @overload
    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = ...,
        timeout: float | None = ...,
        headers: Headers = ...,
        *,
        reply: type[R],
    ) -> Coroutine[Any, Any, R]: ...

    def ask(
        self,
        recipient: str,
        payload: Payload,
        message_type: str = "message",
        timeout: float | None = 30.0,
        headers: Headers = None,
        *,
        reply: type[R] | None = None,
    ) -> Coroutine[Any, Any, Message] | Coroutine[Any, Any, R]:
        """Send a message: `await self.ask(...)` returns its answer.

        Args:
            recipient: name of an agent.
            payload: as for `send`.
            message_type: says what it is.
            timeout: seconds for the wait for room and for the answer together; None for no limit.
            headers: as for `send`.
            reply: a model of which the answer is to be an object; None for the Message itself.

        Raises:
            AgentError: the asked agent raised.
            AskDeadlockError: the asked agent waits for this one.
            TimeoutError: no answer in time; MailboxFullError when there was not even room.
            MessageRoutingError: there is no such agent.
            MessageValidationError: the agent refuses the message, or its answer is no such object.
        """
        asking = self._civitas_binding.sender.ask(
            recipient, payload, message_type, timeout, headers
        )
        if reply is None:
            return asking
        from civitas._typed.answers import as_model  # a process without models does without

        return as_model(asking, reply)

    async def broadcast(
        self, pattern: str, payload: Payload, message_type: str = "message", headers: Headers = None
    ) -> None:
        """Send to every agent whose name matches a shell pattern, such as `worker_*`.

        Raises:
            CivitasError: a recipient did not get it; an ExceptionGroup when several did not.
        """
        await self._civitas_binding.sender.broadcast(pattern, payload, message_type, headers)

    def reply(self, payload: Payload) -> Message:
        """Make the answer, for `handle` to return. Its type is `reply`, or that of a model."""
        return self._civitas_binding.sender.reply(payload)

    def defer(self) -> Deferred:
        """Answer the message being handled later: return None from `handle`, and keep this.

            later = self.defer()
            self.tasks.add(asyncio.create_task(self.work(message, later)))

        and, in `work`, `await later.reply({...})` or `await later.fail(error)`: once, from any
        task of this process. An agent may have `mailbox_size` of them open. A stop waits for them
        within the agent's `shutdown_timeout`. When the agent ends before, or nobody holds the
        Deferred any more, who asked gets an AgentError at once. A durable transport keeps the
        message until then.

        Raises:
            RuntimeError: no message is being handled, or it was deferred before.
            MailboxFullError: too many are open.
        """
        return self._civitas_binding.sender.defer()

    def after(self, seconds: float, payload: Payload, message_type: str = "message") -> Timer:
        """Send a message to this agent itself, later.

        It comes as any message does, in the mailbox's turn, and has a trace of its own. The
        mailbox has a place reserved for it. It dies with this object: a restart begins without
        timers. What stops does not tick any more.

        Args:
            seconds: how much later; 0 for the end of the mailbox as it is now.
            payload: as for `send`; it is packed now.
            message_type: says what it is.

        Raises:
            MessageValidationError: an argument is wrong.
            SerializationError: a value can't be sent.
            MailboxFullError: this agent has `mailbox_size` timers.
            RuntimeError: this object has ended.
        """
        return self._civitas_binding.place.after(seconds, payload, message_type)

    def every(self, seconds: float, payload: Payload, message_type: str = "message") -> Timer:
        """Send a message to this agent itself after each period of so many seconds.

        The times are this one plus whole multiples of the period: nothing drifts. While a message
        of this timer is queued, and when the event loop was stalled, others are swallowed, and
        counted. `t.cancel()` of what this returns ends it; the rest is as for `after`.
        """
        return self._civitas_binding.place.every(seconds, payload, message_type)

    def background(self, coro: Coroutine[Any, Any, R], name: str | None = None) -> asyncio.Task[R]:
        """Run a coroutine beside the handlers, as long as this object lives.

        What it raises is a crash of this agent, at once. It is cancelled before `on_stop`, and
        awaited. It belongs to no message: each message that it sends begins a trace, and `reply`
        in it is an error.

        Args:
            coro: what to run, such as `self.poll()`.
            name: for errors and logs; that of the coroutine when left out.

        Returns:
            The task. It need not be kept; cancel it when it is not needed any more.

        Raises:
            MessageValidationError: an argument is wrong, such as a function instead of a coroutine.
            RuntimeError: this object has ended.
        """
        return self._civitas_binding.place.background(coro, name)

    def retry(self, after: float) -> Retry:
        """Return RETRY, for `on_error`, with a delay of its own: `return self.retry(after=5.0)`.

        Meanwhile the message keeps its place, and none after it is handled. A stop does not wait
        for it. After `max_retries` times it escalates, as RETRY does.

        Raises:
            MessageValidationError: `after` is no finite number of seconds of at least 0.
        """
        return Retry(as_seconds(after, "retry() takes"))

    def stop(self) -> _Done:
        """Say that this agent is done: it ends after the message being handled.

        It is not restarted. When all agents have ended, so does the runtime.
        """
        self._civitas_binding.sender.check_loop()
        self._civitas_binding.place.leave()
        return _DONE

    @property
    def status(self) -> ProcessStatus:
        """Where this agent is in its life."""
        return self._civitas_binding.place.status()
