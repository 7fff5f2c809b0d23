"""Events: what the control plane reports to the node's own event loop.

Where an info is no news of its agents, it has none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from civitas._cluster.protocol import Admitted, Command, Counters, Crashed, NodeInfo, Pong, Result


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node is there, with all its agents; or it has changed, with the agents that have."""

    info: NodeInfo


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node has gone: it `died` without a goodbye; `final`: its id can't come back."""

    info: NodeInfo
    reason: str
    died: bool
    final: bool = True


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """A node's clock is ahead of this one's by `offset` seconds."""

    node: str
    offset: float


@dataclass(frozen=True, slots=True)
class Settled:
    """The node has found the others, and they can reach it."""

    alone: bool


@dataclass(frozen=True, slots=True)
class Evicted:
    """The node can't stay: it was refused, or superseded."""

    reason: str
    fenced: bool


@dataclass(frozen=True, slots=True)
class Objected:
    """This node has refused another one."""

    info: NodeInfo
    reason: str


@dataclass(frozen=True, slots=True)
class Impersonated:
    """Somebody has said goodbye in the name of this node, which stays."""


@dataclass(frozen=True, slots=True)
class NotAnnounced:
    """This node can't be announced: its transport takes no message of that size."""

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A node has said something about agents: its own, or one of this node."""

    info: NodeInfo
    message: Pong | Crashed | Command | Admitted


@dataclass(frozen=True, slots=True)
class Finished:
    """A node that has gone says that agents of its own were done."""

    node: str
    agents: tuple[str, ...]


Event: TypeAlias = (
    NodeSeen
    | NodeLost
    | ClockSeen
    | Settled
    | Evicted
    | Objected
    | Impersonated
    | NotAnnounced
    | Received
    | Finished
    | Result
    | Counters
)
"""Result and Counters are the answers to calls of this node, each once."""
