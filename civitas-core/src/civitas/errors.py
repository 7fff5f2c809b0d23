"""The error tree: all that Civitas raises on purpose; and what any exception of others comes to."""

from __future__ import annotations

import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from civitas import _interrupt, _text

if TYPE_CHECKING:
    import asyncio

TEXT_LIMIT: Final = _text.TEXT_LIMIT
"""Bytes of UTF-8 that the text of an exception has at most where it is logged or sent."""

printable: Final = _text.printable
logger_of: Final = _text.logger_of
escape_record: Final = _text.escape_record
is_interrupt: Final = _interrupt.is_interrupt


class ErrorAction(Enum):
    """What an agent wants done after its `handle` raised."""

    RETRY = "RETRY"
    """Run `handle` again with it, after `retry_delay`, up to `max_retries`, then escalate."""
    SKIP = "SKIP"
    """Give this message up and go on with the next one."""
    ESCALATE = "ESCALATE"
    """Crash: the supervisor decides."""
    STOP = "STOP"
    """End this agent; it is not restarted."""


class Location(NamedTuple):
    """Where in a topology something stands. `line` counts from 1."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class CivitasError(Exception):
    """Base of all errors of the runtime. `code` is stable and meant for programs.

    Its text is one line in which nothing is left that a terminal would obey: a text may have names
    and reasons of others in it. `args` has them as they came.
    """

    code: str = "civitas"

    def __str__(self) -> str:
        return printable(super().__str__(), sys.maxsize)


class ConfigurationError(CivitasError):
    """A topology, an option or an argument is wrong."""

    code = "configuration"


class PluginError(CivitasError):
    """A plugin can't be used; its subclasses say why."""

    code = "plugin"


class MessageValidationError(CivitasError):
    """A message can't be sent as it is, its agent refuses it, or an answer is not as it should be.

    Attributes:
        path: where in a payload the value is that does not fit, such as `payload.cents`; else "".
    """

    code = "message-invalid"

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class RefusedMessageError(MessageValidationError):
    """An agent refuses the message in hand, and goes on: the asker gets MessageValidationError.

    Attributes:
        reason: what the message is counted by, as a dead letter: one of few texts.
    """

    code = "message-refused"

    def __init__(self, message: str, path: str = "", reason: str = "its agent refused it") -> None:
        super().__init__(message, path)
        self.reason = reason


class MessageRoutingError(CivitasError):
    """There is no agent of that name, or it takes no more messages."""

    code = "message-routing"


class MailboxFullError(CivitasError, TimeoutError):
    """There was no room in the recipient's mailbox in time.

    It is a `TimeoutError` too: what ended the wait was `send_timeout`, or the timeout of `ask`.
    """

    code = "mailbox-full"


class SerializationError(CivitasError):
    """A message can't be turned into bytes.

    Attributes:
        path: where the offending value is, such as `payload.a.b`.
    """

    code = "serialization"

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DeserializationError(CivitasError):
    """Bytes can't be turned into a message."""

    code = "deserialization"


class FrameError(CivitasError):
    """Bytes from a transport are not a frame."""

    code = "frame"


class SignedFrameError(FrameError):
    """A frame is signed, and this node has no `cluster_key` to verify it with."""

    code = "frame-signed"


class UnauthenticatedFrameError(FrameError):
    """A frame is not signed with the `cluster_key` of this node, or was changed on its way."""

    code = "frame-unauthenticated"


class MessageTooLargeError(CivitasError):
    """A frame is larger than the transport carries."""

    code = "message-too-large"


class TransportError(CivitasError):
    """A transport could not do what it was asked to."""

    code = "transport"


class NotConnectedError(TransportError):
    """The transport is not started, already stopped, or has lost its peer."""

    code = "not-connected"


class AccessDeniedError(TransportError):
    """The broker does not let this process in, or forbids it an address."""

    code = "access-denied"


class OutcomeUnknownError(TransportError):
    """The message may or may not have been delivered."""

    code = "outcome-unknown"


class AskDeadlockError(CivitasError):
    """An ask would close a ring: each agent in it waits for the answer of the next, so none comes.

    Attributes:
        ring: names of the agents, from the asker to the asker: `("a", "b", "a")`.
    """

    code = "ask-deadlock"

    def __init__(self, ring: tuple[str, ...]) -> None:
        if len(ring) == 2:
            why = "the agent asked itself while it handled a message: call the method, or send"
        else:
            each = " -> ".join(map(repr, ring))
            why = f"each of these agents would wait for the next: {each}; let one send, or defer()"
        super().__init__(f"ask {ring[1]!r}: it could never answer, since {why}")
        self.ring = ring


class AgentError(CivitasError):
    """The asked agent raised instead of answering.

    Attributes:
        agent: name of the agent that raised.
        error_type: class name of the remote error, such as `ValueError`.
        error_text: text of the remote error.
    """

    code = "agent"

    def __init__(self, agent: str, error_type: str, error_text: str) -> None:
        said = f"{error_type}: {error_text}" if error_text else error_type
        super().__init__(f"agent {agent!r} failed to answer: {said}")
        self.agent = agent
        self.error_type = error_type
        self.error_text = error_text


class UnansweredError(AgentError):
    """The asked agent handled the message, but it neither answered nor deferred its answer."""

    code = "unanswered"

    def __init__(self, agent: str, reason: str) -> None:
        super().__init__(agent, "UnansweredError", reason)
        self.args = (f"agent {agent!r} gave no answer: {reason}",)


class ProcessingError(CivitasError):
    """An agent executed a message and failed. An at-least-once transport delivers it again.

    It is raised to the transport, not to a sender; `__cause__` is what the agent raised.

    Attributes:
        agent: name of the agent.
        error_type: class name of its error, such as `ValueError`.
        error_text: text of its error.
    """

    code = "processing-failed"

    def __init__(self, agent: str, error_type: str, error_text: str) -> None:
        super().__init__(f"agent {agent!r} failed to process it: {error_type}: {error_text}")
        self.agent = agent
        self.error_type = error_type
        self.error_text = error_text


class SpawnError(CivitasError):
    """An agent could not be started."""

    code = "spawn"


class IdentityError(CivitasError):
    """The node can't be in the system: a name of its is taken, or it was superseded."""

    code = "identity"


class RemoteCrashError(CivitasError):
    """An agent of another process crashed; the text has type and text of its error."""

    code = "remote-crash"


class NodeLostError(CivitasError):
    """The process of an agent has gone."""

    code = "node-lost"


class AbortError(CivitasError):
    """User code raised what is no `Exception`: SystemExit, or the BaseException of a library.

    It is a crash like any other.

    Attributes:
        raised: what was raised.
    """

    code = "abort"

    def __init__(self, raised: BaseException) -> None:
        super().__init__(str(describe(raised)))
        self.raised = raised
        self.__cause__ = raised


class TaskFailedError(CivitasError):
    """A task of a node or an agent ended unexpectedly: the node ends, the agent crashes.

    Attributes:
        task: what it was, such as "background task poll".
    """

    code = "task-failed"

    def __init__(self, task: str, error: BaseException) -> None:
        super().__init__(f"{task!r} has ended unexpectedly: {describe(error)}")
        self.task = task


class ErrorText(NamedTuple):
    """An exception in words that can be logged, sent and shown; see `describe`."""

    kind: str
    """Name of its class."""
    text: str
    """What it says, in one line; it may be empty."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


def describe(error: BaseException) -> ErrorText:
    """Return class and text of an exception; this never raises, whatever the exception does.

    The text is one line of at most `TEXT_LIMIT` bytes. Escaped in it is what can't be sent
    (surrogates) and what a terminal would obey (control characters, bidirectional marks).
    """
    if isinstance(error, AbortError):
        error = error.raised
    kind = _text.kind_of_error(error)
    try:
        return ErrorText(kind, printable(str(error)))
    except BaseException as failure:
        if is_interrupt(failure):
            raise
        return ErrorText(kind, f"(its text can't be had: __str__ raised {type(failure).__name__})")


def crash_of(error: BaseException) -> Exception:
    """Return the exception of foreign code as one that is judged and reported like any other.

    Raises:
        KeyboardInterrupt: `error` is one, and a signal has raised it: it ends the process.
    """
    if isinstance(error, StopIteration):
        return AbortError(error)  # neither a future nor a coroutine can raise it
    if isinstance(error, Exception):
        return error
    if is_interrupt(error):
        raise error
    return AbortError(error)


def crash_unless_cancelled(
    error: BaseException, what: str = "it", task: asyncio.Task[Any] | None = None
) -> Exception:
    """Return the exception of foreign code that was awaited, as `crash_of` does.

    Args:
        error: what was raised.
        what: the code that has raised it; it may have awaited something that others cancelled.
        task: the task that has awaited it, where an error may come after its end; else this one.

    Raises:
        BaseException: `error` itself, where it is meant for the task or its process: somebody has
            cancelled the task, its coroutine is destroyed, or a signal has raised it.
    """
    if isinstance(error, Exception):
        return crash_of(error)
    import asyncio  # a third of what `civitas --help` would load

    running = _running_task()
    if isinstance(error, GeneratorExit) and (task is None or running is not task):
        raise error
    if isinstance(error, asyncio.CancelledError):
        awaiting = task or running
        if awaiting is not None and awaiting.cancelling():
            raise error
        crash = RuntimeError(f"what {what} awaited was cancelled")
        crash.__cause__ = error
        return crash
    return crash_of(error)


def _running_task() -> asyncio.Task[Any] | None:
    import asyncio

    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return None
