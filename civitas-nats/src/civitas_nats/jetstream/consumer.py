"""Consumer: gives the messages of one agent to its handler, in order, as many at once as it takes.

While these are handled, the next ones of the window are held here already. A message that failed is
given again in its place, so that none overtakes it that was not given yet. What is held belongs to
the server until it is acknowledged, so nothing is lost when this process ends.
"""

from __future__ import annotations

import asyncio
from typing import Final

from civitas import envelope
from civitas.errors import (
    CivitasError,
    DeserializationError,
    FrameError,
    ProcessingError,
    crash_unless_cancelled,
    describe,
)
from civitas.transport import Handler, cancel_task, concurrency_of, start_task
from civitas_nats.client import cancel_and_wait
from civitas_nats.jetstream.acknowledgements import ACK, TERM
from civitas_nats.jetstream.consumer_context import ConsumerContext
from civitas_nats.jetstream.dead_letters import DeadLetter
from civitas_nats.jetstream.lease import Lease
from civitas_nats.jetstream.prior_state import PriorState
from civitas_nats.jetstream.pull_reader import PullReader
from civitas_nats.jetstream.window import Held

_MIN_RETRY_DELAY: Final = 0.05
"""Seconds at least before a message is given again that the agent did not begin."""

_STORE_RETRY_PAUSE: Final = 0.5
"""Seconds between two attempts to store a dead letter."""


class Consumer:
    """Gives the messages of one agent to its handler.

    Args:
        agent: the agent's name.
        subject: where its messages are.
        handler: finishes when the agent has processed a message, and raises when it has failed.
        shared: what all consumers of the process share.
    """

    def __init__(self, agent: str, subject: str, handler: Handler, shared: ConsumerContext) -> None:
        self._agent = agent
        self._handler = handler
        self._options = shared.options
        self._logger = shared.context.logger
        self._dropped = shared.context.dropped
        self._failed = shared.context.failed
        self._dead_letters = shared.dead_letters
        self._lease = Lease(agent, subject, shared)
        self._reader = PullReader(agent, self._lease, shared, self._stop_handling)
        self._prior_state: PriorState | None = None
        self._prior_messages = 0
        """Messages that have come by the prior state."""
        self._workers: list[asyncio.Task[None]] = []
        self._taking = asyncio.Lock()
        """Where there are several workers: messages are taken in turn, and begun in order."""

    async def open(self) -> None:
        """Take the consumer over from its reader before, and begin.

        Raises:
            CivitasError: JetStream refuses, or does not answer.
        """
        self._lease.concurrency = concurrency_of(self._handler)
        self._prior_state = await self._lease.take_over()
        await self._reader.open()
        self._start_worker()

    async def close(self) -> None:
        """Stop, and give back what is held: the next reader gets it at once, in order."""
        await self._stop_handling()
        await self._reader.close()

    def connection_restored(self) -> None:
        """Find out what was lost with the connection."""
        self._reader.doubt()

    async def _stop_handling(self) -> None:
        """Handle nothing more: another process has taken over, or this one ends."""
        for worker in self._workers:
            cancel_task(worker)
        for worker in self._workers:
            await cancel_and_wait(worker)

    def _start_worker(self) -> None:
        name = f"civitas nats agent {self._agent}"
        self._workers.append(start_task(self._work(), name=name, failed=self._failed))

    async def _work(self) -> None:
        """Handle message after message. This is the hot path."""
        reader = self._reader
        while True:
            if len(self._workers) > 1:
                async with self._taking:
                    held = await self._next()
            else:
                held = await self._next()
                while len(self._workers) < concurrency_of(self._handler):
                    self._start_worker()
            outcome = await self._process(held)
            # One that has been given before, or may have been, is counted exactly from now on.
            is_first_time = held.deliveries == 0 and held.number > self._lease.doubtful
            await reader.finish(held, outcome, may_wait=is_first_time)
            del held  # it may be large, and the next one may take long to come

    async def _next(self) -> Held:
        held = await self._reader.next()
        if self._prior_state is not None:
            await self._apply_prior_state(self._prior_state, held)
        return held

    async def _process(self, held: Held) -> bytes:
        """Give a message to the agent until it is processed or given up; return its outcome."""
        reason = "its process ended while it was handled"
        while held.deliveries < self._options.max_deliver:
            try:
                await self._handler(_stamped(held))
            except (FrameError, DeserializationError) as error:
                await self._give_up(held, f"unreadable: {describe(error).text}")
                return TERM
            except ProcessingError as error:
                reason = f"{error.error_type}: {error.error_text}"
            except BaseException as error:  # noqa: BLE001 - the agent did not execute it
                text = describe(crash_unless_cancelled(error))
                self._logger.debug("%r did not begin a message: %s", self._agent, text)
                await asyncio.sleep(max(self._options.retry_delay, _MIN_RETRY_DELAY))
                continue
            else:
                return ACK
            held.deliveries += 1
            if held.deliveries < self._options.max_deliver:
                await self._record_deliveries()
                await asyncio.sleep(self._options.retry_delay)
        await self._give_up(held, reason)
        self._dropped("given up after max_deliver deliveries", held.frame)
        return TERM

    async def _apply_prior_state(self, prior_state: PriorState, first: Held) -> None:
        """Count the deliveries of one of the first messages to this agent in other processes."""
        self._prior_messages += 1
        if self._prior_messages >= prior_state.messages:
            self._prior_state = None
        first.deliveries = prior_state.deliveries_of(first.number)
        if first.deliveries:
            await self._record_deliveries()

    async def _record_deliveries(self) -> None:
        try:
            await self._lease.record_deliveries(self._reader.in_hand())
        except CivitasError as error:
            self._logger.warning("deliveries to %r are not written down: %s", self._agent, error)

    async def _give_up(self, held: Held, reason: str) -> None:
        """Store a dead letter; until that is done the message is not acknowledged."""
        letter = DeadLetter(self._agent, held.frame, reason, held.deliveries, held.number)
        is_logged = False
        while True:
            try:
                await self._dead_letters.add(letter)
            except CivitasError as error:
                if not is_logged:
                    is_logged = True
                    self._logger.warning(
                        "a dead letter of %r is not stored: %s", self._agent, error
                    )
                await asyncio.sleep(_STORE_RETRY_PAUSE)
            else:
                self._logger.error("a message to %r is a dead letter: %s", self._agent, reason)
                return


def _stamped(held: Held) -> bytes:
    """Return the frame with the number of its earlier deliveries."""
    return envelope.with_attempt(held.frame, held.deliveries) if held.deliveries else held.frame
