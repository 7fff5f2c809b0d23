"""Settlement of a durable message: a frame that its transport keeps until its outcome is known."""

from __future__ import annotations

import asyncio
from typing import Self

from civitas.envelope import attempt_of


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
