"""Node: what every process of a system has, whatever it hosts: wiring, order of start and stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from civitas._agents.slot import AgentSlot
from civitas._bus.bus import MessageBus
from civitas._bus.dead_letters import DeadLetterCallback
from civitas._cluster.cluster import Cluster
from civitas._cluster.config import ClusterConfig
from civitas._cluster.events import Commanded
from civitas._cluster.peers import PeerStats
from civitas._cluster.protocol import Crashed
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import (
    CRASHED_AGAIN,
    NodeLostError,
    RemoteAgent,
    RemoteAgents,
    RemoteChild,
    RemoteCrash,
    RemoteCrashError,
)
from civitas.errors import CivitasError, SpawnError
from civitas.process import AgentProcess, ProcessStatus

logger = logging.getLogger("civitas.node")

_COMMANDS: Final = 1000
"""Commands that are remembered, so that one that comes twice is carried out once."""

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
        lost: frames that were lost on their way to each agent.
        peers: what is known of the other nodes.
    """

    process: str
    node: str
    sent: int
    delivered: int
    dropped: dict[str, int]
    agents: tuple[AgentStats, ...]
    lost: dict[str, int] = field(default_factory=dict)
    peers: tuple[PeerStats, ...] = ()

    @property
    def restarts(self) -> int:
        """Restarts of all agents of this node."""
        return sum(agent.restarts for agent in self.agents)


class Node:
    """Holds the slots of one process and the bus between them.

    Args:
        bus: carries the messages.
        config: what binds its transport to its place among other nodes.
        role: primary, worker or client.
        on_evicted: called when the node can't stay in the system.
    """

    def __init__(
        self,
        bus: MessageBus,
        config: ClusterConfig,
        role: str = "primary",
        on_evicted: Callable[[CivitasError], None] | None = None,
    ) -> None:
        self.bus = bus
        self.process = config.process
        self.slots: dict[str, AgentSlot] = {}
        self.remote_agents = RemoteAgents()
        self.cluster: Cluster | None = None
        """Its place among other nodes; None where there can be none."""
        self._config = config
        self._role = role
        self._on_evicted = on_evicted
        self._on_lost: Callable[[list[RemoteAgent], Exception], None] | None = None
        self._carried_out: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._crash_callbacks: list[CrashCallback] = []
        self._went_idle = asyncio.Event()
        self._unrested: set[str] = set()
        """Agents that were at work when the drain began, and have not rested since."""
        self._abandoned = False
        self._drained = False

    def add(self, agent: AgentProcess, on_exit: Callable[[AgentSlot], None]) -> AgentSlot:
        """Make the slot of an agent. Its name is checked when the slot is attached."""
        slot = AgentSlot(agent, self.bus, on_exit, partial(self._rested, agent.name))
        self.slots.setdefault(agent.name, slot)
        return slot

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

    async def start_transport(self, policies: Mapping[str, HeartbeatPolicy] | None = None) -> None:
        """Start the transport, and with `policies` (by agent) take a place among other nodes.

        Raises:
            TransportError: it can't.
        """
        self.bus.closing = self.bus.rejecting = False  # of an earlier node with the same parts
        with self._config.guard():
            await self.bus.transport.start()
        if policies is not None:
            self.cluster = Cluster(self.bus, self._config, self._role, self, policies)
            with self._config.guard():
                await self.cluster.open()

    async def join(self) -> None:
        """Return when messages to the attached agents would arrive, from wherever they are sent.

        Raises:
            IdentityError: a name is taken.
            TransportError: the transport can't give the agents what it has kept for them.
        """
        with self._config.guard():
            await self.bus.transport.wait_ready()
        if self.cluster is not None:
            await self.cluster.join()
        with self._config.guard():
            await self.bus.take_over()

    def announce(self) -> None:
        """Tell other nodes how the agents of this one are, and whether it takes messages."""
        if self.cluster is not None:
            self.cluster.announce(leaving=self.bus.closing)

    async def drain(self) -> None:
        """Take no new messages and wait until all that were taken are handled.

        What handlers send meanwhile is still taken, since it is part of that work. The wait ends
        for each agent at its own `shutdown_timeout`.

        A durable transport may have much more for them: nothing is taken of it any more once all
        that were at work when the drain began have come to rest, or their time is over.
        """
        self.bus.closing = True
        self.announce()
        loop = asyncio.get_running_loop()
        began = loop.time()
        busy = self._busy(self.slots.values(), 0)
        self._await_rest_of({slot.name for slot in busy})
        if busy:
            patience = max(slot.agent.shutdown_timeout for slot in busy)
            logger.info("stopping: %d still at work, within %g s", len(busy), patience)
        while busy:
            self._went_idle.clear()
            patience = began + min(slot.agent.shutdown_timeout for slot in busy) - loop.time()
            try:
                async with asyncio.timeout(max(patience, 0.001)):
                    await self._went_idle.wait()
            except TimeoutError:
                logger.debug("an agent's shutdown_timeout has passed while it was busy")
            elapsed = loop.time() - began
            self._await_rest_of(self._unrested & {slot.name for slot in self._in_time(elapsed)})
            # Who was idle may have been given work by one that is idle now.
            busy = self._busy(busy, elapsed) or self._busy(self.slots.values(), elapsed)
        await self._leave_commands()

    def abandon(self) -> None:
        """End the drain, or have none: the tree has given up, and nobody is left to do the work."""
        self._abandoned = True
        self._went_idle.set()

    async def retire_all(self) -> None:
        """Take all agents off the system and account for what they leave behind."""
        for slot in self.slots.values():
            if not slot.finished or slot.mailbox.pending:
                await slot.retire()

    async def stop_transport(self) -> None:
        """Stop the transport; an error of its is logged, since nothing else is left to do."""
        try:
            if self.cluster is not None:
                await self.cluster.close()
            await self.bus.transport.stop()
        except Exception:
            logger.exception("the transport did not stop cleanly")

    # --- among other nodes ----------------------------------------------------------------------

    def agents(self) -> Mapping[str, tuple[str, int]]:
        """Return status and incarnation of each agent; in any thread."""
        return {slot.name: (_told(slot), slot.restarts) for slot in list(self.slots.values())}

    def counters(self) -> Mapping[str, Any]:
        """Return the counters as JSON-like values; in any thread."""
        stats = asdict(self.stats())
        for agent in stats["agents"]:
            agent["status"] = agent["status"].value
        return {"role": self._role, **stats}

    def supervise(self, child: RemoteChild, on_exit: Callable[[RemoteAgent], None]) -> RemoteAgent:
        """Make the slot of an agent that another process hosts."""
        assert self.cluster is not None
        slot = RemoteAgent(child, self.cluster, on_exit)
        self.remote_agents.add(slot)
        self.bus.routes.expected[child.name] = child.process or "of a worker"
        return slot

    def on_lost(self, callback: Callable[[list[RemoteAgent], Exception], None]) -> None:
        """Call `callback(slots, error)` when a node dies that hosts supervised agents."""
        self._on_lost = callback

    def heard(self, node: str, agents: Mapping[str, tuple[str, int]]) -> None:
        """Take note of the states of another node's agents."""
        self.remote_agents.heard(node, agents)

    def lost(self, node: str, reason: str, *, died: bool) -> None:
        """Take note that a node has gone."""
        error = NodeLostError(reason) if died else None
        slots = self.remote_agents.lost(node, error)
        if slots and error is not None and self._on_lost is not None:
            self._on_lost(slots, error)

    def crashed(self, node: str, crash: Crashed) -> None:
        """Take note that an agent of another node has crashed."""
        error = RemoteCrashError(f"{crash.error_type}: {crash.error_text}")
        heard = RemoteCrash(crash.incarnation, error, crash.redelivered)
        if not self.remote_agents.crashed(node, crash.agent, heard):
            logger.error(
                "agent %r of another process crashed, and nobody supervises it: %s; "
                "add_remote_child would",
                crash.agent,
                error,
            )

    def commanded(self, command: Commanded) -> None:
        """Restart or stop an agent as the primary wants; a command that comes twice, once."""
        key = (command.node, command.number)
        if key not in self._carried_out:
            carrying_out = self._carry_out(command)
            task = asyncio.get_running_loop().create_task(carrying_out, name="civitas command")
            self._carried_out[key] = task
            if len(self._carried_out) > _COMMANDS:
                oldest = next(iter(self._carried_out))
                if self._carried_out[oldest].done():
                    del self._carried_out[oldest]

    def evicted(self, error: CivitasError) -> None:
        """Take note that this node can't stay in the system."""
        if self._on_evicted is not None:
            self._on_evicted(error)

    async def _carry_out(self, command: Commanded) -> None:
        assert self.cluster is not None
        slot = self.slots.get(command.agent)
        error = ""
        if self._drained:
            error = "its process is stopping"
        elif slot is None or slot.finished or command.verb not in {"restart", "stop"}:
            error = f"there is no agent to {command.verb} of that name"
        else:
            await slot.stop(drain=False)
            if command.verb == "restart":
                try:
                    await slot.start(fresh=True)
                except SpawnError as failure:
                    error = str(failure)
        self.announce()  # first: who gets the answer knows then how the agent is
        self.cluster.answer(command, error, 0 if slot is None else slot.restarts)

    async def _leave_commands(self) -> None:
        """Carry out no more: an agent that is started now would be left behind."""
        self._drained = True
        tasks = [task for task in self._carried_out.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def hosts(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether a task is that of one of this node's agents."""
        return any(slot.mailbox.consumer is task for slot in self.slots.values())

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
                    slot.name,
                    slot.status,
                    slot.mailbox.pending,
                    slot.counts.handled,
                    slot.counts.errors,
                    slot.restarts,
                )
                for slot in list(self.slots.values())
            ),
            lost=dict(self.bus.accounting.lost) if self.bus.accounting is not None else {},
            peers=self.cluster.peers() if self.cluster is not None else (),
        )

    def _rested(self, name: str) -> None:
        """Take note that an agent has nothing in hand, while the node stops."""
        self._await_rest_of(self._unrested - {name})
        self._went_idle.set()

    def _await_rest_of(self, names: set[str]) -> None:
        """Take what a durable transport has for as long as one of these may need it."""
        self._unrested = names
        self.bus.rejecting = not names

    def _in_time(self, elapsed: float) -> list[AgentSlot]:
        """Return the agents that may still work so many seconds after the stop began."""
        return [slot for slot in self.slots.values() if slot.agent.shutdown_timeout > elapsed]

    def _busy(self, slots: Iterable[AgentSlot], elapsed: float) -> list[AgentSlot]:
        """Return the agents that have work left, and time for it."""
        if self._abandoned:
            return []
        busy = [c for c in slots if not c.idle and c.agent.shutdown_timeout > elapsed]
        if self._role == "primary":
            return busy
        # A crashed agent of a worker has nobody left to restart it, nor to do its work.
        return [c for c in busy if c.status is not ProcessStatus.CRASHED]


def _told(slot: AgentSlot) -> str:
    """Return what others hear of an agent: only what is done does not come back with its node."""
    if slot.status is ProcessStatus.STOPPED and not slot.done:
        return ProcessStatus.STOPPING.value
    if slot.status is ProcessStatus.CRASHED and slot.redelivered:
        return CRASHED_AGAIN
    return slot.status.value
