"""The error tree: everything that Civitas raises on purpose is a CivitasError."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class ErrorAction(Enum):
    """What an agent wants done after its `handle` raised."""

    RETRY = "RETRY"
    """Run `handle` again with the same message, up to `max_retries`, then escalate."""
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
    """Base of all errors of the runtime. `code` is stable and meant for programs."""

    code: str = "civitas"


class ConfigurationError(CivitasError):
    """A topology, an option or an argument is wrong."""

    code = "configuration"


class PluginError(CivitasError):
    """A transport or a serializer can't be used; its subclasses say why."""

    code = "plugin"


class MessageValidationError(CivitasError):
    """A message can't be sent as it is: a reserved type, or a request that nobody can answer."""

    code = "message-invalid"


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


class MessageTooLargeError(CivitasError):
    """A frame is larger than the transport carries."""

    code = "message-too-large"


class TransportError(CivitasError):
    """A transport could not do what it was asked to."""

    code = "transport"


class NotConnectedError(TransportError):
    """The transport is not started, already stopped, or has lost its peer."""

    code = "not-connected"


class OutcomeUnknownError(TransportError):
    """The message may or may not have been delivered."""

    code = "outcome-unknown"


class AgentError(CivitasError):
    """The asked agent raised instead of answering.

    Attributes:
        agent: name of the agent that raised.
        error_type: class name of the remote error, such as `ValueError`.
        error_text: text of the remote error.
    """

    code = "agent"

    def __init__(self, agent: str, error_type: str, error_text: str) -> None:
        super().__init__(f"agent {agent!r} failed to answer: {error_type}: {error_text}")
        self.agent = agent
        self.error_type = error_type
        self.error_text = error_text


class ProcessingError(CivitasError):
    """An agent executed a message and failed: its transport, if at-least-once, gives it again.

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
