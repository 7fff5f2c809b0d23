"""A simulated system: several memberships, a clock, and a network that delays, loses and repeats.

Time passes only in `run`. Signals between two nodes keep their order, unless they are repeated:
a repeated one may come much later.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from civitas._cluster.codec import LARGEST_FRAME, decode
from civitas._cluster.events import Event, Evicted, NodeLost, NodeSeen, Settled
from civitas._cluster.liveness import OwnNode
from civitas._cluster.membership import Membership
from civitas._cluster.pieces import ControlCodec
from civitas._cluster.protocol import EVERYONE, ControlMessage, NodeInfo, control_address
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.envelope import Origin

TICK = 0.05
FAST = HeartbeatPolicy(interval=0.5, timeout=0.3, threshold=3)


@dataclass
class Network:
    """How messages travel.

    Attributes:
        delay: seconds that one takes, at least and at most.
        loss: share of messages that are lost.
        repeat: share of messages that come twice.
        largest: bytes of a frame at most.
    """

    delay: tuple[float, float] = (0.001, 0.02)
    loss: float = 0.0
    repeat: float = 0.0
    largest: int = LARGEST_FRAME
    stands: list[Callable[[], None]] | None = None
    """What arrives later, while a proxy that all use stands still."""
    loses: Callable[[ControlMessage], bool] = lambda _message: False
    """Which messages are lost, whatever the odds."""
    parted: set[frozenset[str]] = field(default_factory=set)
    """Pairs of nodes, by label, between which nothing passes."""

    def part(self, left: set[str], right: set[str]) -> None:
        self.parted |= {frozenset((a, b)) for a in left for b in right}

    def heal(self) -> None:
        self.parted.clear()

    def stand_still(self) -> None:
        """Let all that is sent wait, as when a proxy is stopped."""
        self.stands = []

    def go_on(self) -> None:
        """Let all arrive that has waited, and what is sent from now on."""
        waiting, self.stands = self.stands or [], None
        for arrive in waiting:
            arrive()

    def calm(self) -> None:
        """Lose and repeat nothing from now on."""
        self.loss = self.repeat = 0.0


class SimulatedNode:
    """One node: a membership, an inbox that queues while it is paused, and what it was told."""

    def __init__(
        self,
        system: System,
        label: str,
        info: NodeInfo,
        policies: Mapping[str, HeartbeatPolicy],
        *,
        skew: float = 0.0,
    ) -> None:
        self.system = system
        self.label = label
        self.origin = Origin(bytes.fromhex(info.node), info.generation)
        self.events: list[Event] = []
        self.fenced: set[bytes] = set()
        self.inbox: list[tuple[bytes, bool]] = []
        self.codec = ControlCodec(self.origin, system.network.largest)
        self.paused = False
        self.linked = True
        self.alive = True
        self.stalled_for = 0.0
        self.skew = skew
        """Seconds by which its monotonic clock is ahead."""
        self.clock_ahead = 0.0
        """Seconds by which the clock is ahead that its messages are dated by."""
        self.membership = Membership(
            info,
            OwnNode(self.agents, self.stalled, self.counters),
            self._send,
            self._told,
            self.fenced,
            policies,
            clock=lambda: 1e9 + system.now + self.clock_ahead,
        )
        self.states = dict(info.agents)

    # --- what the membership asks ---------------------------------------------------------------

    def agents(self) -> Mapping[str, tuple[str, int]]:
        return self.states

    def stalled(self) -> float:
        return self.stalled_for

    def counters(self) -> Mapping[str, Any]:
        return {"label": self.label}

    # --- what tests ask ------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.membership.info.node

    @property
    def settled(self) -> bool:
        return self.membership.info.settled

    @property
    def evicted(self) -> bool:
        return any(isinstance(event, Evicted) for event in self.events)

    @property
    def stays(self) -> bool:
        """Whether it is in the system, and not on its way out."""
        return self.alive and not self.evicted

    @property
    def knows(self) -> set[str]:
        """Labels of the nodes that it knows."""
        return {self.system.by_id[node].label for node in self.membership.peers}

    def heard(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    # --- what happens to it --------------------------------------------------------------------

    def join(self) -> None:
        self.membership.join(self.time)

    def change(self, **states: str) -> None:
        """Change the states of agents, and announce it as one change."""
        changed = {name: (status, 0) for name, status in states.items()}
        self.states.update(changed)
        if self.alive:
            self.membership.announce(changed)

    @property
    def knows_agents(self) -> dict[str, Mapping[str, tuple[str, int]]]:
        """The states of the agents of each other node, by the node's label, as it knows them."""
        peers = self.membership.peers.values()
        return {self.system.by_id[each.info.node].label: each.agents for each in peers}

    @property
    def time(self) -> float:
        return self.system.now + self.skew

    def pause(self) -> None:
        """Stop it as SIGSTOP does: what comes waits in its inbox."""
        self.paused = True

    def resume(self) -> None:
        """Let it go on: it reads what has come before it looks at its timers."""
        self.paused = False
        inbox, self.inbox = self.inbox, []
        for frame, to_everyone in inbox:
            self.take(frame, to_everyone)

    def kill(self) -> None:
        self.alive = False

    def lose_link(self) -> None:
        """Cut it off, and let it know, as a transport that loses its connection does."""
        self.linked = False
        self.membership.link_down()

    def find_link(self) -> None:
        self.linked = True
        self.membership.link_up(self.time)

    def tick(self) -> None:
        if not self.alive or self.paused:
            return
        if not self.system.only_when_due or self.membership.next_due() <= self.time:
            self.system.ticks += 1
            self.membership.tick(self.time)

    def take(self, frame: bytes, to_everyone: bool) -> None:
        if not self.alive or not self.linked:
            return
        if self.paused:
            self.inbox.append((frame, to_everyone))
            return
        is_member, proves = self.membership.members.is_member, self.membership.proves
        said = self.codec.read(frame, self.time, is_member, proves, to_everyone=to_everyone)
        if said is not None:
            self.membership.receive(*said, self.time)

    def say(self, message: ControlMessage, address: str = EVERYONE) -> None:
        """Send anything in its name."""
        self._send(address, message)

    def _send(self, address: str, message: ControlMessage) -> None:
        if self.alive and self.linked:
            for frame in self.codec.frames(message):
                self.system.send(self, address, frame)

    def _told(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, NodeSeen):
            self.system.after(0.1, lambda: self._prove(event.info.node))
        if isinstance(event, Evicted):  # whoever can't stay says goodbye and ends
            self.system.after(0.2, self._end)

    def _prove(self, node: str) -> None:
        if self.alive:
            self.membership.admit(node, self.time)

    def _end(self) -> None:
        if self.alive:
            self.membership.leave("evicted")
            self.alive = False


class System:
    """The nodes, the network between them, and the time."""

    def __init__(
        self, seed: int = 0, network: Network | None = None, *, only_when_due: bool = True
    ) -> None:
        self.now = 1000.0
        self.only_when_due = only_when_due
        """Whether a node's tick comes when its membership says so, else twenty times a second."""
        self.said: list[tuple[float, str, str, bytes]] = []
        """All messages: when, of whom, to where, and what."""
        self.network = network or Network()
        self.nodes: dict[str, SimulatedNode] = {}
        self.by_id: dict[str, SimulatedNode] = {}
        self.sent = 0
        self.bytes = 0
        self.ticks = 0
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._latest: dict[tuple[str, str], float] = {}

    def add(
        self,
        label: str,
        agents: str = "",
        *,
        process: str | None = None,
        role: str = "worker",
        generation: int = 1,
        node: str | None = None,
        skew: float = 0.0,
    ) -> SimulatedNode:
        """Add a node, which has not joined yet."""
        info = NodeInfo(
            node or self._random.randbytes(8).hex(),
            generation,
            process or label,
            role,
            dict.fromkeys(agents.split(), ("running", 0)),
        )
        policies = dict.fromkeys("abc", FAST) if role == "primary" else {}
        self.nodes[label] = self.by_id[info.node] = added = SimulatedNode(
            self, label, info, policies, skew=skew
        )
        return added

    def primary(self, label: str = "P", **options: Any) -> SimulatedNode:
        return self.add(label, process="supervisor", role="primary", **options)

    def joined(self, *nodes: SimulatedNode) -> None:
        """Let nodes join and settle."""
        for node in nodes:
            node.join()
        self.run(5.0)

    def send(self, sender: SimulatedNode, address: str, frame: bytes) -> None:
        assert len(frame) <= self.network.largest
        if self.network.loses(decode(frame)[1]):
            return
        to_everyone = address == EVERYONE
        self.bytes += len(frame)
        self.said.append((round(self.now, 3), sender.label, address, frame))
        self.sent += address != control_address(sender.id)
        for node in self.nodes.values():
            mine = control_address(node.id)
            if address not in {mine} | ({EVERYONE} if node is not sender else set()):
                continue
            if frozenset((sender.label, node.label)) in self.network.parted:
                continue
            if self._random.random() >= self.network.loss:
                take = partial(node.take, frame, to_everyone)
                self._carry(sender, node, take)
                if self._random.random() < self.network.repeat:
                    later = self._random.uniform(0.0, 2.0)
                    self.after(later, take)

    def after(self, delay: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._order), call))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += TICK
            while self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
            for node in list(self.nodes.values()):
                node.tick()

    def _carry(self, sender: SimulatedNode, node: SimulatedNode, take: Callable[[], None]) -> None:
        way = (sender.label, node.label)
        at = self.now + self._random.uniform(*self.network.delay)
        at = self._latest[way] = max(at, self._latest.get(way, 0.0))
        heapq.heappush(self._due, (at, next(self._order), lambda: self._arrive(take)))

    def _arrive(self, take: Callable[[], None]) -> None:
        if self.network.stands is None:
            take()
        else:
            self.network.stands.append(take)


def alive(system: System) -> set[str]:
    """Labels of the nodes that stay."""
    return {label for label, node in system.nodes.items() if node.stays}


def deaths(node: SimulatedNode) -> list[str]:
    """Labels of the nodes whose death this one was told of."""
    return [node.system.by_id[e.info.node].label for e in node.heard(NodeLost) if e.died]


def three() -> tuple[System, SimulatedNode, SimulatedNode, SimulatedNode]:
    """Return a system of a primary and two workers that have found each other."""
    system = System()
    nodes = system.primary(), system.add("A", "a"), system.add("B", "b")
    system.joined(*nodes)
    return system, *nodes


__all__ = [
    "FAST",
    "Network",
    "Settled",
    "SimulatedNode",
    "System",
    "alive",
    "deaths",
    "three",
]
