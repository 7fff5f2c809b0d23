"""Drain: what a node that stops waits for, so that what was taken is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._bus.bus import MessageBus
from civitas.errors import logger_of
from civitas.process import ProcessStatus

logger = logger_of("civitas.node")


class Drain:
    """The end of work on one node.

    What handlers send meanwhile is still taken, since it is part of that work. The wait ends for
    each agent at its own `shutdown_timeout`. One that waits for its restart, and would get it later
    than that, is not waited for: it does no work within the stop.

    A durable transport may have much more for them: nothing is taken of it any more once all that
    were at work when the drain began have come to rest, or their time is over.

    Args:
        bus: the node's bus.
        slots: the node's agents, by name.
        restarts: whether a crashed agent may be restarted meanwhile. Of a worker it has nobody
            left to do that, nor to do its work.
        restart_times: returns when agents are restarted that wait for it, by `platform.monotonic`.
    """

    def __init__(
        self,
        bus: MessageBus,
        slots: Mapping[str, AgentSlot],
        restart_times: Callable[[], Mapping[str, float]],
        *,
        restarts: bool,
    ) -> None:
        self._bus = bus
        self._slots = slots
        self._restart_times = restart_times
        self._restarts = restarts
        self._went_idle = asyncio.Event()
        self._unrested: set[str] = set()
        """Agents that were at work when the drain began, and have not rested since."""
        self._abandoned = False

    async def run(self, began: float) -> None:
        """Return when all that was taken is handled, or the time for it is over.

        `began` is when the stop did (event loop's time).
        """
        loop = asyncio.get_running_loop()
        for slot in self._slots.values():
            slot.interrupt_retries()
        busy = self._busy(self._slots.values(), loop.time() - began)
        self._await_rest_of({slot.name for slot in busy})
        if busy:
            patience = max(slot.settings.shutdown_timeout for slot in busy)
            logger.info("stopping: %d still at work, within %g s", len(busy), patience)
        while busy:
            self._went_idle.clear()
            patience = began + min(slot.settings.shutdown_timeout for slot in busy) - loop.time()
            try:
                async with asyncio.timeout(max(patience, 0.001)):
                    await self._went_idle.wait()
            except TimeoutError:
                logger.debug("an agent's shutdown_timeout has passed while it was busy")
            elapsed = loop.time() - began
            in_time = {
                s.name for s in self._slots.values() if s.settings.shutdown_timeout > elapsed
            }
            self._await_rest_of(self._unrested & in_time)
            # Who was idle may have been given work by one that is idle now.
            busy = self._busy(busy, elapsed) or self._busy(self._slots.values(), elapsed)

    def rested(self, name: str) -> None:
        """Take note that an agent has nothing in hand."""
        self._await_rest_of(self._unrested - {name})
        self._went_idle.set()

    def look_again(self) -> None:
        """Take note that agents wait for a restart, which may come too late for them."""
        self._went_idle.set()

    def abandon(self) -> None:
        """End the drain, or have none: nobody is left to do the work."""
        self._abandoned = True
        self._went_idle.set()

    def _await_rest_of(self, names: set[str]) -> None:
        """Take what a durable transport has for as long as one of these may need it."""
        self._unrested = names
        self._bus.answers.rejecting = not names

    def _busy(self, slots: Iterable[AgentSlot], elapsed: float) -> list[AgentSlot]:
        """Return the agents that have work left, and time for it."""
        if self._abandoned:
            return []
        busy = [
            slot
            for slot in slots
            if not slot.idle
            and slot.settings.shutdown_timeout > elapsed
            and (self._restarts or slot.status is not ProcessStatus.CRASHED)
        ]
        if all(slot.alive for slot in busy):
            return busy
        times, now = self._restart_times(), platform.monotonic()
        return [
            slot
            for slot in busy
            if times.get(slot.name, now) - now < slot.settings.shutdown_timeout - elapsed
        ]
