"""Membership: who belongs to the system, as one node sees it. No I/O and no clock of its own.

Theory and table of states: `civitas._cluster`. Here it is decided what each message of another node
means, and when to speak. What is believed of whom stands in `authority`, what this node announces
in `announcements`, who is in and under which names in `member_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from civitas import _platform as platform
from civitas._cluster.admission import Admission
from civitas._cluster.announcements import Announcements
from civitas._cluster.authority import Speaker, believed
from civitas._cluster.clocks import Clocks
from civitas._cluster.discovery import Discovery
from civitas._cluster.events import Event, Evicted, Received, Settled
from civitas._cluster.failure_detector import FailureDetector
from civitas._cluster.finished_agents import FinishedAgents
from civitas._cluster.liveness import OwnNode, Peer
from civitas._cluster.member_table import MemberTable
from civitas._cluster.naming import Naming
from civitas._cluster.proofs import proof_of
from civitas._cluster.protocol import (
    EVERYONE,
    Admitted,
    AgentStates,
    Challenge,
    Changed,
    Command,
    Contested,
    ControlMessage,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    Missed,
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
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas.envelope import Origin

_GONE: Final = "its process has gone"


class Membership:
    """One node's view of the system.

    `own` reads the node's state; `fenced` gets the keys of nodes that are refused; `policies` say,
    by agent, how closely its node is watched; `authenticated`: the messages carry a valid MAC.
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
        *,
        authenticated: bool = False,
    ) -> None:
        self.announcements = Announcements(info)
        self._discovery = Discovery()
        self.members = MemberTable(fenced, policies, report, self._discovery.last_turn)
        self.peers = self.members.peers
        self._own = own
        self._send = send
        self._report = report
        self._clocks = Clocks(clock or platform.wall, report)
        self._naming = Naming(
            self.announcements,
            self.members,
            self._discovery,
            self._clocks,
            send,
            report,
            authenticated=authenticated,
        )
        self._watch = FailureDetector(info.node, self.members, self._clocks, send)
        self._admission = Admission(
            self.announcements,
            self.members,
            self._discovery,
            self._clocks,
            self._naming,
            self._watch,
            own.finished,
            lambda peer, reason: self._lose(peer, reason, died=False),
            send,
            report,
        )
        self.calls = PendingRequests(send, report)
        self._finished = FinishedAgents(self.members, own.agents, send, report)
        self._link_is_down = False
        self._evicted = False

    @property
    def info(self) -> NodeInfo:
        """What this node has announced of itself, but for its agents."""
        return self.announcements.info

    # --- what the node wants ------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Begin to say hello, first to itself: its transport may take less than it announces."""
        self._discovery.join(now)
        self._naming.prove(self.info.node, Challenge(b"", b""), now)
        self.tick(now)

    def announce(
        self, agents: AgentStates, *, settled: bool = False, leaving: bool = False
    ) -> None:
        """Announce to everyone what has changed: these agents, or what the node is about."""
        change = self.announcements.change(agents, settled=settled, leaving=leaving)
        if change is not None and self._discovery.joined:
            self._send(EVERYONE, change)

    def leave(self, reason: str) -> None:
        """Say goodbye to everyone."""
        self._discovery.leave()
        self._finished.say()
        self._send(EVERYONE, self._finished.goodbye(self.info, reason))
        self.calls.lost("this node has left")

    def admit(self, node: str, now: float) -> None:
        """Take note that the data route to a node is proved, and say so to it; see `Admitted`."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.reached = True
            self._send(peer.address, Admitted(self._own.finished(peer.whole)))
            self._settle(now)

    def call(self, node: str, message: Command | Query, now: float) -> None:
        """Send a command or a query, again and again until it is answered or the node is lost."""
        if node in self.peers:
            self.calls.call(node, message, now)
        else:
            self._report(Result(message.number, _GONE))

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

    def unbelieved(self, now: float) -> None:
        """Take note that a frame came without the cluster's key: its node is to hear that it is."""
        self.announcements.hasten(now)

    def tick(self, now: float) -> None:
        """Do what is due; to be called when `next_due` says so."""
        if self._discovery.stood_still(now):
            self._begin_again(now)
        # While nothing can be heard, nobody's silence may be judged, and nothing would be sent.
        if self._link_is_down or not self._discovery.joined or self._evicted:
            return
        self._greet(now)
        beacon = self.announcements.beacon(now) if self.info.settled else None
        if beacon is not None:
            self._send(EVERYONE, beacon)
        self._look_for_silence(now)
        self._naming.probe_holders(now)
        for claim in self.members.claims.unanswered(now):
            holder = self.peers.get(claim.holder)
            if holder is not None:
                self._declare_dead(holder, f"silent, and superseded by node {claim.info.node[:8]}")
            if self._admission.meet(claim, now):  # it may have stopped saying hello by now
                self._naming.say_hello(control_address(claim.info.node), now)
        self.calls.resend(now)
        self._settle(now)

    def next_due(self) -> float:
        """Return when `tick` is due; to be asked again after each call of anything here."""
        idle = self._discovery.turn_due()
        if self._link_is_down or not self._discovery.joined or self._evicted:
            return idle
        info = self.info
        hello = self._discovery.hello_at(info.settled, self.members.primary is not None)
        said = self.announcements.due if info.settled else self._settles_at()
        watch, claims = self._watch.next_due(info), self.members.claims.next_due()
        return min(idle, hello, said, watch, claims, self.calls.next_due())

    def receive(self, origin: Origin, message: ControlMessage, now: float) -> None:
        """Take in what another node says. `now` is the time of the caller's monotonic clock."""
        node = origin.node.hex()
        key = origin.node + origin.generation.to_bytes(4, "big")
        if self._discovery.stood_still(now):  # first: what has waited is not judged by time
            self._begin_again(now)
        if node == self.info.node:
            self._hear_itself(message, now)
        if node == self.info.node or not self._is_in:
            return
        self._finished.hear_late(node, key, message)
        if key in self.members.fenced:
            if not isinstance(message, Fenced | Left):  # else two that fence each other never end
                nonce = message.nonce if isinstance(message, Hello | Refused) else b""
                self._send(control_address(node), Fenced(f"superseded in {self.info}", nonce))
            return
        speaker = self.members.speaker(node, key)
        proof = proof_of(message)
        if proof:
            proved = self._naming.proves(proof, key, now, by_cookie=isinstance(message, Hello))
            speaker = speaker._replace(proved=proved)
        if believed(message, speaker):
            self._hear(speaker, message, now)
        elif speaker.role is None:
            self._admission.hear_stranger(speaker, message, now)

    def proves(self, proof: bytes, key: bytes, now: float) -> bool:
        """Return whether a node, by its key, hears this one, or has; see `proofs`."""
        shown = (self._naming.proves(proof, key, now, by_cookie=each) for each in (False, True))
        return self.members.has_gone(key) or any(shown)

    @property
    def _is_in(self) -> bool:
        return self._discovery.joined and not self._evicted

    def _hear_itself(self, message: ControlMessage, now: float) -> None:
        """Its own words come back to a node; what it has not said was said in its name."""
        if isinstance(message, Ping):
            self._watch.returned(message.sequence, now)
        elif isinstance(message, Left) and message.node == self.info.node and self._is_in:
            self._naming.contradict(now)

    # --- hearing ------------------------------------------------------------------------------

    def _hear(self, speaker: Speaker, message: ControlMessage, now: float) -> None:
        match message:
            case Hello():
                self._admission.hear_hello(speaker, message, now)
                self._settle(now)
            case Challenge():
                self._naming.prove(speaker.node, message, now)
            case Welcome():
                self._admission.hear_welcome(message, now)
                self._settle(now)
            case Changed():
                self._admission.hear_change(self.peers[speaker.node], message, now)
            case Contested():
                self._admission.hear_contested(speaker.node)
            case Refused():
                if self._naming.gives_way(message, now):
                    self._evict(message.reason, fenced=False)
                self._settle(now)
            case Fenced():
                if self._naming.believes_fenced(speaker, message, now):
                    self._evict(message.reason, fenced=True)
                self._settle(now)
            case Left():
                self._hear_left(speaker, message)
            case Ping():
                self._hear_ping(speaker.node, message, now)
            case _:
                self._hear_peer(self.peers[speaker.node], message, now)

    def _hear_left(self, speaker: Speaker, left: Left) -> None:
        if speaker.node == left.node:
            self.members.depart(speaker)
        if left.node == self.info.node:
            if left.generation == self.info.generation:
                self._evict(left.reason, fenced=True)
            return
        peer = self.peers.get(left.node)
        if peer is None:
            self.members.give_up(left.node, left.reason, died=left.fenced)
        else:
            if left.fenced:
                self.members.fenced.add(peer.info.key)
            self._lose(peer, left.reason, died=left.fenced)
        self._finished.hear_late(speaker.node, speaker.key, left)

    def _hear_ping(self, node: str, ping: Ping, now: float) -> None:
        address = control_address(node)
        agents = self.announcements.unannounced(self._own.agents())
        stalled = self._own.stalled()
        self._send(address, Pong(ping.sequence, agents, stalled, self._clocks.clock()))
        peer = self.peers.get(node)
        if peer is not None:
            peer.heard(now, ping.patience)
            if peer.info.role == "primary" and self._clocks.own_moved(ping):
                self._naming.say_hello(EVERYONE, now)
        else:  # it knows this node, which had given it up
            self._naming.say_hello(address, now)

    def _hear_peer(self, peer: Peer, message: ControlMessage, now: float) -> None:
        peer.heard(now)
        match message:
            case Admitted():
                peer.admits = True
                if peer.info.role == "primary":
                    self._admission.hear_done(peer.info, message.done)
                self._settle(now)
            case Pong():
                took = peer.monitor.answered(message.sequence, now)
                moved = self._clocks.hear_pong(peer.info.node, message, took)
                if moved is not None:
                    self._send(peer.address, moved)
                self._report(Received(peer.info, message))
                self._naming.holder_lives(peer, message.sequence, now)
            case Crashed() | Command():
                self._report(Received(peer.info, message))
            case Missed() if peer.may_be_told(now):
                self._send(peer.address, self.announcements.since(message.since))
            case Result() | Counters() if self.calls.answered(peer.info.node, message.number):
                self._report(message)
            case Query():
                self._send(peer.address, self._watch.answer(message, self._own, now))

    # --- coming and going ---------------------------------------------------------------------

    def _lose(self, peer: Peer, reason: str, *, died: bool, may_return: bool = False) -> None:
        node = peer.info.node
        self.members.remove(peer, reason, died=died, may_return=may_return)
        self._discovery.roster.discard(node)
        self._clocks.forget(node)
        self.calls.lost(_GONE, node)

    def _declare_dead(self, peer: Peer, reason: str) -> None:
        """Lose a node for good: should it resume, it is refused."""
        info = peer.info
        self.members.fenced.add(info.key)
        self._lose(peer, reason, died=True)
        if self.info.role == "primary":
            self._send(EVERYONE, Left(info.node, info.generation, reason, fenced=True))

    def _look_for_silence(self, now: float) -> None:
        for peer, reason, dead in self._watch.look(self.info, now):
            if dead:
                self._declare_dead(peer, reason)
            else:
                self._lose(peer, reason, died=True, may_return=True)
        primary = self.members.primary
        if primary is not None and self._watch.in_doubt(now):
            self._naming.say_hello(primary.address, now)

    def _begin_again(self, now: float) -> None:
        """Hold nobody's silence against it, and ask the others whether this node still belongs."""
        self.members.forgive(now)
        self._discovery.begin_again(now, settled=self.info.settled)

    def _evict(self, reason: str, *, fenced: bool) -> None:
        if not self._evicted:
            self._evicted = True
            self._finished.say()
            self._report(Evicted(reason, fenced))

    def _greet(self, now: float) -> None:
        """Say hello when it is due."""
        has_primary = self.members.primary is not None
        if not self._evicted and self._discovery.hello_due(now, self.info.settled, has_primary):
            self._naming.say_hello(EVERYONE, now)

    def _settle(self, now: float) -> None:
        """End the search when nobody is left to be found, or the time for it is over."""
        if self._evicted or self.info.settled:
            return
        refusal = self._naming.refusal(now)
        if refusal is not None:
            self._evict(refusal, fenced=False)
        elif now >= self._settles_at():
            self._discovery.settled(now)
            self.announce({}, settled=True)
            self._report(Settled(self.info.role != "primary" and self.members.primary is None))

    def _settles_at(self) -> float:
        """Return when the search ends, which has not, unless somebody is heard before."""
        is_primary, has_primary = self.info.role == "primary", self.members.primary is not None
        refused = self._naming.is_refused and not has_primary
        roster = self._discovery.roster - {self.info.node}
        waiting = not refused and self.members.waits_for(roster)
        return self._discovery.over_at(is_primary, has_primary, waiting)
