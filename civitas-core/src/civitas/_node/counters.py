"""Counters: a snapshot of what a node has sent, delivered, dropped and lost, and of its agents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from civitas._agents.slot import AgentSlot
from civitas._bus.bus import MessageBus
from civitas._cluster.data_plane import PeerStats
from civitas.process import ProcessStatus


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

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON-like values."""
        values = asdict(self)
        for agent in values["agents"]:
            agent["status"] = agent["status"].value
        return values


def snapshot(
    process: str, bus: MessageBus, slots: Iterable[AgentSlot], peers: tuple[PeerStats, ...]
) -> NodeStats:
    """Return a node's counters as they are now; in any thread."""
    return NodeStats(
        process=process,
        node=bus.origin.node.hex(),
        sent=bus.sent,
        delivered=bus.delivered,
        dropped=dict(bus.dead_letters.counts),
        agents=tuple(
            AgentStats(
                slot.name,
                slot.status,
                slot.mailbox.pending,
                slot.counts.handled,
                slot.counts.errors,
                slot.restarts,
            )
            for slot in list(slots)
        ),
        lost=dict(bus.accounting.lost) if bus.accounting is not None else {},
        peers=peers,
    )
