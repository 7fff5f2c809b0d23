"""MemberTable: the nodes that are in, or were, and under which names. No I/O.

The states of another node, and the events that move it: see `civitas._cluster`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Final

from civitas._cluster.authority import Speaker
from civitas._cluster.claims import Claims, conflict
from civitas._cluster.departures import Departures
from civitas._cluster.events import Event, NodeLost, NodeSeen
from civitas._cluster.liveness import Peer
from civitas._cluster.protocol import NodeInfo
from civitas._supervision.heartbeat import HeartbeatPolicy, strictest

LINK_GRACE: Final = 5.0
"""Seconds after a lost link, or a pause of this process, in which silence counts for nothing."""

LIMIT: Final = 10_000
"""Nodes that are members, that are missing, and that are remembered after their end, at most."""

_UNPROVED: Final = 5.0
"""Seconds that a member is kept at least, though no route to it is proved."""

AGENTS: Final = 1_000_000
"""Agents of all members together, at most."""


class BoundedSet:
    """The keys of nodes that are not to be heard any more; beyond `limit` the oldest goes.

    They are kept in `keys`, into which others may look.
    """

    def __init__(self, keys: set[bytes], limit: int = LIMIT) -> None:
        self._keys = keys
        self._order = deque(keys)
        self._limit = limit

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def discard(self, key: bytes) -> None:
        if key in self._keys:
            self._keys.discard(key)
            self._order.remove(key)

    def add(self, key: bytes) -> None:
        if key not in self._keys:
            self._keys.add(key)
            self._order.append(key)
            if len(self._order) > self._limit:
                self._keys.discard(self._order.popleft())


class MemberTable:
    """The other nodes by their state: members, claiming, missing, departed, fenced.

    The data transport looks into `fenced`, and refuses the frames of these nodes. `report` is
    called with an event when a node comes, changes or goes. `clock` returns the time of the present
    turn.
    """

    def __init__(
        self,
        fenced: set[bytes],
        policies: Mapping[str, HeartbeatPolicy],
        report: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self.peers: dict[str, Peer] = {}
        self.claims = Claims()
        self.missing: dict[str, NodeInfo] = {}
        """Nodes that went silent and may come back."""
        self.departed = BoundedSet(set())
        """Nodes that have said goodbye, by key: what still comes of them was overtaken by it."""
        self.fenced = BoundedSet(fenced)
        """Nodes that were declared dead, by key."""
        self.departures = Departures()
        self._policies = policies
        self._report = report
        self._clock = clock

    @property
    def primary(self) -> Peer | None:
        """The node that has the supervision tree, unless it is this one, or unknown."""
        for peer in self.peers.values():
            if peer.info.role == "primary":
                return peer
        return None

    def speaker(self, node: str, key: bytes) -> Speaker:
        """Return who the sender of a frame is."""
        peer = self.peers.get(node)
        if peer is not None and peer.info.key == key:
            info = peer.info
            return Speaker(node, key, info.role, process=info.process, agents=peer.agents)
        known = self.missing.get(node) or self.claims.of(node)
        return Speaker(node, key, None, known is not None and known.key == key)

    def is_member(self, key: bytes) -> bool:
        """Return whether a node, by its key, is in."""
        peer = self.peers.get(key[:8].hex())
        return peer is not None and peer.info.key == key

    def has_gone(self, key: bytes) -> bool:
        """Return whether a node, by its key, was in and is no more."""
        return key in self.fenced or key in self.departed

    def depart(self, speaker: Speaker) -> None:
        """Take note that a node has said goodbye."""
        self.claims.discard(speaker.node)
        self.departed.add(speaker.key)

    def full(self, info: NodeInfo) -> bool:
        """Return whether there is no room for a node."""
        if info.node in self.peers:
            return False
        if len(self.peers) >= LIMIT:
            return True
        agents = sum(len(peer.agents) for peer in self.peers.values()) + self.claims.agents
        return agents + len(info.agents) > AGENTS

    def unproved(self, now: float) -> Peer | None:
        """Return the oldest member to which no route is proved; None where all are."""
        older = (peer for peer in self.peers.values() if now - peer.met_at >= _UNPROVED)
        return next((peer for peer in older if not (peer.reached or peer.admits)), None)

    def meet(self, info: NodeInfo, now: float, nonce: bytes = b"") -> bool:
        """Let a node in unless somebody has its names; return whether it is in.

        `nonce` is what an answer to it repeats.
        """
        peer = self.peers.get(info.node)
        if peer is not None:
            return peer.info.key == info.key and self.update(peer, info, now)
        if self.full(info):
            return False
        for other in self.peers.values():
            if not other.info.leaving and conflict(other.info, info, other.agents) is not None:
                self.claims.add(info, nonce, other.info.node, now)
                return False
        self.claims.discard(info.node)
        self.missing.pop(info.node, None)
        for missing in [each for each in self.missing.values() if conflict(each, info)]:
            self.give_up(missing.node, f"silent, and superseded by node {info.node[:8]}", died=True)
        self.departures.came(info)
        self.peers[info.node] = Peer(info, self._policy(info.agents), now)
        self._report(NodeSeen(info))
        return True

    def update(self, peer: Peer, info: NodeInfo, now: float, since: int = 0) -> bool:
        """Take note of what a node announces of itself.

        `info` has what has changed `since` a revision; 0 for all. Return False when that is a later
        one than this node knows: something between them was missed.
        """
        peer.heard(now)
        if since > peer.info.revision:
            return False
        if info.revision > peer.info.revision:
            is_more = not info.agents.keys() <= peer.agents.keys()
            if is_more and self._has_others_names(info):
                return True  # nothing of it is believed
            peer.take(info)
            if is_more:
                peer.monitor.follow(self._policy(peer.agents), now)
            self._report(NodeSeen(info))
        return True

    def _has_others_names(self, info: NodeInfo) -> bool:
        others = (each for each in self.peers.values() if not each.info.leaving)
        return any(conflict(each.info, info, each.agents) for each in others)

    def remove(self, peer: Peer, reason: str, *, died: bool, may_return: bool = False) -> None:
        """Take a node out; it `may_return` unless another one takes its place."""
        info = peer.info
        del self.peers[info.node]
        whole = peer.whole
        if may_return and not any(
            conflict(other.info, whole, other.agents) for other in self.peers.values()
        ):
            self.missing[info.node] = whole
            if len(self.missing) > LIMIT:
                self.give_up(next(iter(self.missing)), reason, died=died)
        elif may_return:  # it had left its names to another node
            self.fenced.add(info.key)
        self._lost(NodeLost(info, reason, died, final=info.node not in self.missing))

    def give_up(self, node: str, reason: str, *, died: bool) -> None:
        """Take note that a missing node, if it is one, will not come back."""
        info = self.missing.pop(node, None)
        if info is not None:
            if died:
                self.fenced.add(info.key)
            self._lost(NodeLost(info.header, reason, died))

    def _lost(self, event: NodeLost) -> None:
        self.departures.went(event, self._clock())
        self._report(event)

    def forgive(self, now: float) -> None:
        """Hold nobody's silence against it: what was not heard was this node's own fault."""
        for peer in self.peers.values():
            peer.forgive(now, LINK_GRACE)
        self.claims.prolong(now + LINK_GRACE)

    def confirm(self, sent: float, now: float) -> None:
        """Take note that what was sent to others by `sent` could be heard and answered since."""
        for peer in self.peers.values():
            peer.monitor.confirm(sent, now)

    def waits_for(self, nodes: Set[str]) -> bool:
        """Return whether one of these is not in, or anything of those that are is undecided."""
        unproved = any(not peer.proved for peer in self.peers.values())
        return unproved or bool(self.claims) or not nodes <= self.peers.keys()

    def known(self) -> tuple[str, ...]:
        """Return the ids of the nodes that host agents, or may."""
        return tuple(p.info.node for p in self.peers.values() if p.info.role != "client")

    def _policy(self, agents: Iterable[str]) -> HeartbeatPolicy:
        return strictest(self._policies[name] for name in agents if name in self._policies)
