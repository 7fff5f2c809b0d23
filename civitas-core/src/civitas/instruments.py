"""Instruments: what watches the messages and the lives of a node's agents.

An instrument is any class with some of the methods of `Instrument`; an `InstrumentSpec` of
`civitas.plugins` gives it a name for topologies. It is called in the event loop of its node, and
may call `stats` of the node in any thread. What one of its methods raises is logged once and
counted, and touches no message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from civitas.messages import Message


@dataclass(frozen=True, slots=True)
class NodeView:
    """What an instrument sees of its node.

    Attributes:
        process: the node's process name.
        node: the node's id, 16 hex digits.
        role: primary, worker or client.
        stats: returns the node's counters as they are now, as JSON-like values: what `civitas
            stats --json` has of one node. It may be called in any thread.
    """

    process: str
    node: str
    role: str
    stats: Callable[[], Mapping[str, Any]]


class Execution(Protocol):
    """A context manager around one execution of an agent's `handle`.

    Class-based: its two methods are called in the agent's task, directly before `handle` and
    directly after it, so that a context variable that the first sets is seen by the handler.
    """

    def __enter__(self) -> object:
        """Take note that the handler begins."""
        ...

    def __exit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> object:
        """Take note of what the handler came to: its error, or three times None.

        An agent that is cancelled has a CancelledError. What this returns counts for nothing: an
        error of the handler's stays one.
        """
        ...


class Instrument(Protocol):
    """The methods that an instrument may have; it has one at least. No base class is needed."""

    def start(self, node: NodeView) -> Awaitable[None] | None:
        """Begin, before the node's transport does; it may be async, and has 10 s.

        An instrument that can't start takes no part: of its other methods `stop` alone is called.
        """
        ...

    def stop(self) -> Awaitable[None] | None:
        """End, after the node's transport has; it may be async, and has 10 s."""
        ...

    def sending(self, message: Message) -> None:
        """See a message that an agent, or a caller of the node, is about to send, or asks with.

        It is called where the verb is called, in the caller's task, before the message is encoded:
        what it writes into `message.headers` goes with it. Whether somebody takes the message is
        not known yet. Of a broadcast it sees each message.
        Answers are no messages of their own: `handling` sees that a request is done.
        """
        ...

    def handling(self, role: str, message: Message) -> Execution | None:
        """Return a context manager for one execution of `handle`; None to leave this one out.

        A retry is an execution of its own, and so is a redelivery (`message.attempt` counts them).

        Args:
            role: the agent's name; of a member of a role, such as `worker~3`, that of the role.
            message: the message, as the handler is given it.
        """
        ...

    def dead_letter(self, item: Message | bytes, reason: str) -> None:
        """See a message, or a frame that could not be read, that is not delivered, and why."""
        ...

    def crashed(self, agent: str, error: BaseException) -> None:
        """See that an agent has crashed, or could not start.

        It is told in the agent's own node; of a process that was lost, in the primary.
        """
        ...

    def restarted(self, agent: str) -> None:
        """See that a fresh object has started in an agent's place, in its own node."""
        ...


def role_of(agent: str) -> str:
    """Return the role of an agent: its name, or of a member of one, what stands before the `~`."""
    return agent.partition("~")[0]
