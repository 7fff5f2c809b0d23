"""Membership: who belongs to the system, as one node sees it. No I/O and no clock of its own.

A node says hello until it has found the others; each of them answers with a welcome. Names are
claimed by the hello, and settled when nobody objects: of two live claims the older one stays.
The primary pings every node; what stays silent is declared dead and fenced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from civitas._cluster.bounded_set import BoundedSet
from civitas._cluster.claims import PROBE_TIMEOUT, Claims, conflict, prevails
from civitas._cluster.events import (
    AgentCrashed,
    Answered,
    ClockSeen,
    Commanded,
    Event,
    Evicted,
    Heard,
    Lost,
    Met,
    Settled,
)
from civitas._cluster.peer import Peer
from civitas._cluster.protocol import (
    EVERYONE,
    Admitted,
    Changed,
    Command,
    ControlMessage,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    NodeInfo,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Welcome,
    control_address,
)
from civitas._cluster.rpc import PendingRequests
from civitas._cluster.timing import (
    CLAIM_WINDOW,
    DOUBT,
    FIRST_HELLO,
    JOIN_TIMEOUT,
    LINK_GRACE,
    LONELY,
    PAUSE,
    PRIMARY_WINDOW,
    PROMPT,
    SLOWEST_HELLO,
)
from civitas._supervision.heartbeat import HeartbeatPolicy, strictest
from civitas.envelope import Origin


class Local(Protocol):
    """What the membership asks its own node, at any time and without waiting."""

    def agents(self) -> Mapping[str, tuple[str, int]]:
        """Return status and incarnation of each agent."""
        ...

    def stalled(self) -> float:
        """Return for how many seconds the node's event loop has been blocked."""
        ...

    def counters(self) -> Mapping[str, Any]:
        """Return the node's counters."""
        ...


class Membership:
    """One node's view of the system.

    Args:
        info: what the node tells of itself.
        local: answers for the node.
        send: called with (address, message) to send one.
        tell: called with each event.
        fenced: gets the keys of nodes whose frames are refused.
        policies: how closely the primary watches each supervised agent's node, by agent.
        clock: tells epoch seconds, to compare clocks.
    """

    def __init__(
        self,
        info: NodeInfo,
        local: Local,
        send: Callable[[str, ControlMessage], None],
        tell: Callable[[Event], None],
        fenced: set[bytes],
        policies: Mapping[str, HeartbeatPolicy],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.info = info
        self.peers: dict[str, Peer] = {}
        self._local = local
        self._send = send
        self._tell = tell
        self._fenced = BoundedSet(fenced)
        self._departed = BoundedSet(set())
        self._missing: dict[str, NodeInfo] = {}
        self._policies = policies
        self._clock = clock
        self._claims = Claims()
        self._roster: set[str] = set()
        self._pending = PendingRequests()
        self._joined_at: float | None = None
        self._next_hello = 0.0
        self._hello_pause = FIRST_HELLO
        self._link_is_down = False
        self._doubtful_until: float | None = None
        self._seen: float | None = None
        self._evicted = False

    @property
    def primary(self) -> Peer | None:
        """The node that has the supervision tree, unless it is this one, or unknown."""
        return next((p for p in self.peers.values() if p.info.role == "primary"), None)

    # --- what the node wants ------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Begin to say hello."""
        self._joined_at = self._next_hello = now
        self.tick(now)

    def announce(self, **changes: Any) -> None:
        """Tell everyone what has changed of the node's info."""
        self.info = replace(self.info, **changes)
        if self._joined_at is not None:
            self._send(EVERYONE, Changed(self.info))

    def leave(self, reason: str) -> None:
        """Tell everyone that the node goes."""
        self._joined_at = None  # from now on it is silent, lest anyone let it in again
        self._send(EVERYONE, Left(self.info.node, self.info.generation, reason, fenced=False))
        for number in self._pending.lost():
            self._tell(Answered(number, error="this node has left"))

    def admit(self, node: str, now: float) -> None:
        """Take note that the data route to a node is proved, and let it know."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.reached = True
            self._send(peer.address, Admitted())
            self._settle(now)

    def ask(self, node: str, message: Command | Query, now: float) -> None:
        """Send a command or a query, again and again until it is answered or the node is lost."""
        if node not in self.peers:
            self._tell(Answered(message.number, error="its process has gone"))
            return
        self._pending.ask(node, message, now)
        self._send(control_address(node), message)

    def withdraw(self, number: int) -> None:
        """Ask no more for the answer to a command or a query."""
        self._pending.withdraw(number)

    def answer(self, node: str, result: Result) -> None:
        """Answer a command."""
        self._send(control_address(node), result)

    def report(self, crash: Crashed) -> None:
        """Tell the primary at once of a crash; its next ping would learn of it as well."""
        if self.primary is not None:
            self._send(self.primary.address, crash)

    # --- what happens -------------------------------------------------------------------------

    def link_down(self) -> None:
        """Take note that nothing can be heard: silence says nothing about others now."""
        self._link_is_down = True

    def link_up(self, now: float) -> None:
        """Take note that the link is back; others may have come and gone meanwhile."""
        self._link_is_down = False
        self._begin_again(now)
        self._greet(now)

    def tick(self, now: float) -> None:
        """Do what is due; to be called several times a second."""
        self._notice_pause(now)
        if self._link_is_down or self._joined_at is None or self._evicted:
            return
        self._greet(now)
        self._watch(now)
        for node in self._claims.to_probe(now):
            self._send(control_address(node), Ping(0, 0.0))
        for claim in self._claims.unanswered(now):
            holder = self.peers.get(claim.holder)
            if holder is not None:
                self._declare_dead(holder, f"silent, and superseded by node {claim.info.node[:8]}")
            if self._meet(claim.info, now):  # it may have stopped saying hello by now
                self._send(control_address(claim.info.node), Hello(self.info, self._clock()))
        for node, message in self._pending.due(now):
            self._send(control_address(node), message)
        self._settle(now)

    def receive(self, origin: Origin, message: ControlMessage, now: float) -> None:
        """Take in what another node says.

        Args:
            origin: who says it.
            message: what it says.
            now: time of the caller's monotonic clock.
        """
        node = origin.node.hex()
        key = origin.node + origin.generation.to_bytes(4, "big")
        self._notice_pause(now)
        if node == self.info.node or self._joined_at is None or self._evicted:
            return
        if key in self._fenced:
            if not isinstance(message, Fenced | Left):  # else two that fence each other never end
                self._send(control_address(node), Fenced(f"superseded in {self.info}"))
            return
        if key in self._departed:
            return  # a word that was overtaken by its goodbye
        if isinstance(message, Hello | Welcome | Changed | Refused) and message.info.key != key:
            return
        self._hear(origin, message, now)

    # --- hearing ------------------------------------------------------------------------------

    def _hear(self, origin: Origin, message: ControlMessage, now: float) -> None:
        node = origin.node.hex()
        match message:
            case Hello():
                self._hear_hello(message, now)
            case Welcome():
                self._hear_welcome(message, now)
            case Changed():
                if node in self.peers:
                    self._update(self.peers[node], message.info, now)
            case Refused():
                self._hear_refusal(message)
            case Fenced() if node in self.peers or node in self._missing:  # no stranger's word
                self._evict(message.reason, fenced=True)
            case Left():
                self._hear_left(origin, message)
            case Ping():
                self._hear_ping(node, message, now)
            case _:
                peer = self.peers.get(node)
                if peer is not None:
                    self._hear_peer(peer, message, now)

    def _hear_hello(self, hello: Hello, now: float) -> None:
        info = hello.info
        address, reason = control_address(info.node), conflict(self.info, info)
        if reason is None:
            if self._meet(info, now):
                if self._doubtful_until is None:  # else it may have lain here for long
                    self._tell(ClockSeen(info.node, hello.clock - self._clock()))
                self._send(address, self._welcome(hello.clock))
        elif self._doubtful_until is not None:
            pass  # it says hello itself when the doubt is over
        elif prevails(self.info, info):
            self._send(address, Refused(self.info, reason))
        elif self.info.settled:  # it is for the other one to refuse, which has to know of this one
            self._send(address, Hello(self.info, self._clock()))

    def _hear_welcome(self, welcome: Welcome, now: float) -> None:
        info = welcome.info
        if conflict(self.info, info) is not None:
            return
        if info.role == "primary":
            self._roster = set(welcome.known)
            self._suspect_others(welcome, now)
        here = self._clock()
        if 0 <= here - welcome.echo <= PROMPT:
            self._tell(ClockSeen(info.node, welcome.clock - (welcome.echo + here) / 2))
        self._meet(info, now)
        self._settle(now)

    def _hear_refusal(self, refused: Refused) -> None:
        reason = conflict(self.info, refused.info)
        if reason is not None and prevails(self.info, refused.info):
            if self._doubtful_until is None:
                self._send(control_address(refused.info.node), Refused(self.info, reason))
        elif reason is not None or not self.info.settled:
            self._evict(refused.reason, fenced=False)

    def _hear_left(self, origin: Origin, left: Left) -> None:
        teller = origin.node.hex()
        if teller == left.node:
            self._claims.discard(teller)
            self._departed.add(origin.node + origin.generation.to_bytes(4, "big"))
        by_primary = self.primary is not None and self.primary.info.node == teller
        if left.node == self.info.node:
            if by_primary and left.generation == self.info.generation:
                self._evict(left.reason, fenced=True)
            return
        peer = self.peers.get(left.node)
        if peer is None or not (teller == left.node or by_primary):
            return
        if left.fenced:
            self._fenced.add(peer.info.key)
        self._lose(peer, left.reason, died=left.fenced)

    def _hear_ping(self, node: str, ping: Ping, now: float) -> None:
        self._send(
            control_address(node),
            Pong(ping.sequence, self._local.agents(), self._local.stalled()),
        )
        peer = self.peers.get(node)
        if peer is not None:
            peer.heard(now, ping.patience)
        elif self._joined_at is not None:  # it knows this node, which had given it up
            self._send(control_address(node), Hello(self.info, self._clock()))

    def _hear_peer(self, peer: Peer, message: ControlMessage, now: float) -> None:
        peer.heard(now)
        match message:
            case Admitted():
                peer.admits = True
                self._settle(now)
            case Pong():
                peer.monitor.answered(message.sequence, now)
                self._tell(Heard(peer.info, message.agents, message.stalled))
                for claim in self._claims.answered(peer.info.node):
                    if peer.info.settled:
                        reason = conflict(peer.info, claim.info) or ""
                        address = control_address(claim.info.node)
                        self._send(address, Refused(self.info, reason))
            case Crashed():
                self._tell(AgentCrashed(peer.info.node, message))
            case Command():
                if peer.info.role == "primary":
                    told = Commanded(peer.info.node, message.number, message.verb, message.agent)
                    self._tell(told)
            case Result():
                if self._pending.answered(peer.info.node, message.number):
                    self._tell(Answered(message.number, message.error, message.incarnation))
            case Query():
                self._send(peer.address, Counters(message.number, self._local.counters()))
            case Counters():
                if self._pending.answered(peer.info.node, message.number):
                    self._tell(Answered(message.number, counters=message.counters))

    # --- coming and going ---------------------------------------------------------------------

    def _meet(self, info: NodeInfo, now: float) -> bool:
        """Let a node in unless somebody has its names; return whether it is in."""
        peer = self.peers.get(info.node)
        if peer is not None:
            self._update(peer, info, now)
            return True
        for other in self.peers.values():
            if conflict(other.info, info) is not None and not other.info.leaving:
                self._claims.add(info, other.info.node, now)
                return False
        self._claims.discard(info.node)
        self._missing.pop(info.node, None)
        for missing in [each for each in self._missing.values() if conflict(each, info)]:
            del self._missing[missing.node]  # silent, and superseded
            self._fenced.add(missing.key)
        self.peers[info.node] = Peer(info, self._policy(info), now)
        self._tell(Met(info))
        if info.role == "primary" and self.info.settled:
            # Its welcome tells who else is left of those that an earlier primary watched.
            self._send(control_address(info.node), Hello(self.info, self._clock()))
        return True

    def _update(self, peer: Peer, info: NodeInfo, now: float) -> None:
        peer.heard(now)
        if info != peer.info:
            peer.info = info
            peer.monitor.follow(self._policy(info), now)
            self._tell(Met(info))

    def _policy(self, info: NodeInfo) -> HeartbeatPolicy:
        return strictest(self._policies[name] for name in info.agents if name in self._policies)

    def _lose(self, peer: Peer, reason: str, *, died: bool, final: bool = True) -> None:
        node = peer.info.node
        del self.peers[node]
        self._roster.discard(node)
        self._tell(Lost(peer.info, reason, died, final))
        for number in self._pending.lost(node):
            self._tell(Answered(number, error="its process has gone"))

    def _declare_dead(self, peer: Peer, reason: str) -> None:
        """Lose a node for good: should it resume, it is refused."""
        info = peer.info
        self._fenced.add(info.key)
        self._lose(peer, reason, died=True)
        if self.info.role == "primary":
            self._send(EVERYONE, Left(info.node, info.generation, reason, fenced=True))

    def _miss(self, peer: Peer, reason: str) -> None:
        """Lose a node that may come back, unless another one takes its place."""
        self._missing[peer.info.node] = peer.info
        self._lose(peer, reason, died=True, final=False)

    def _watch(self, now: float) -> None:
        """Ping who is due, and judge who is silent."""
        for peer in list(self.peers.values()):
            monitor = peer.monitor
            if self.info.role == "primary":
                if monitor.dead(now):
                    silent = monitor.silent_for(now)
                    self._declare_dead(peer, f"no answer to pings for {silent:.1f} s")
                    continue
                sequence = monitor.ping(now)
                if sequence is not None:
                    self._send(peer.address, Ping(sequence, monitor.policy.bound))
            elif peer.info.role == "primary" and peer.silent(now):
                self._miss(peer, "its pings have stopped")
            elif peer.vanished(now):
                self._miss(peer, "silent, and unknown to the primary")

    def _suspect_others(self, welcome: Welcome, now: float) -> None:
        """Probe the nodes that the primary does not know: their end may have gone unheard."""
        for peer in self.peers.values():
            if peer.info.role == "worker" and peer.info.node not in welcome.known:
                peer.suspect(now + PROBE_TIMEOUT)
                self._send(peer.address, Ping(0, 0.0))

    def _notice_pause(self, now: float) -> None:
        """Find out whether this process itself stood still, before anything is judged by time."""
        paused = self._seen is not None and now - self._seen > PAUSE
        self._seen = now
        if paused:
            self._begin_again(now)

    def _begin_again(self, now: float) -> None:
        """Hold nobody's silence against it, and ask the others whether this node still belongs."""
        for peer in self.peers.values():
            peer.forgive(now, LINK_GRACE)
        self._claims.prolong(now + LINK_GRACE)
        self._doubtful_until = now + DOUBT
        self._next_hello = now
        if self._joined_at is not None and not self.info.settled:
            self._joined_at = now

    def _evict(self, reason: str, *, fenced: bool) -> None:
        if not self._evicted:
            self._evicted = True
            self._tell(Evicted(reason, fenced))

    # --- finding the others -------------------------------------------------------------------

    def _greet(self, now: float) -> None:
        """Say hello when due: to be let in, to find a primary, to learn of having been lost."""
        if self._joined_at is None or self._evicted or now < self._next_hello:
            return
        doubtful = self._doubtful_until
        if self.info.settled and self.primary is not None and doubtful is None:
            return
        if doubtful is not None and now >= doubtful:
            self._doubtful_until = doubtful = None
        self._send(EVERYONE, Hello(self.info, self._clock()))
        if self.info.settled:
            self._next_hello = doubtful or now + LONELY
        else:
            self._next_hello = now + self._hello_pause
            self._hello_pause = min(self._hello_pause * 1.5, SLOWEST_HELLO)

    def _welcome(self, echo: float) -> Welcome:
        known = tuple(p.info.node for p in self.peers.values() if p.info.role != "client")
        return Welcome(self.info, echo, self._clock(), known)

    def _settle(self, now: float) -> None:
        """End the search when nobody is left to be found, or the time for it is over."""
        if self.info.settled or self._joined_at is None or self._evicted:
            return
        waited = now - self._joined_at
        has_primary = self.info.role == "primary" or self.primary is not None
        window = 0.0 if self.primary is not None else CLAIM_WINDOW
        if waited < (window if has_primary else PRIMARY_WINDOW):
            return
        missing = self._roster - self.peers.keys() - {self.info.node}
        unproved = [p for p in self.peers.values() if not p.proved]
        if (missing or unproved or self._claims) and waited < JOIN_TIMEOUT:
            return
        self.announce(settled=True)
        self._tell(Settled(alone=not has_primary))
