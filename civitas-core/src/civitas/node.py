"""Node: what every process of a system has, whatever it hosts: wiring, order of start and stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from civitas.bus import MessageBus
from civitas.cell import AgentCell
from civitas.dead_letters import DeadLetterCallback
from civitas.process import AgentProcess, ProcessStatus

logger = logging.getLogger("civitas.node")

CrashCallback: TypeAlias = Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class AgentStats:
    """Counters of one agent.

    Attributes:
        name: the agent's name.
        status: where it is in its life.
        mailbox_depth: messages that are queued or wait for room.
        handled: messages handled, failed ones that were skipped included.
        errors: times that `handle` raised, retries included.
        restarts: times that a fresh object was started.
    """

    name: str
    status: ProcessStatus
    mailbox_depth: int
    handled: int
    errors: int
    restarts: int


@dataclass(frozen=True, slots=True)
class NodeStats:
    """A snapshot of a node's counters.

    Attributes:
        process: the node's process name.
        node: the node's id in hex.
        sent: messages that this node's agents and callers have sent.
        delivered: frames that came into mailboxes of this node.
        dropped: dead letters by reason.
        agents: the counters of each agent, in the order in which they start.
    """

    process: str
    node: str
    sent: int
    delivered: int
    dropped: dict[str, int]
    agents: tuple[AgentStats, ...]

    @property
    def restarts(self) -> int:
        """Restarts of all agents of this node."""
        return sum(agent.restarts for agent in self.agents)


class Node:
    """Holds the cells of one process and the bus between them.

    Args:
        bus: carries the messages.
        process: the node's process name.
    """

    def __init__(self, bus: MessageBus, process: str) -> None:
        self.bus = bus
        self.process = process
        self.cells: dict[str, AgentCell] = {}
        self._crash_callbacks: list[CrashCallback] = []
        self._went_idle = asyncio.Event()
        self._abandoned = False

    def add(self, agent: AgentProcess, on_exit: Callable[[AgentCell], None]) -> AgentCell:
        """Make the cell of an agent. Its name is checked when the cell is attached."""
        cell = AgentCell(agent, self.bus, on_exit, self._went_idle.set)
        self.cells.setdefault(agent.name, cell)
        return cell

    def on_crash(self, callback: CrashCallback) -> None:
        """Call `callback(name, error)` whenever an agent crashes."""
        self._crash_callbacks.append(callback)

    def on_dead_letter(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for whatever can't be delivered."""
        self.bus.dead_letters.subscribe(callback)

    def agent_crashed(self, name: str, error: Exception) -> None:
        """Tell those who asked to know."""
        for callback in self._crash_callbacks:
            try:
                callback(name, error)
            except Exception:
                logger.exception("a crash callback raised")

    async def start_transport(self) -> None:
        """Start the transport.

        Raises:
            TransportError: it can't.
        """
        self.bus.closing = False  # of an earlier node with the same components
        await self.bus.transport.start()

    async def wait_ready(self) -> None:
        """Return when messages to the attached agents would arrive."""
        await self.bus.transport.wait_ready()

    async def drain(self) -> None:
        """Take no new messages and wait until all that were taken are handled.

        What handlers send meanwhile is still taken, since it is part of that work. The wait ends
        for each agent at its own `shutdown_timeout`.
        """
        self.bus.closing = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        busy = self._busy(self.cells.values(), 0)
        if busy:
            patience = max(cell.agent.shutdown_timeout for cell in busy)
            logger.info("stopping: %d still at work, within %g s", len(busy), patience)
        while busy:
            self._went_idle.clear()
            patience = began + min(cell.agent.shutdown_timeout for cell in busy) - loop.time()
            try:
                async with asyncio.timeout(max(patience, 0.001)):
                    await self._went_idle.wait()
            except TimeoutError:
                logger.debug("an agent's shutdown_timeout has passed while it was busy")
            elapsed = loop.time() - began
            # Who was idle may have been given work by one that is idle now.
            busy = self._busy(busy, elapsed) or self._busy(self.cells.values(), elapsed)

    def abandon(self) -> None:
        """End the drain, or have none: the tree has given up, and nobody is left to do the work."""
        self._abandoned = True
        self._went_idle.set()

    async def retire_all(self) -> None:
        """Take all agents off the system and account for what they leave behind."""
        for cell in self.cells.values():
            if not cell.finished or cell.mailbox.pending:
                await cell.retire()

    async def stop_transport(self) -> None:
        """Stop the transport; an error of its is logged, since nothing else is left to do."""
        try:
            await self.bus.transport.stop()
        except Exception:
            logger.exception("the transport did not stop cleanly")

    def hosts(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether a task is that of one of this node's agents."""
        return any(cell.mailbox.consumer is task for cell in self.cells.values())

    def stats(self) -> NodeStats:
        """Return a snapshot of the counters."""
        return NodeStats(
            process=self.process,
            node=self.bus.origin.node.hex(),
            sent=self.bus.sent,
            delivered=self.bus.delivered,
            dropped=dict(self.bus.dead_letters.counts),
            agents=tuple(
                AgentStats(
                    cell.name,
                    cell.status,
                    cell.mailbox.pending,
                    cell.tally.handled,
                    cell.tally.errors,
                    cell.restarts,
                )
                for cell in self.cells.values()
            ),
        )

    def _busy(self, cells: Iterable[AgentCell], elapsed: float) -> list[AgentCell]:
        """Return the agents that have work left, and time for it."""
        if self._abandoned:
            return []
        return [c for c in cells if not c.idle and c.agent.shutdown_timeout > elapsed]
