"""Consumer: one agent's messages, from the stream to its handler.

They are handled in the order of the stream, one after the other, while a window of those behind is
held here already. One that fails is given again in its place, so that nothing overtakes it. What
is held stays the server's until it is acknowledged: nothing is lost with this process.
"""

from __future__ import annotations

import asyncio
from typing import Final

from civitas import envelope
from civitas.errors import CivitasError, DeserializationError, FrameError, ProcessingError
from civitas.transport import Handler
from civitas_nats.jetstream.around import Around
from civitas_nats.jetstream.dead_letters import DeadLetter
from civitas_nats.jetstream.intake import GIVEN_UP, PROCESSED, Intake
from civitas_nats.jetstream.lease import Lease
from civitas_nats.jetstream.record import Inheritance
from civitas_nats.jetstream.window import Held
from civitas_nats.tasks import end

_SHORTEST_RETRY: Final = 0.05
"""Seconds before a message is given again that was not even begun."""

_AFTER_TROUBLE: Final = 0.5
"""Seconds between two tries to store a dead letter."""


class Consumer:
    """Gives the messages of one agent to its handler.

    Args:
        agent: the agent's name.
        subject: where its messages are.
        handler: finishes when the agent has processed a message, and raises when it has failed.
        around: what all consumers of the process share.
    """

    def __init__(self, agent: str, subject: str, handler: Handler, around: Around) -> None:
        self._agent = agent
        self._handler = handler
        self._around = around
        self._options = around.options
        self._logger = around.context.logger
        self._lease = Lease(agent, subject, around)
        self._intake = Intake(agent, self._lease, around, self._let_go)
        self._inheritance: Inheritance | None = None
        self._worker: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take over from whoever read the messages before, and begin.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        self._inheritance = await self._lease.take()
        await self._intake.open()
        loop = asyncio.get_running_loop()
        self._worker = loop.create_task(self._work(), name=f"civitas nats agent {self._agent}")

    async def close(self) -> None:
        """End, and give back what is held: the next reader gets it at once, in order."""
        await end(self._worker)
        await self._intake.close()

    def restored(self) -> None:
        """Look for what was lost with the connection."""
        self._intake.doubt()

    async def _let_go(self) -> None:
        """Handle nothing more: another process does."""
        await end(self._worker)

    async def _work(self) -> None:
        """Handle message after message. This is the hot path."""
        intake = self._intake
        while True:
            held = await intake.next()
            if self._inheritance is not None:
                await self._inherit(self._inheritance, held)
            await intake.finish(await self._process(held))

    async def _process(self, held: Held) -> bytes:
        """Give a message to the agent until it is processed or given up; return which."""
        reason = "its process ended while it was handled"
        while held.deliveries < self._options.max_deliver:
            try:
                await self._handler(_stamped(held))
            except (FrameError, DeserializationError) as error:
                await self._bury(held, f"unreadable: {error}")
                return GIVEN_UP
            except ProcessingError as error:
                reason = f"{error.error_type}: {error.error_text}"
            except Exception as error:  # noqa: BLE001 - it was not executed, whatever the error
                self._logger.debug("%r did not begin a message: %s", self._agent, error)
                await asyncio.sleep(max(self._options.retry_delay, _SHORTEST_RETRY))
                continue
            else:
                return PROCESSED
            held.deliveries += 1
            if held.deliveries < self._options.max_deliver:
                await self._remember(held)
                await asyncio.sleep(self._options.retry_delay)
        await self._bury(held, reason)
        self._around.context.dropped("given up after max_deliver deliveries", held.frame)
        return GIVEN_UP

    async def _inherit(self, inheritance: Inheritance, first: Held) -> None:
        """Take over what is known of the first message."""
        self._inheritance = None
        first.deliveries = inheritance.deliveries_of(first.number)
        if first.deliveries:
            await self._remember(first)

    async def _remember(self, held: Held) -> None:
        try:
            await self._lease.remember(held)
        except CivitasError as error:
            self._logger.warning("deliveries to %r are not written down: %s", self._agent, error)

    async def _bury(self, held: Held, reason: str) -> None:
        """Store a dead letter; the message stays where it is until that is done."""
        letter = DeadLetter(self._agent, held.frame, reason, held.deliveries, held.number)
        told = False
        while True:
            try:
                await self._around.dead_letters.add(letter)
            except CivitasError as error:
                if not told:
                    told = True
                    self._logger.warning(
                        "a dead letter of %r is not stored: %s", self._agent, error
                    )
                await asyncio.sleep(_AFTER_TROUBLE)
            else:
                self._logger.error("a message to %r is a dead letter: %s", self._agent, reason)
                return


def _stamped(held: Held) -> bytes:
    """Return the frame with the count of its earlier deliveries."""
    return envelope.with_attempt(held.frame, held.deliveries) if held.deliveries else held.frame
