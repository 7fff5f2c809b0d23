"""Counters: a snapshot of what a node has sent, delivered, dropped and lost, and of its agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._agents.states import CRASHED_AGAIN, DOWN
from civitas._bus.bus import MessageBus
from civitas._node.crashes import CrashStats, crash_text
from civitas._node.queues import QueueWatch
from civitas._supervision.remote import RemoteAgent
from civitas.errors import printable
from civitas.process import ProcessStatus

if TYPE_CHECKING:
    from civitas._cluster.data_plane import PeerStats

_LONGEST_REASON: Final = 200
"""Bytes of a reason at most: a node tells it of each of its agents."""

_TOLD_ELSEWHERE: Final = 20_000
"""Agents of other processes that a node tells of, at most."""

_SAID_BY_RUNNING: Final = {"state", "since", "restart_in", "failure", "stuck"}
_SAID_BY_IDLE: Final = {"in_hand", "in_hand_id", "in_hand_for"}
_SAID_BY_SEVERAL: Final = {"in_hand_count", "concurrency"}

_SAID_IF_ANY: Final = ("retries", "timers", "ticks", "ticks_swallowed", "background_tasks")

_LONGEST_TYPE: Final = 100
"""Bytes of the type of a message at most, and of its id."""

_WORDS: Final = {
    ProcessStatus.INITIALIZING.value: "starting",
    ProcessStatus.STOPPED.value: "done",
    CRASHED_AGAIN: "crashed",
    DOWN: "down",
}
"""The words for what a node reports, where they differ from it."""


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
        state: the same as a word: starting, running, stopping, down (stopped by its supervisor),
            crashed or done.
        since: seconds that it has been so.
        restart_in: seconds until its supervisor restarts it, where that waits; else None.
        failure: why it has crashed, or could not start; empty where it has not.
        busy: seconds in which it had something to do, from the first message that it took until it
            had none left. Where it has several messages in hand at once, those of all its consumers
            together.
        in_hand: the type of the message that it handles, of several the oldest; empty where it
            handles none.
        in_hand_id: the id of that message.
        in_hand_for: seconds that it handles it; None where the node does not know: the clock is
            read when an agent gets something to do, and not for each message of a row.
        in_hand_count: messages that it handles now, where it may handle several.
        concurrency: how many it may handle at once.
        stuck: seconds for which messages have waited and none was handled, once that is longer
            than `stuck_after`; else 0.
        retries: times that a message was handled again, since `on_error` said so.
        timers: timers of its present object that will tick.
        ticks: messages that its timers have put into its mailbox.
        ticks_swallowed: further ones for which an earlier one stood: it was queued still, or late.
        background_tasks: background tasks of its present object that are running.
    """

    name: str
    status: ProcessStatus
    mailbox_depth: int
    handled: int
    errors: int
    restarts: int
    state: str = ""
    since: float = 0.0
    restart_in: float | None = None
    failure: str = ""
    busy: float = 0.0
    in_hand: str = ""
    in_hand_id: str = ""
    in_hand_for: float | None = None
    stuck: float = 0.0
    in_hand_count: int = 0
    concurrency: int = 1
    retries: int = 0
    timers: int = 0
    ticks: int = 0
    ticks_swallowed: int = 0
    background_tasks: int = 0


@dataclass(frozen=True, slots=True)
class RemoteAgentStats:
    """What a supervision tree knows of an agent of another process that does not run.

    Attributes:
        name: the agent's name.
        process: its process name, where the tree has one; else empty.
        state: as for `AgentStats`; absent while no process has it.
        since: seconds that it has been so.
        restart_in: as for `AgentStats`.
        failure: as for `AgentStats`.
    """

    name: str
    process: str
    state: str
    since: float
    restart_in: float | None
    failure: str


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
        elsewhere: agents of other processes that the tree of this node names, and don't run.
        instruments: by the name of each instrument, how often methods of it have raised.
        crashes: the last crash of agents of this node, and of those that its tree names.
    """

    process: str
    node: str
    sent: int
    delivered: int
    dropped: dict[str, int]
    agents: tuple[AgentStats, ...]
    lost: dict[str, int] = field(default_factory=dict)
    peers: tuple[PeerStats, ...] = ()
    elsewhere: tuple[RemoteAgentStats, ...] = ()
    instruments: dict[str, dict[str, int]] = field(default_factory=dict)
    crashes: tuple[CrashStats, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Supervised:
    """What supervision knows, at one moment, of the agents of a node and of those elsewhere.

    Attributes:
        restarts: when agents are restarted that wait for it, by `platform.monotonic`.
        remote: the agents of other processes.
        crashes: the last crash of each agent.
        queues: whether the queues of the node's agents move; None for a node without agents.
    """

    restarts: Mapping[str, float] = field(default_factory=dict)
    remote: tuple[RemoteAgent, ...] = ()
    crashes: tuple[CrashStats, ...] = ()
    queues: QueueWatch | None = None


def snapshot(
    process: str,
    bus: MessageBus,
    slots: Iterable[AgentSlot],
    supervised: Supervised,
    peers: tuple[PeerStats, ...] = (),
) -> NodeStats:
    """Return a node's counters as they are now; in any thread."""
    now = platform.monotonic()
    restarts, queues = supervised.restarts, supervised.queues or QueueWatch({})
    return NodeStats(
        process=process,
        node=bus.origin.node.hex(),
        sent=bus.sent,
        delivered=bus.delivered,
        dropped=dict(bus.dead_letters.counts),
        agents=tuple(_agent(slot, now, restarts, queues) for slot in list(slots)),
        lost=dict(bus.accounting.lost) if bus.accounting is not None else {},
        peers=peers,
        elsewhere=tuple(
            _remote_agent(agent, now, restarts) for agent in supervised.remote if not agent.alive
        ),
        instruments=bus.instruments.failures(),
        crashes=supervised.crashes,
    )


def told(stats: NodeStats) -> dict[str, Any]:
    """Return what a node tells of its counters to others, as JSON-like values.

    It must fit into one message when much does not run. So of an agent that runs nothing is said
    that follows from this, and nothing of a message that none has in hand; of the absent agents of
    a process one stands for all; and of the others elsewhere those come first that are done, which
    nobody else may know.
    """
    values = stats.as_json()
    values["agents"] = [_told_of(each) for each in values["agents"]]
    absent: dict[str, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for each in values["elsewhere"]:
        if each["state"] == "absent":
            absent.setdefault(each["process"], each)
        else:
            others.append(each)
    others.sort(key=lambda each: each["state"] != "done")
    values["elsewhere"] = [*absent.values(), *others][:_TOLD_ELSEWHERE]
    return values


def _told_of(agent: dict[str, Any]) -> dict[str, Any]:
    runs = agent["state"] == "running" and not agent["stuck"]
    left_out = _SAID_BY_RUNNING if runs else set[str]()
    left_out = left_out if agent["in_hand"] else left_out | _SAID_BY_IDLE
    left_out = left_out if agent["concurrency"] > 1 else left_out | _SAID_BY_SEVERAL
    left_out = left_out.union(key for key in _SAID_IF_ANY if not agent[key])
    return {key: value for key, value in agent.items() if key not in left_out}


def _agent(
    slot: AgentSlot, now: float, restarts: Mapping[str, float], queues: QueueWatch
) -> AgentStats:
    counts = slot.counts
    handled_now = counts.in_hand()
    in_hand, began, _ = handled_now[0] if handled_now else (None, None, None)
    ticks, own_work = counts.ticks, slot.own_work
    return AgentStats(
        slot.name,
        slot.status,
        slot.mailbox.pending,
        counts.handled,
        counts.errors,
        slot.restarts,
        state_word(slot.state[0]),
        max(now - slot.changed_at, 0.0),
        _left(restarts.get(slot.name), now),
        _why(slot.failure),
        counts.busy(now),
        "" if in_hand is None else printable(in_hand.type, _LONGEST_TYPE),
        "" if in_hand is None else printable(in_hand.id, _LONGEST_TYPE),
        None if in_hand is None or began is None else max(now - began, 0.0),
        stuck=queues.stuck(slot, now),
        in_hand_count=len(handled_now),
        concurrency=slot.settings.concurrency,
        retries=counts.retries,
        timers=0 if own_work is None else own_work.timers,
        ticks=0 if ticks is None else ticks.queued,
        ticks_swallowed=0 if ticks is None else ticks.swallowed,
        background_tasks=0 if own_work is None else own_work.background_tasks,
    )


def _remote_agent(
    agent: RemoteAgent, now: float, restarts: Mapping[str, float]
) -> RemoteAgentStats:
    return RemoteAgentStats(
        agent.name,
        agent.child.process or "",
        "done" if agent.finished else state_word(agent.status.value),
        max(now - agent.changed_at, 0.0),
        _left(restarts.get(agent.name), now),
        _why(agent.failure),
    )


def state_word(status: str) -> str:
    """Return the word for a status that a node reports; a status that is not known says itself."""
    return _WORDS.get(status, status.lower())


def _left(due: float | None, now: float) -> float | None:
    return None if due is None else max(due - now, 0.0)


def _why(failure: Exception | None) -> str:
    return "" if failure is None else crash_text(failure, _LONGEST_REASON)
