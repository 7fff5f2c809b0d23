"""AgentProcess: the class that agents derive from. It is no process of the operating system.

Its methods and attributes are what authors use or override, and nothing else: every other name is
theirs. What the runtime keeps with an agent object is behind one attribute, the binding, and what
it does to an agent is done by the functions at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from enum import Enum
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, NoReturn, Protocol, Self, TypeAlias, TypeVar, overload

from civitas._bus.deferred import Deferred
from civitas._bus.mailbox import DEFAULT_SIZE
from civitas._bus.sender import Sender
from civitas._typed import handlers
from civitas._typed.shapes import Handled, Payload
from civitas.errors import ErrorAction, NotConnectedError
from civitas.messages import Message

__all__ = ["AgentProcess", "Deferred", "ProcessStatus"]

A = TypeVar("A", bound="AgentProcess")
R = TypeVar("R")

Headers: TypeAlias = Mapping[str, str] | None
_Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


class ProcessStatus(Enum):
    """Where an agent is in its life."""

    INITIALIZING = "INITIALIZING"
    """Not started yet, or in `on_start`."""
    RUNNING = "RUNNING"
    """Handling messages, or waiting for one."""
    CRASHED = "CRASHED"
    """Down, until its supervisor starts it again."""
    STOPPING = "STOPPING"
    """Told to stop, and not yet done with it."""
    STOPPED = "STOPPED"
    """Ended for good."""


class _Done:
    """What `stop` returns, so that both `self.stop()` and `await self.stop()` work."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


_DONE = _Done()


class Place(Protocol):
    """Where an agent object is in a runtime."""

    def leave(self) -> None:
        """End the agent after the message in hand: it is done."""
        ...

    def status(self) -> ProcessStatus:
        """Return where the agent is in its life."""
        ...


class _Unconnected:
    """Stands for the sender, and for the place, of an agent that no runtime has started."""

    __slots__ = ("_agent",)

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent

    def send(self, *_: object) -> NoReturn:
        name = getattr(self._agent, "name", type(self._agent).__name__)
        raise NotConnectedError(
            f"agent {name!r} is not running in a runtime yet; its verbs work inside its hooks"
        )

    ask = broadcast = reply = defer = check_loop = leave = send

    @staticmethod
    def status() -> ProcessStatus:
        return ProcessStatus.INITIALIZING


class _Binding:
    """What the runtime keeps with one agent object."""

    __slots__ = ("arguments", "place", "sender")

    def __init__(self, agent: AgentProcess, arguments: _Arguments) -> None:
        unconnected = _Unconnected(agent)
        self.arguments = arguments
        """Those of the constructor."""
        self.sender: Sender | _Unconnected = unconnected
        """What the verbs act through."""
        self.place: Place = unconnected
        """What `stop` and `status` act through."""


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

    Example:
        A greeter, and how it is asked:

            class Greeter(AgentProcess):
                async def handle(self, message):
                    return self.reply({"text": f"Hello, {message.payload['name']}!"})

            async with Runtime(Supervisor("root", children=[Greeter("greeter")])) as runtime:
                reply = await runtime.ask("greeter", {"name": "Ada"})
    """

    name: str
    _civitas_binding: _Binding

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
        object.__setattr__(self, "_civitas_binding", _Binding(self, (args, kwargs)))
        return self

    def __init__(
        self,
        name: str,
        mailbox_size: int = DEFAULT_SIZE,
        max_retries: int = 3,
        shutdown_timeout: float = 30.0,
        handle_timeout: float | None = None,
        concurrency: int = 1,
    ) -> None:
        self.name = name
        self.mailbox_size = mailbox_size
        self.max_retries = max_retries
        self.shutdown_timeout = shutdown_timeout
        self.handle_timeout = handle_timeout
        self.concurrency = concurrency

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

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        """Decide what becomes of a message whose handling raised. The default is ESCALATE."""
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


# --- for the runtime ------------------------------------------------------------------------------

_binding: Final[Callable[[AgentProcess], _Binding]] = attrgetter("_civitas_binding")
_SETTINGS: Final = (
    "mailbox_size", "max_retries", "shutdown_timeout", "handle_timeout", "concurrency",
)  # fmt: skip
_all_attributes: Final = attrgetter("name", *_SETTINGS, "_civitas_binding")


def is_complete(agent: AgentProcess) -> bool:
    """Return whether the constructors of AgentProcess have run."""
    try:
        _all_attributes(agent)
    except AttributeError:
        return False
    return True


def connect(agent: AgentProcess, sender: Sender, place: Place) -> None:
    """Connect an agent's verbs, its `stop` and its `status`; the slot does so before `on_start`."""
    binding = _binding(agent)
    binding.sender = sender
    binding.place = place


def respawn(agent: A) -> A:
    """Return a fresh object from the captured constructor arguments, with the same settings."""
    args, kwargs = _binding(agent).arguments
    fresh = type(agent)(*args, **kwargs)
    configure(fresh, agent)
    return fresh


def configure(agent: AgentProcess, source: object) -> None:
    """Override settings from outside the constructor: take those that `source` has as attributes.

    It is a block of a topology, or another agent; None keeps what the constructor has set.
    """
    for name in _SETTINGS:
        value = getattr(source, name)
        if value is not None:
            setattr(agent, name, value)


def leave(agent: AgentProcess) -> None:
    """End an agent after the message in hand, as its own `stop` does, whatever it made of that."""
    _binding(agent).place.leave()
