"""DeadLetterStore: what a plugin does for commands about the messages that its transport keeps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol


class Kept(Enum):
    """Which of the messages that a transport keeps."""

    DEAD = "dead letter"
    """Given up: failed too often, or unreadable."""
    WAITING = "waiting message"
    """Kept for its agent, which may have it in hand; also for a name that no process has."""


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message that a transport keeps.

    Attributes:
        kept: whether it was given up, or waits.
        number: names it for as long as it is kept, among those of its kind. It is positive, and
            greater than those of the messages that came earlier.
        agent: the agent that it is kept for, or was given up by.
        frame: the message, as it was published; its count of deliveries may differ.
        time: seconds since the epoch at which it was given up, or began to wait.
        reason: why it was given up; empty where that is not known, or it waits.
        deliveries: times that it was given to the agent, where that is known; otherwise 0.
        details: what else the transport knows of it, as values for JSON.
    """

    kept: Kept
    number: int
    agent: str
    frame: bytes
    time: float
    reason: str = ""
    deliveries: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are read.

    Attributes:
        kept: dead letters, or what waits.
        agent: those of this agent; of all agents when None.
        numbers: those with these numbers; all when empty.
        last: those up to this number; all when None.
    """

    kept: Kept = Kept.DEAD
    agent: str | None = None
    numbers: tuple[int, ...] = ()
    last: int | None = None

    def matches(self, message: KeptMessage) -> bool:
        """Return whether a message is selected."""
        return (
            message.kept is self.kept
            and self.agent in (None, message.agent)
            and (not self.numbers or message.number in self.numbers)
            and (self.last is None or message.number <= self.last)
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """How many messages are kept.

    Attributes:
        counts: their number for each name that has any, whoever reads them.
        last: the greatest number that one of them has, or had; 0 for none.
    """

    counts: Mapping[str, int]
    last: int


class DeadLetterStore(Protocol):
    """What a transport keeps, for commands, apart from any node.

    A plugin whose transport claims `at_least_once` offers it with `TransportSpec.dead_letters`. It
    has a connection of its own, and takes part in nothing: no message is given to it, and none is
    acknowledged. Agents may run meanwhile.

    All methods but `stop` raise TransportError, or an error below it, when the broker does not
    answer or refuses, and ConfigurationError when what it keeps is not there or is another's; the
    text says what to do. None waits for ever.
    """

    async def start(self) -> None:
        """Connect. Nothing is created."""
        ...

    async def stop(self) -> None:
        """Disconnect, and leave nothing behind. Idempotent, also half-started."""
        ...

    async def survey(self, kept: Kept) -> Survey:
        """Count what is kept for every name, also for those that nobody reads."""
        ...

    def read(self, selection: Selection) -> AsyncGenerator[KeptMessage, None]:
        """Give what is selected, in the order in which it came; all of it stays.

        Numbers that are not there are passed over. Messages may be removed meanwhile.
        """
        ...

    async def add(self, agent: str, frame: bytes, key: str) -> None:
        """Return when a frame is kept for an agent, as if it had been published just now.

        Where the broker can tell, a frame that is added again with the same key is kept once: its
        removal may have failed.

        Raises:
            MailboxFullError: there was no room in time.
            MessageTooLargeError: the frame is larger than this transport carries.
            NotConnectedError: the frame was not sent.
            OutcomeUnknownError: it may or may not be kept.
        """
        ...

    async def remove(self, message: KeptMessage) -> None:
        """Remove a message for good; one that is not there any more is no error."""
        ...
