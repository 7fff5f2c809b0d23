"""FailureDetector: pings the other nodes that are due, and says which of them are silent. No I/O.

The primary pings all others and judges by what comes back. Any other node only listens to the
primary's pings, and probes whom a primary does not know (see `liveness`). When a worker is silent,
it asks the primary whom that knows: what the primary has said of its end may have been lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from math import inf
from typing import Any, Final, NamedTuple

from civitas._cluster.claims import PROBE_TIMEOUT
from civitas._cluster.clocks import Clocks
from civitas._cluster.liveness import OwnNode, Peer
from civitas._cluster.member_table import MemberTable
from civitas._cluster.protocol import (
    ControlMessage,
    Counters,
    NodeInfo,
    Ping,
    Query,
    control_address,
)
from civitas._supervision.heartbeat import OwnPings

_ASK_EVERY: Final = 4.0
"""Seconds between two questions whom the primary knows, at least."""

_STOPPED: Final = "its pings have stopped"
_VANISHED: Final = "silent, and unknown to the primary"


class Silence(NamedTuple):
    """A node that is taken for gone, and why; `dead`: for good, since the primary says so."""

    peer: Peer
    reason: str
    dead: bool


class FailureDetector:
    """The pings of one node, to the others and to itself; `send` sends a message to an address."""

    def __init__(
        self,
        node: str,
        members: MemberTable,
        clocks: Clocks,
        send: Callable[[str, ControlMessage], None],
    ) -> None:
        self._node = node
        self._members = members
        self._clocks = clocks
        self._send = send
        self._own_pings = OwnPings()
        self._next_question = 0.0

    def returned(self, sequence: int, now: float) -> None:
        """Take note of a ping to itself that has come back: so long others could hear and answer.

        The time for their answers begins with it.
        """
        self._members.confirm(self._own_pings.returned(sequence), now)

    def look(self, info: NodeInfo, now: float) -> list[Silence]:
        """Ping who is due, and return who is silent; `info` is that of this node."""
        if info.role == "primary":
            return self._ping_all(now)
        gone = []
        for peer in self._members.peers.values():
            if peer.info.role == "primary" and peer.silent(now):
                gone.append(Silence(peer, _STOPPED, dead=False))
            elif peer.vanished(now):
                gone.append(Silence(peer, _VANISHED, dead=False))
        return gone

    def answer(self, query: Query, own: OwnNode, now: float) -> Counters:
        """Answer a query to a node."""
        told = own.wait_of(query.agent) if query.agent else self.told(own, now)
        return Counters(query.number, told)

    def told(self, own: OwnNode, now: float) -> Mapping[str, Any]:
        """Return the counters of a node, with who owes it an answer to pings, and who has gone.

        Both are known here also while the node's event loop is blocked.
        """
        peers = self._members.peers.values()
        silent = {p.info.node: p.monitor.silent_for(now) for p in peers if p.monitor.misses(now)}
        present = {peer.info.process for peer in peers}
        departures = self._members.departures.list(now)
        gone = [asdict(each) for each in departures if each.process not in present]
        return {**own.counters(), "stalled": own.stalled(), "silent": silent, "gone": gone}

    def next_due(self, info: NodeInfo) -> float:
        """Return when someone is to be pinged or judged, or asked about; inf for never."""
        peers = self._members.peers.values()
        if info.role == "primary":
            own = self._own_pings.next_due() if any(p.monitor.waiting for p in peers) else inf
            return min(own, min((peer.monitor.next_due() for peer in peers), default=inf))
        due, silent_at = inf, inf
        for peer in peers:
            due = min(due, peer.next_due())
            if peer.info.role == "worker":
                silent_at = min(silent_at, peer.silent_at)
        if self._members.primary is None:
            return due
        return min(due, max(silent_at, self._next_question))

    def in_doubt(self, now: float) -> bool:
        """Return whether to ask the primary now whom it knows: a worker has been silent."""
        peers = self._members.peers.values()
        silent = any(peer.info.role == "worker" and peer.silent(now) for peer in peers)
        if not silent or now < self._next_question:
            return False
        self._next_question = now + _ASK_EVERY
        return True

    def suspect_others(self, known: Collection[str], now: float) -> None:
        """Probe the workers that the primary does not know: their end may have gone unheard."""
        names = set(known)
        for peer in self._members.peers.values():
            if peer.info.role == "worker" and peer.info.node not in names:
                peer.suspect(now + PROBE_TIMEOUT)
                self._send(peer.address, Ping(0, 0.0))

    def _ping_all(self, now: float) -> list[Silence]:
        gone, waiting = [], False
        for peer in self._members.peers.values():
            monitor = peer.monitor
            if monitor.dead(now):
                silent = monitor.silent_for(now)
                gone.append(Silence(peer, f"no answer to pings for {silent:.1f} s", dead=True))
                continue
            sequence = monitor.ping(now, confirmed=not self._own_pings.come_back)
            if sequence is not None:
                offset = self._clocks.offset(peer.info.node)
                self._send(peer.address, Ping(sequence, monitor.policy.bound, offset))
            waiting = waiting or monitor.waiting
        sequence = self._own_pings.ping(now) if waiting else None
        if sequence is not None:
            self._send(control_address(self._node), Ping(sequence, 0.0))
        return gone
