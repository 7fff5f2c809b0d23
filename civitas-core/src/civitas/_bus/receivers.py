"""Receivers: the handlers of agents' addresses, which put frames into mailboxes.

Which one an agent has depends on its node's transport: within one process the sender itself waits
for room; from other nodes frames are numbered, so nobody waits; of a durable transport a frame is
held until it is settled.

An agent's address takes messages. A reply there is refused; so is a message that has come before,
and one whose number its sender can't have got to (`windows`). What is refused is dropped, and
counted by a reason of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from civitas._bus.accounting import NUMBER_AT, ReceiveAccounting, number_of, unpack_number
from civitas._bus.mailbox import Item, Mailbox, has_entered
from civitas._bus.settlement import DurableFrame
from civitas.envelope import KIND_MESSAGE, KIND_SYSTEM, MAGIC, NODE_AT
from civitas.errors import FrameError, MessageRoutingError
from civitas.transport import Handler

_SHORTEST_FRAME: Final = 27

_NO_MESSAGE: Final = "no message, at an agent's address"
_REPEATED: Final = "a message that had come before"
_BEYOND: Final = "numbered beyond its sender's window"
_NOT_LAST: Final = "a last number that its sender can't have"

Dropped: TypeAlias = Callable[[str, bytes], None]
"""Called with (reason, frame) for each frame that is refused."""


class LocalReceiver:
    """Takes frames of this process: the sender waits `send_timeout` seconds for room."""

    __slots__ = ("_mailbox", "_put_nowait", "_send_timeout", "delivered")

    def __init__(self, mailbox: Mailbox[Item], send_timeout: float) -> None:
        self._mailbox = mailbox
        self._put_nowait = mailbox.put_nowait
        self._send_timeout = send_timeout
        self.delivered = 0

    async def handler(self, frame: bytes) -> None:
        """Put a frame into the mailbox. This is the receiving half of the hot path.

        It is a bound method: calling an object costs three times as much (Python 3.11).
        """
        if not self._put_nowait(frame):
            try:
                await self._mailbox.put(frame, self._send_timeout)
            except asyncio.CancelledError as error:
                self.delivered += has_entered(error)
                raise
        self.delivered += 1


class NumberedReceiver:
    """Takes frames that other nodes have numbered, and accounts for them.

    A frame without a number waits `send_timeout` seconds for room.
    """

    __slots__ = ("_accounting", "_agent", "_dropped", "_mailbox", "_send_timeout", "delivered")

    def __init__(
        self,
        mailbox: Mailbox[Item],
        accounting: ReceiveAccounting,
        send_timeout: float,
        dropped: Dropped,
    ) -> None:
        self._dropped = dropped
        self._agent = mailbox.name
        self._mailbox = mailbox
        self._accounting = accounting
        self._send_timeout = send_timeout
        self.delivered = 0

    @property
    def handler(self) -> Handler:
        """The object itself, for its method `take`."""
        return self

    def take(self, frame: bytes) -> bool:
        """Put a frame into the mailbox without waiting, or return False."""
        window, number = None, 0
        # `_has_header` and `number_of`, written out: every frame from elsewhere passes here.
        if len(frame) >= _SHORTEST_FRAME and frame[0] == MAGIC:
            if KIND_MESSAGE < frame[2] <= KIND_SYSTEM:
                self._take_other(frame)
                return True
            number = unpack_number(frame, NUMBER_AT)[0]
        if number:
            window = self._accounting.window(frame[NODE_AT], self._agent)
            if window is not None and not window.takes(number):
                self._dropped(_REPEATED if number <= window.seen else _BEYOND, frame)
                return True
        try:
            if not self._mailbox.put_nowait(frame):
                return False
        except MessageRoutingError:  # it has closed: who gave the frame counts it as dropped
            self._account(frame, number)
            raise
        self.delivered += 1
        if window is not None:
            self._accounting.taken(window, frame, number, self._agent)
        return True

    async def __call__(self, frame: bytes) -> None:
        """Put a frame into the mailbox, waiting for room.

        A numbered frame waits as long as it takes: its sender has let go of it, and its window
        bounds how many can wait.
        """
        if self.take(frame):
            return
        number = number_of(frame) if _has_header(frame) else 0
        try:
            await self._mailbox.put(frame, None if number else self._send_timeout)
        except MessageRoutingError:
            self._account(frame, number)
            raise
        except asyncio.CancelledError as error:
            if has_entered(error):
                self.delivered += 1
                self._account(frame, number)
            raise
        self.delivered += 1
        self._account(frame, number)

    def _account(self, frame: bytes, number: int) -> None:
        if number:
            self._accounting.arrived(frame, number, self._agent)

    def _take_other(self, frame: bytes) -> None:
        """Take what is no message: the mark behind the last frame of a sender."""
        if frame[2] != KIND_SYSTEM:
            self._dropped(_NO_MESSAGE, frame)
        elif not self._accounting.marked(frame, self._agent):
            self._dropped(_NOT_LAST, frame)


class DurableReceiver:
    """Takes frames of a transport that is at-least-once.

    `reject` deals with a frame while the node stops and takes no more: it returns True, or raises,
    when it has; False when the node takes frames.
    """

    __slots__ = ("_dropped", "_mailbox", "_reject", "delivered")

    def __init__(
        self,
        mailbox: Mailbox[Item],
        reject: Callable[[bytes, str], Awaitable[bool]],
        dropped: Dropped,
    ) -> None:
        self._dropped = dropped
        self._mailbox = mailbox
        self._reject = reject
        self.delivered = 0

    @property
    def handler(self) -> Handler:
        """The object itself, for its attribute `concurrency`."""
        return self

    @property
    def concurrency(self) -> int:
        """How many frames it may be awaited with at once: as many as the agent has in hand."""
        return self._mailbox.concurrency

    async def __call__(self, frame: bytes) -> None:
        """Return when the agent has processed the frame, and raise when it has not.

        `civitas.transport.Handler` says what each error means. Cancelled, it takes the frame out
        of the mailbox again; nobody waits then for what an agent that has it in hand makes of it.

        Raises:
            ProcessingError: the agent failed.
            FrameError, DeserializationError: it can never be read.
            MessageRoutingError: it was not executed.
        """
        if _has_header(frame) and KIND_MESSAGE < frame[2] <= KIND_SYSTEM:
            self._dropped(_NO_MESSAGE, frame)
            raise FrameError(f"a frame of kind {frame[2]} is no message")
        if await self._reject(frame, self._mailbox.name):
            return
        durable = DurableFrame(frame)
        try:
            if not self._mailbox.put_nowait(durable):
                await self._mailbox.put(durable, None)
            self.delivered += 1
            error = await durable.outcome
        except asyncio.CancelledError:
            self._mailbox.withdraw(durable)
            raise
        if error is not None:
            raise error


def _has_header(frame: bytes) -> bool:
    """Return whether the bytes can be looked into; what is no frame is refused where it is read."""
    return len(frame) >= _SHORTEST_FRAME and frame[0] == MAGIC
