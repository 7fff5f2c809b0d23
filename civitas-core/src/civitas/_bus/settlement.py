"""Settlement of a message: what becomes of a durable frame, and of one that was given up."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self

from civitas.envelope import attempt_of
from civitas.errors import MessageRoutingError, ProcessingError, describe


class DurableFrame(bytes):
    """A frame together with its outcome; to mailbox and codec it is a frame like any other.

    It is settled once, by whoever has it in hand; what is said later changes nothing:

        processed()      acknowledge it: processed, skipped, expired, or its asker has the error
        failed(error)    give it again, or make it a dead letter: `civitas.transport.Handler`
    """

    outcome: asyncio.Future[Exception | None]
    """None when it is processed, else the error to raise out of the transport's handler."""

    def __new__(cls, frame: bytes) -> Self:
        """Make one that waits for its outcome in the running event loop."""
        self = super().__new__(cls, frame)
        self.outcome = asyncio.get_running_loop().create_future()
        return self

    @property
    def redelivered(self) -> bool:
        """Whether the transport has given the frame before."""
        return attempt_of(self) > 0

    def processed(self) -> None:
        """Settle it: the transport acknowledges it."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, error: Exception) -> None:
        """Settle it with an error, by whose class the transport decides what becomes of it."""
        if not self.outcome.done():
            self.outcome.set_result(error)


class GivenUp(NamedTuple):
    """Why an agent does not execute a message to its end."""

    error: BaseException
    """What who asked gets as the answer."""
    failure: Exception
    """What a durable transport gets, where nobody asked."""
    executed: bool = True
    """Whether the agent has begun to execute it."""

    @classmethod
    def not_begun(cls, error: MessageRoutingError) -> Self:
        """It was never handled, and can be sent to somebody else."""
        return cls(error, error, executed=False)

    @classmethod
    def ended(cls, agent: str, crash: Exception | None) -> Self:
        """Its agent crashed, or (`crash` is None) was stopped, which is no fault of the message."""
        if crash is not None:
            return cls(crash, failure_of(agent, crash))
        why = "it was stopped before it could answer"
        return cls(asyncio.CancelledError(why), MessageRoutingError(f"agent {agent!r}: {why}"))


def failure_of(agent: str, error: BaseException) -> ProcessingError:
    """Return the error for a durable transport whose message an agent has failed to process."""
    said = describe(error)
    failure = ProcessingError(agent, said.kind, said.text)
    failure.__cause__ = error
    return failure
