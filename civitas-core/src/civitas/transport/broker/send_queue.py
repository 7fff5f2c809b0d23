"""SendQueue: frames on their way to a broker, each with somebody who waits for its outcome.

One task hands them to the wire, in order. So a sender that is cancelled never leaves half a frame
behind. Its frame is sent all the same, also when it still waits: core has numbered it, and behind a
number that never comes the receiver would see a loss.

    a frame                            | becomes of it       | its sender gets
    -----------------------------------+---------------------+-----------------------------------
    waits; the connection ends         | not sent            | NotConnectedError
    is with the wire, which returns    | sent                | -
    ... refuses it                     | the wire knows      | the wire's error
    ... raises NotConnectedError       | not sent            | NotConnectedError
    ... raises anything else           | nobody knows        | OutcomeUnknownError
    either; its sender is cancelled    | as above            | CancelledError, caused by
                                       |                     | OutcomeUnknownError
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from civitas.errors import NotConnectedError, OutcomeUnknownError
from civitas.transport.broker.wire import Outgoing, Wire

_BATCH_BYTES: Final = 1 << 20
"""Bytes that are handed to a wire at once; a probe waits for no more than these."""


class SendQueue:
    """Hands frames to one wire.

    Args:
        wire: the wire.
        place: where the broker is, for messages.
    """

    def __init__(self, wire: Wire, place: str) -> None:
        self._wire = wire
        self._place = place
        self._waiting: deque[Outgoing] = deque()
        self._has_more = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._closed = False

    async def send(self, address: str, frame: bytes, *, first: bool = False) -> None:
        """Send a frame, behind all that wait, or before them.

        Raises:
            NotConnectedError: it was not sent.
            OutcomeUnknownError: it may or may not have been sent.
            Exception: the wire has refused it.
        """
        if self._closed:
            raise self._not_sent()
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        outgoing = Outgoing(address, frame, outcome)
        if first:
            self._waiting.appendleft(outgoing)
        else:
            self._waiting.append(outgoing)
        self._is_idle.clear()
        self._has_more.set()
        try:
            await outcome
        except asyncio.CancelledError as error:
            raise error from OutcomeUnknownError("it is sent all the same, and not confirmed yet")

    async def run(self) -> None:
        """Hand over what waits, until the wire fails; raise why."""
        while True:
            await self._has_more.wait()
            self._has_more.clear()
            while batch := self._next_batch():
                try:
                    await self._wire.publish(batch)
                except BaseException as error:  # also when it is cancelled
                    unsent = isinstance(error, NotConnectedError)
                    for each in batch:
                        each.refuse(self._not_sent() if unsent else self._unknown())
                    raise
                for each in batch:
                    each.sent()
            self._is_idle.set()

    async def wait_idle(self) -> None:
        """Return when nothing waits, and the wire has got all and confirmed it."""
        await self._is_idle.wait()

    def close(self) -> None:
        """Take no more, and tell those whose frames still wait."""
        self._closed = True
        for each in self._waiting:
            each.refuse(self._not_sent())
        self._waiting.clear()
        self._is_idle.set()

    def _next_batch(self) -> list[Outgoing]:
        batch: list[Outgoing] = []
        left = _BATCH_BYTES
        while self._waiting and left > 0:
            outgoing = self._waiting.popleft()
            batch.append(outgoing)
            left -= len(outgoing.frame)
        return batch

    def _not_sent(self) -> NotConnectedError:
        return NotConnectedError(f"the connection to {self._place} is lost: not sent")

    def _unknown(self) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"the connection to {self._place} was lost before it was confirmed: what was sent may "
            f"have arrived or not"
        )
