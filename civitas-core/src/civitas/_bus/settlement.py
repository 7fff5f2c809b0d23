"""Delivery: a frame that its transport gives again until it is processed, and what came of it."""

from __future__ import annotations

import asyncio
from typing import Protocol, Self

from civitas._bus.mailbox import Mailbox
from civitas.envelope import attempt_of


class Delivery(bytes):
    """A frame together with its outcome; to mailbox and bus it is a frame like any other.

    Whoever has it in hand says once what came of it; what is said later changes nothing.

    Attributes:
        outcome: None when it is processed, else the error to raise out of the transport's handler.
    """

    outcome: asyncio.Future[Exception | None]

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
        """Say that it is done with: the transport acknowledges it."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failed(self, error: Exception) -> None:
        """Say why it is not done with: the transport judges by the error's class."""
        if not self.outcome.done():
            self.outcome.set_result(error)


class Doorkeeper(Protocol):
    """Who decides whether agents of this node take any more frames."""

    rejecting: bool
    """Whether they take none: the node stops."""

    async def reject_while_stopping(self, frame: bytes, agent: str) -> None:
        """Deal with a frame that is not taken: return when it is done with, or raise."""
        ...


class DurableReceiver:
    """The handler of one agent's address on a transport that is at-least-once.

    Awaiting it ends when the agent has processed the frame, and raises when it has not; see
    `civitas.transport.Handler` for what each error means. Cancelled, it takes the frame out of the
    mailbox again; what an agent that has it in hand makes of it is then nobody's concern.

    Args:
        mailbox: takes the frames.
        doorkeeper: is asked for each frame.
    """

    __slots__ = ("_doorkeeper", "_mailbox", "delivered")

    def __init__(self, mailbox: Mailbox[bytes], doorkeeper: Doorkeeper) -> None:
        self._mailbox = mailbox
        self._doorkeeper = doorkeeper
        self.delivered = 0

    async def __call__(self, frame: bytes) -> None:
        """Have the agent process a frame.

        Raises:
            ProcessingError: the agent failed.
            FrameError: it can never be read.
            DeserializationError: it can never be read.
            MessageRoutingError: it was not executed.
        """
        if self._doorkeeper.rejecting:
            await self._doorkeeper.reject_while_stopping(frame, self._mailbox.name)
            return
        delivery = Delivery(frame)
        try:
            if not self._mailbox.put_nowait(delivery):
                await self._mailbox.put(delivery, None)
            self.delivered += 1
            error = await delivery.outcome
        except asyncio.CancelledError:
            self._mailbox.withdraw(delivery)
            raise
        if error is not None:
            raise error
