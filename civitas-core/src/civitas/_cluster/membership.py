"""Membership: who belongs to the system, as one node sees it. No I/O and no clock of its own.

Theory and table of states: `civitas._cluster`. Here it is decided what each message of another node
means, and when to speak; who is in and under which names is kept by `member_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from civitas import _platform as platform
from civitas._cluster.claims import PROBE_TIMEOUT, conflict, prevails
from civitas._cluster.clocks import Clocks
from civitas._cluster.discovery import Discovery
from civitas._cluster.events import Event, Evicted, Received, Settled
from civitas._cluster.liveness import OwnNode, Peer
from civitas._cluster.member_table import MemberTable
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
from civitas._supervision.heartbeat import HeartbeatPolicy, OwnPings
from civitas.envelope import Origin

_GONE: Final = "its process has gone"


class Membership:
    """One node's view of the system.

    `own` reads the node's state; `fenced` gets the keys of nodes whose frames are refused;
    `policies` say how closely the primary watches each supervised agent's node, by agent; `clock`
    returns epoch seconds, to compare clocks.
    """

    def __init__(
        self,
        info: NodeInfo,
        own: OwnNode,
        send: Callable[[str, ControlMessage], None],
        report: Callable[[Event], None],
        fenced: set[bytes],
        policies: Mapping[str, HeartbeatPolicy],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.info = info
        self.members = MemberTable(fenced, policies, report)
        self.peers = self.members.peers
        self._own = own
        self._send = send
        self._report = report
        self._discovery = Discovery()
        self._clocks = Clocks(clock or platform.wall, report)
        self._own_pings = OwnPings()
        self._pending = PendingRequests()
        self._link_is_down = False
        self._evicted = False

    # --- what the node wants ------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Begin to say hello."""
        self._discovery.join(now)
        self.tick(now)

    def announce(self, **changes: Any) -> None:
        """Announce to everyone what has changed of the node."""
        self.info = replace(self.info, **changes)
        if self._discovery.joined:
            self._send(EVERYONE, Changed(self.info))

    def leave(self, reason: str) -> None:
        """Say goodbye to everyone."""
        self._discovery.leave()
        self._send(EVERYONE, Left(self.info.node, self.info.generation, reason, fenced=False))
        for number in self._pending.lost():
            self._report(Result(number, "this node has left"))

    def admit(self, node: str, done: tuple[str, ...], now: float) -> None:
        """Take note that the data route to a node is proved, and say so to it; see `Admitted`."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.reached = True
            self._send(peer.address, Admitted(done))
            self._settle(now)

    def call(self, node: str, message: Command | Query, now: float) -> None:
        """Send a command or a query, again and again until it is answered or the node is lost."""
        if node not in self.peers:
            self._report(Result(message.number, _GONE))
            return
        self._pending.sent(node, message, now)
        self._send(control_address(node), message)

    def withdraw(self, number: int) -> None:
        """Forget a command or a query: nobody waits for its answer any more."""
        self._pending.withdraw(number)

    def answer(self, node: str, result: Result) -> None:
        """Answer a command."""
        self._send(control_address(node), result)

    def report_crash(self, crash: Crashed) -> None:
        """Report a crash to the primary at once; the answer to its next ping would, too."""
        if self.members.primary is not None:
            self._send(self.members.primary.address, crash)

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
        if self._discovery.stood_still(now):
            self._begin_again(now)
        # While nothing can be heard, nobody's silence may be judged, and nothing would be sent.
        if self._link_is_down or not self._discovery.joined or self._evicted:
            return
        self._greet(now)
        self._watch(now)
        for node in self.members.claims.to_probe(now):
            self._send(control_address(node), Ping(0, 0.0))
        for claim in self.members.claims.unanswered(now):
            holder = self.peers.get(claim.holder)
            if holder is not None:
                self._declare_dead(holder, f"silent, and superseded by node {claim.info.node[:8]}")
            if self._meet(claim.info, now):  # it may have stopped saying hello by now
                self._send(control_address(claim.info.node), Hello(self.info, self._clocks.clock()))
        for node, message in self._pending.due(now):
            self._send(control_address(node), message)
        self._settle(now)

    def receive(self, origin: Origin, message: ControlMessage, now: float) -> None:
        """Take in what another node says. `now` is the time of the caller's monotonic clock."""
        node = origin.node.hex()
        key = origin.node + origin.generation.to_bytes(4, "big")
        # First of all: what has waited while this process stood still must not be judged by time.
        if self._discovery.stood_still(now):
            self._begin_again(now)
        # Its own words come back to a node from the address of everyone.
        if node == self.info.node and isinstance(message, Ping):
            self.members.confirm(self._own_pings.returned(message.sequence), now)
        if node == self.info.node or not self._discovery.joined or self._evicted:
            return
        if key in self.members.fenced:
            if not isinstance(message, Fenced | Left):  # else two that fence each other never end
                self._send(control_address(node), Fenced(f"superseded in {self.info}"))
            return
        if key in self.members.departed:
            return  # overtaken by its goodbye
        # A node speaks of itself only: the frame's header and the body must agree on who it is.
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
                # A stranger has to say hello: only a hello is checked for names that are taken.
                if node in self.peers:
                    self.members.update(self.peers[node], message.info, now)
            case Refused():
                self._hear_refusal(message)
            case Fenced() if node in self.peers or node in self.members.missing:  # of nobody else
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
                if not self._discovery.doubtful:  # else it may have lain here for long
                    self._clocks.hear_hello(hello)
                known = self.members.known()
                self._send(address, Welcome(self.info, hello.clock, self._clocks.clock(), known))
        elif self._discovery.doubtful:
            pass  # it says hello itself when the doubt is over
        elif prevails(self.info, info):
            self._send(address, Refused(self.info, reason))
        elif self.info.settled:  # it is for the other one to refuse, which has to know of this one
            self._send(address, Hello(self.info, self._clocks.clock()))

    def _hear_welcome(self, welcome: Welcome, now: float) -> None:
        info = welcome.info
        if conflict(self.info, info) is not None:
            return  # its refusal comes, or this node's own: a welcome decides nothing
        if info.role == "primary":
            self._discovery.roster = set(welcome.known)
            self._suspect_others(welcome, now)
        self._clocks.hear_welcome(welcome)
        self._meet(info, now)
        self._settle(now)

    def _hear_refusal(self, refused: Refused) -> None:
        reason = conflict(self.info, refused.info)
        if reason is not None and prevails(self.info, refused.info):
            # Both claims are new, and the other node does not know yet that this one prevails. One
            # that could not hear for a while may itself be the one that was superseded.
            if not self._discovery.doubtful:
                self._send(control_address(refused.info.node), Refused(self.info, reason))
        elif reason is not None or not self.info.settled:
            self._evict(refused.reason, fenced=False)

    def _hear_left(self, origin: Origin, left: Left) -> None:
        speaker = origin.node.hex()
        if speaker == left.node:
            self.members.claims.discard(speaker)
            self.members.departed.add(origin.node + origin.generation.to_bytes(4, "big"))
        # Of another node only the primary says that it has gone: it alone pings all of them.
        primary = self.members.primary
        by_primary = primary is not None and primary.info.node == speaker
        if left.node == self.info.node:
            if by_primary and left.generation == self.info.generation:
                self._evict(left.reason, fenced=True)
            return
        peer = self.peers.get(left.node)
        if peer is None or not (speaker == left.node or by_primary):
            return
        if left.fenced:
            self.members.fenced.add(peer.info.key)
        self._lose(peer, left.reason, died=left.fenced)

    def _hear_ping(self, node: str, ping: Ping, now: float) -> None:
        address = control_address(node)
        agents, stalled = self._own.agents(), self._own.stalled()
        self._send(address, Pong(ping.sequence, agents, stalled, self._clocks.clock()))
        peer = self.peers.get(node)
        if peer is not None:
            peer.heard(now, ping.patience)
            if peer.info.role == "primary" and self._clocks.own_moved(ping):
                self._send(EVERYONE, Hello(self.info, self._clocks.clock()))
        elif self._discovery.joined:  # it knows this node, which had given it up
            self._send(address, Hello(self.info, self._clocks.clock()))

    def _hear_peer(self, peer: Peer, message: ControlMessage, now: float) -> None:
        peer.heard(now)
        match message:
            case Admitted():
                peer.admits = True
                if peer.info.role == "primary" and message.done:
                    self._report(Received(peer.info, message))
                self._settle(now)
            case Pong():
                took = peer.monitor.answered(message.sequence, now)
                moved = self._clocks.hear_pong(peer.info.node, message, took)
                if moved is not None:
                    self._send(peer.address, moved)
                self._report(Received(peer.info, message))
                # The holder of a name is alive. It keeps the name if it is settled; otherwise the
                # two newcomers settle it among themselves.
                for claim in self.members.claims.answered(peer.info.node):
                    if peer.info.settled:
                        refused = Refused(self.info, conflict(peer.info, claim.info) or "")
                        self._send(control_address(claim.info.node), refused)
            case Crashed():
                self._report(Received(peer.info, message))
            case Command() if peer.info.role == "primary":
                self._report(Received(peer.info, message))
            case Result() | Counters() if self._pending.answered(peer.info.node, message.number):
                self._report(message)
            case Query():
                self._send(peer.address, Counters(message.number, self._own.counters()))

    # --- coming and going ---------------------------------------------------------------------

    def _meet(self, info: NodeInfo, now: float) -> bool:
        """Let a node in unless somebody has its names; return whether it is in."""
        is_new = info.node not in self.peers
        if not self.members.meet(info, now):
            return False
        if is_new and info.role == "primary" and self.info.settled:
            # Its welcome says who else is left of those that an earlier primary watched.
            self._send(control_address(info.node), Hello(self.info, self._clocks.clock()))
        return True

    def _lose(self, peer: Peer, reason: str, *, died: bool, may_return: bool = False) -> None:
        node = peer.info.node
        self.members.remove(peer, reason, died=died, may_return=may_return)
        self._discovery.roster.discard(node)
        self._clocks.forget(node)
        for number in self._pending.lost(node):
            self._report(Result(number, _GONE))

    def _declare_dead(self, peer: Peer, reason: str) -> None:
        """Lose a node for good: should it resume, it is refused."""
        info = peer.info
        self.members.fenced.add(info.key)
        self._lose(peer, reason, died=True)
        if self.info.role == "primary":
            self._send(EVERYONE, Left(info.node, info.generation, reason, fenced=True))

    def _watch(self, now: float) -> None:
        """Ping who is due, and judge who is silent."""
        own, waiting = self._own_pings, False
        for peer in list(self.peers.values()):
            monitor = peer.monitor
            if self.info.role == "primary":
                if monitor.dead(now):
                    silent = monitor.silent_for(now)
                    self._declare_dead(peer, f"no answer to pings for {silent:.1f} s")
                    continue
                sequence = monitor.ping(now, confirmed=not own.come_back)
                if sequence is not None:
                    offset = self._clocks.offset(peer.info.node)
                    self._send(peer.address, Ping(sequence, monitor.policy.bound, offset))
                waiting = waiting or monitor.waiting
            elif peer.info.role == "primary" and peer.silent(now):
                self._lose(peer, "its pings have stopped", died=True, may_return=True)
            elif peer.vanished(now):
                self._lose(peer, "silent, and unknown to the primary", died=True, may_return=True)

        sequence = own.ping(now) if waiting else None
        if sequence is not None:
            self._send(control_address(self.info.node), Ping(sequence, 0.0))

    def _suspect_others(self, welcome: Welcome, now: float) -> None:
        """Probe the nodes that the primary does not know: their end may have gone unheard."""
        for peer in self.peers.values():
            if peer.info.role == "worker" and peer.info.node not in welcome.known:
                peer.suspect(now + PROBE_TIMEOUT)
                self._send(peer.address, Ping(0, 0.0))

    def _begin_again(self, now: float) -> None:
        """Hold nobody's silence against it, and ask the others whether this node still belongs."""
        self.members.forgive(now)
        self._discovery.begin_again(now, settled=self.info.settled)

    def _evict(self, reason: str, *, fenced: bool) -> None:
        if not self._evicted:
            self._evicted = True
            self._report(Evicted(reason, fenced))

    # --- finding the others -------------------------------------------------------------------

    def _greet(self, now: float) -> None:
        """Say hello when it is due."""
        if self._evicted:
            return
        has_primary = self.members.primary is not None
        if self._discovery.hello_due(now, settled=self.info.settled, has_primary=has_primary):
            self._send(EVERYONE, Hello(self.info, self._clocks.clock()))

    def _settle(self, now: float) -> None:
        """End the search when nobody is left to be found, or the time for it is over."""
        if self.info.settled or self._evicted:
            return
        is_primary, has_primary = self.info.role == "primary", self.members.primary is not None
        missing = self._discovery.roster - self.peers.keys() - {self.info.node}
        unproved = any(not peer.proved for peer in self.peers.values())
        waiting = bool(missing or unproved or self.members.claims)
        if self._discovery.over(
            now, is_primary=is_primary, has_primary=has_primary, waiting=waiting
        ):
            self.announce(settled=True)
            self._report(Settled(alone=not (is_primary or has_primary)))
