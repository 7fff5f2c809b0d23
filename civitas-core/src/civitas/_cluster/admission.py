"""Admission: how another node is let in: it proves itself, and its names are free. No I/O.

The states of another node, and the events that move it: `civitas._cluster`. The proof: `proofs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from civitas._cluster.announcements import Announcements
from civitas._cluster.authority import Speaker
from civitas._cluster.claims import Claim
from civitas._cluster.clocks import Clocks
from civitas._cluster.discovery import Discovery
from civitas._cluster.events import Event, Received
from civitas._cluster.failure_detector import FailureDetector
from civitas._cluster.liveness import Peer
from civitas._cluster.member_table import AGENTS, LIMIT, MemberTable
from civitas._cluster.naming import Naming
from civitas._cluster.protocol import (
    Admitted,
    Changed,
    ControlMessage,
    Hello,
    Missed,
    NodeInfo,
    Ping,
    Welcome,
    control_address,
)

_FULL: Final = f"a system has {LIMIT:,} nodes and {AGENTS:,} agents at most"


class Admission:
    """What one node does at hellos, welcomes, and what else others say that they are there.

    `finished` returns which agents of another node are done; `lose` takes a member out, given why;
    `send` sends a message to an address.
    All times are seconds of the caller's monotonic clock.
    """

    def __init__(
        self,
        announcements: Announcements,
        members: MemberTable,
        discovery: Discovery,
        clocks: Clocks,
        naming: Naming,
        watch: FailureDetector,
        finished: Callable[[NodeInfo], tuple[str, ...]],
        lose: Callable[[Peer, str], None],
        send: Callable[[str, ControlMessage], None],
        report: Callable[[Event], None],
    ) -> None:
        self._announcements = announcements
        self._members = members
        self._discovery = discovery
        self._clocks = clocks
        self._naming = naming
        self._watch = watch
        self._finished = finished
        self._lose = lose
        self._send = send
        self._report = report

    def hear_stranger(self, stranger: Speaker, message: ControlMessage, now: float) -> None:
        """Let a node prove itself that says that it is there."""
        match message:
            case Hello(info=info) if info.key == stranger.key and not message.proof:
                self._naming.challenge(stranger, message.nonce, now)
            case Changed(info=info) if info.key != stranger.key:
                pass
            case Changed() | Ping() if stranger.key in self._members.departed:
                # It lives, and knows this node: it may not have said the goodbye itself.
                self._naming.challenge(stranger, b"", now)
            case Changed() | Ping():
                self._naming.say_hello(control_address(stranger.node), now)

    def hear_hello(self, speaker: Speaker, hello: Hello, now: float) -> None:
        """Answer a member, or a node that has proved itself and claims names."""
        info = hello.info
        reason = self._announcements.conflict(info)
        self._members.departed.discard(speaker.key)
        if speaker.role is not None and not hello.proof:
            self.hear_change(self._members.peers[info.node], Changed(info, info.revision), now)
            self._welcome(hello, now)
        elif reason is not None:
            self._naming.contest(hello, reason, now)
        elif self._members.full(info) and not self._makes_room(now):
            self._naming.refuse(info, _FULL, hello.nonce, now)
        elif self.meet(hello, now):
            self._welcome(hello, now)
        else:
            self._naming.wait_for_holder(hello)

    def _makes_room(self, now: float) -> bool:
        """Lose a member that has never shown that agents can reach it; return whether there is."""
        peer = self._members.unproved(now)
        if peer is not None:
            self._lose(peer, "it made room for another node, since its route was never proved")
        return peer is not None

    def _welcome(self, hello: Hello, now: float) -> None:
        peer = self._members.peers[hello.info.node]
        if not peer.may_be_told(now):
            return  # all of it has just been said, and the next hello comes soon
        if not self._discovery.doubtful:  # else it may have lain here for long
            self._clocks.hear_hello(hello)
        mine, known = self._announcements.whole, self._members.known()
        # Also while this node's event loop is blocked. The hello of a member names no agents.
        done = self._finished(peer.whole)
        clock = self._clocks.clock()
        welcome = Welcome(mine, hello.clock, clock, known, done, hello.nonce)
        self._send(peer.address, welcome)

    def hear_welcome(self, welcome: Welcome, now: float) -> None:
        """Let the node in that has answered a hello, and learn of those that a primary knows."""
        info = welcome.info
        # Of two that want one name, a refusal decides.
        if self._announcements.conflict(info) is None and self.meet(welcome, now):
            if info.role == "primary":
                self._discovery.found(welcome.known)
                self._watch.suspect_others(welcome.known, now)
                self.hear_done(info, welcome.done)
            self._clocks.hear_welcome(welcome)

    def hear_done(self, primary: NodeInfo, agents: tuple[str, ...]) -> None:
        """Let the node know, before it settles, which of its agents are not to be started."""
        if agents:
            self._report(Received(primary.header, Admitted(agents)))

    def hear_contested(self, node: str) -> None:
        """Wait for a node that finds out whether the holder of a name of this one is alive."""
        if not self._announcements.info.settled and len(self._discovery.roster) < LIMIT:
            self._discovery.roster.add(node)

    def hear_change(self, peer: Peer, changed: Changed, now: float) -> None:
        """Take in what has changed of a member, and ask for what was missed."""
        if not self._members.update(peer, changed.info, now, changed.since) and peer.may_ask(now):
            self._send(peer.address, Missed(peer.info.revision))

    def meet(self, said: Hello | Welcome | Claim, now: float) -> bool:
        """Let a node in unless somebody has its names; return whether it is in."""
        info = said.info
        is_new = info.node not in self._members.peers
        if not self._members.meet(info, now, b"" if isinstance(said, Welcome) else said.nonce):
            return False
        if is_new and info.role == "primary" and self._announcements.info.settled:
            # Its welcome says who else is left of those that an earlier primary watched. That one
            # may have declared this node dead: others have heard it then, and this primary has not.
            self._discovery.doubt_past(now)
            self._naming.say_hello(control_address(info.node), now)
        return True
