"""Events: what the control plane reports to the node's own event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from civitas._cluster.protocol import AgentStates, Crashed, NodeInfo


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node is there, or has announced something new of itself."""

    info: NodeInfo


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node has gone.

    Attributes:
        info: what it announced last.
        reason: why it counts as gone.
        died: whether it went without a goodbye.
        final: whether it can't come back under the same id.
    """

    info: NodeInfo
    reason: str
    died: bool
    final: bool = True


@dataclass(frozen=True, slots=True)
class StatesHeard:
    """A node has answered a ping: the states of its agents, and the seconds that it is stalled."""

    info: NodeInfo
    agents: AgentStates
    stalled: float


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
class AgentCrashed:
    """An agent of another node has crashed."""

    node: str
    crash: Crashed


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """The primary wants something done to an agent of this node."""

    node: str
    number: int
    verb: str
    agent: str


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A command, or a query for counters, that this node sent was answered."""

    number: int
    error: str = ""
    incarnation: int = 0
    counters: Mapping[str, Any] | None = None


Event: TypeAlias = (
    NodeSeen
    | NodeLost
    | StatesHeard
    | ClockSeen
    | Settled
    | Evicted
    | AgentCrashed
    | CommandReceived
    | CallAnswered
)
