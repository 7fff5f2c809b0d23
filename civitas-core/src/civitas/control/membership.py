"""Membership: who belongs to the system, as one node sees it. No I/O and no clock of its own.

A node says hello until it has found the others; each of them answers with a welcome. Names are
claimed by the hello, and settled when nobody objects: of two live claims the older one stays.
The primary pings every node; what stays silent is declared dead and fenced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from civitas.control.claims import Claims, conflict, prevails
from civitas.control.events import (
    AgentCrashed,
    Answered,
    ClockSeen,
    Commanded,
    Condemned,
    Event,
    Heard,
    Lost,
    Met,
    Settled,
)
from civitas.control.peer import Peer
from civitas.control.signals import (
    EVERYONE,
    Admitted,
    Card,
    Changed,
    Command,
    Counters,
    Crashed,
    Fenced,
    Hello,
    Left,
    Ping,
    Pong,
    Query,
    Refused,
    Result,
    Signal,
    Welcome,
    control_address,
)
from civitas.envelope import Origin
from civitas.heartbeat import HeartbeatPolicy, strictest

CLAIM_WINDOW: Final = 0.25
"""Seconds in which others can object to a name, as in the probing of RFC 6762, section 8.1."""

PRIMARY_WINDOW: Final = 1.0
"""Seconds that a node without the tree looks for the one that has it, before it goes on alone."""

JOIN_TIMEOUT: Final = 3.0
"""Seconds after which a node goes on though somebody it was told of has not answered."""

LINK_GRACE: Final = 5.0
"""Seconds after a lost link, or a pause of this process, in which silence counts for nothing."""

_FIRST_HELLO: Final = 0.05
_SLOWEST_HELLO: Final = 1.0
_RESEND: Final = 1.0
_PAUSE: Final = 1.0


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
        card: what the node tells of itself.
        local: answers for the node.
        send: called with (address, signal) to send one.
        tell: called with each event.
        fenced: gets the keys of nodes whose frames are refused.
        policies: how closely the primary watches each supervised agent's node, by agent.
        clock: tells epoch seconds, to compare clocks.
    """

    def __init__(
        self,
        card: Card,
        local: Local,
        send: Callable[[str, Signal], None],
        tell: Callable[[Event], None],
        fenced: set[bytes],
        policies: Mapping[str, HeartbeatPolicy],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.card = card
        self.peers: dict[str, Peer] = {}
        self._local = local
        self._send = send
        self._tell = tell
        self._fenced = fenced
        self._policies = policies
        self._clock = clock
        self._claims = Claims()
        self._roster: set[str] = set()
        self._commands: dict[int, tuple[str, Signal, float]] = {}
        self._joined_at: float | None = None
        self._next_hello = 0.0
        self._hello_pause = _FIRST_HELLO
        self._link_is_down = False
        self._ticked: float | None = None
        self._condemned = False

    @property
    def primary(self) -> Peer | None:
        """The node that has the supervision tree, unless it is this one, or unknown."""
        return next((p for p in self.peers.values() if p.card.role == "primary"), None)

    # --- what the node wants ------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Begin to say hello."""
        self._joined_at = self._next_hello = now
        self.tick(now)

    def announce(self, **changes: Any) -> None:
        """Tell everyone what has changed of the node's card."""
        self.card = replace(self.card, **changes)
        if self._joined_at is not None:
            self._send(EVERYONE, Changed(self.card))

    def leave(self, reason: str) -> None:
        """Tell everyone that the node goes."""
        self._joined_at = None
        self._send(EVERYONE, Left(self.card.node, self.card.generation, reason, fenced=False))

    def admit(self, node: str, now: float) -> None:
        """Take note that the data route to a node is proved, and let it know."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.reached = True
            self._send(peer.address, Admitted())
            self._settle(now)

    def ask(self, node: str, signal: Command | Query, now: float) -> None:
        """Send a command or a query, again and again until it is answered or the node is lost."""
        if node not in self.peers:
            self._tell(Answered(signal.number, error="its process has gone"))
            return
        self._commands[signal.number] = (node, signal, now + _RESEND)
        self._send(control_address(node), signal)

    def withdraw(self, number: int) -> None:
        """Ask no more for the answer to a command or a query."""
        self._commands.pop(number, None)

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
        self._forgive(now)
        if self._joined_at is not None:
            self._hello()

    def tick(self, now: float) -> None:
        """Do what is due; to be called several times a second."""
        paused = self._ticked is not None and now - self._ticked > _PAUSE
        self._ticked = now
        if paused:
            self._forgive(now)  # it was this process that stood still
        if self._link_is_down or self._joined_at is None:
            return
        if not self.card.settled and now >= self._next_hello:
            self._hello()
            self._next_hello = now + self._hello_pause
            self._hello_pause = min(self._hello_pause * 1.5, _SLOWEST_HELLO)
        self._watch(now)
        for claim in self._claims.unanswered(now):
            holder = self.peers.get(claim.holder)
            if holder is not None:
                self._declare_dead(holder, f"silent, and superseded by node {claim.card.node[:8]}")
            if self._meet(claim.card, now):  # it may have stopped saying hello by now
                self._send(control_address(claim.card.node), Hello(self.card, self._clock()))
        for number, (node, signal, due) in list(self._commands.items()):
            if now >= due:
                self._commands[number] = (node, signal, now + _RESEND)
                self._send(control_address(node), signal)
        self._settle(now)

    def receive(self, origin: Origin, signal: Signal, now: float) -> None:
        """Take in what another node says.

        Args:
            origin: who says it.
            signal: what it says.
            now: time of the caller's monotonic clock.
        """
        node = origin.node.hex()
        if node == self.card.node:
            return
        if origin.node + origin.generation.to_bytes(4, "big") in self._fenced:
            self._send(control_address(node), Fenced(f"superseded in {self.card}"))
            return
        match signal:
            case Hello() if signal.card.node == node:
                self._hear_hello(signal, now)
            case Welcome() if signal.card.node == node:
                self._hear_welcome(signal, now)
            case Changed() if signal.card.node == node and node in self.peers:
                self._update(self.peers[node], signal.card, now)
            case Refused() if signal.card.node == node:
                self._hear_refusal(signal)
            case Fenced():
                self._condemn(signal.reason, fenced=True)
            case Left():
                self._hear_left(node, signal)
            case Ping():
                self._hear_ping(node, signal, now)
            case _:
                peer = self.peers.get(node)
                if peer is not None:
                    self._hear_peer(peer, signal, now)

    # --- hearing ------------------------------------------------------------------------------

    def _hear_hello(self, hello: Hello, now: float) -> None:
        card = hello.card
        reason = conflict(self.card, card)
        if reason is not None:
            if prevails(self.card, card):
                self._send(control_address(card.node), Refused(self.card, reason))
            return  # otherwise it will refuse this node
        if self._meet(card, now):
            self._tell(ClockSeen(card.node, hello.clock - self._clock()))
            self._send(control_address(card.node), self._welcome(hello.clock))

    def _hear_welcome(self, welcome: Welcome, now: float) -> None:
        card = welcome.card
        if conflict(self.card, card) is not None:
            return
        if card.role == "primary":
            self._roster = set(welcome.known)
        self._tell(ClockSeen(card.node, welcome.clock - (welcome.echo + self._clock()) / 2))
        self._meet(card, now)
        self._settle(now)

    def _hear_refusal(self, refused: Refused) -> None:
        rival = conflict(self.card, refused.card) is not None
        if rival and prevails(self.card, refused.card):
            reason = conflict(self.card, refused.card) or ""
            self._send(control_address(refused.card.node), Refused(self.card, reason))
        elif rival or not self.card.settled:
            self._condemn(refused.reason, fenced=False)

    def _hear_left(self, teller: str, left: Left) -> None:
        if teller == left.node:
            self._claims.discard(teller)
        by_primary = self.primary is not None and self.primary.card.node == teller
        if left.node == self.card.node:
            if by_primary and left.generation == self.card.generation:
                self._condemn(left.reason, fenced=True)
            return
        peer = self.peers.get(left.node)
        if peer is None or not (teller == left.node or by_primary):
            return
        if left.fenced:
            self._fenced.add(peer.card.key)
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
            self._send(control_address(node), Hello(self.card, self._clock()))

    def _hear_peer(self, peer: Peer, signal: Signal, now: float) -> None:
        match signal:
            case Admitted():
                peer.admits = True
                self._settle(now)
            case Pong():
                peer.monitor.answered(signal.sequence, now)
                self._tell(Heard(peer.card, signal.agents, signal.stalled))
                for claim in self._claims.answered(peer.card.node):
                    if peer.card.settled:
                        reason = conflict(peer.card, claim.card) or ""
                        address = control_address(claim.card.node)
                        self._send(address, Refused(self.card, reason))
            case Crashed():
                self._tell(
                    AgentCrashed(
                        peer.card.node,
                        signal.agent,
                        signal.incarnation,
                        signal.error_type,
                        signal.error_text,
                    )
                )
            case Command():
                if peer.card.role == "primary":
                    told = Commanded(peer.card.node, signal.number, signal.verb, signal.agent)
                    self._tell(told)
            case Result():
                if self._commands.pop(signal.number, None) is not None:
                    self._tell(Answered(signal.number, signal.error, signal.incarnation))
            case Query():
                self._send(peer.address, Counters(signal.number, self._local.counters()))
            case Counters():
                if self._commands.pop(signal.number, None) is not None:
                    self._tell(Answered(signal.number, counters=signal.counters))

    # --- coming and going ---------------------------------------------------------------------

    def _meet(self, card: Card, now: float) -> bool:
        """Let a node in unless somebody has its names; return whether it is in."""
        peer = self.peers.get(card.node)
        if peer is not None:
            self._update(peer, card, now)
            return True
        for other in self.peers.values():
            if conflict(other.card, card) is not None and not other.card.leaving:
                if self._claims.add(card, other.card.node, now):
                    self._send(other.address, Ping(0, 0.0))
                return False
        self._claims.discard(card.node)
        policies = [self._policies[name] for name in card.agents if name in self._policies]
        self.peers[card.node] = Peer(card, strictest(policies), now)
        self._tell(Met(card))
        return True

    def _update(self, peer: Peer, card: Card, now: float) -> None:
        peer.heard(now)
        if card != peer.card:
            peer.card = card
            self._tell(Met(card))

    def _lose(self, peer: Peer, reason: str, *, died: bool) -> None:
        node = peer.card.node
        del self.peers[node]
        self._roster.discard(node)
        self._tell(Lost(peer.card, reason, died))
        for number, (asked, _, _) in list(self._commands.items()):
            if asked == node:
                del self._commands[number]
                self._tell(Answered(number, error="its process has gone"))

    def _declare_dead(self, peer: Peer, reason: str) -> None:
        """Lose a node for good: should it resume, it is refused."""
        card = peer.card
        self._fenced.add(card.key)
        self._lose(peer, reason, died=True)
        if self.card.role == "primary":
            self._send(EVERYONE, Left(card.node, card.generation, reason, fenced=True))

    def _watch(self, now: float) -> None:
        """Ping who is due, and judge who is silent."""
        for peer in list(self.peers.values()):
            monitor = peer.monitor
            if self.card.role == "primary":
                if monitor.dead(now):
                    silent = monitor.silent_for(now)
                    self._declare_dead(peer, f"no answer to pings for {silent:.1f} s")
                    continue
                sequence = monitor.ping(now)
                if sequence is not None:
                    self._send(peer.address, Ping(sequence, monitor.policy.bound))
            elif peer.card.role == "primary" and peer.silent(now):
                self._lose(peer, "its pings have stopped", died=True)

    def _forgive(self, now: float) -> None:
        for peer in self.peers.values():
            peer.forgive(now, LINK_GRACE)

    def _condemn(self, reason: str, *, fenced: bool) -> None:
        if not self._condemned:
            self._condemned = True
            self._tell(Condemned(reason, fenced))

    # --- finding the others -------------------------------------------------------------------

    def _hello(self) -> None:
        self._send(EVERYONE, Hello(self.card, self._clock()))

    def _welcome(self, echo: float) -> Welcome:
        known = tuple(p.card.node for p in self.peers.values() if p.card.role != "client")
        return Welcome(self.card, echo, self._clock(), known)

    def _settle(self, now: float) -> None:
        """End the search when nobody is left to be found, or the time for it is over."""
        if self.card.settled or self._joined_at is None or self._condemned:
            return
        waited = now - self._joined_at
        has_primary = self.card.role == "primary" or self.primary is not None
        window = 0.0 if self.primary is not None else CLAIM_WINDOW
        if waited < (window if has_primary else PRIMARY_WINDOW):
            return
        missing = self._roster - self.peers.keys() - {self.card.node}
        unproved = [p for p in self.peers.values() if not p.proved]
        if (missing or unproved or self._claims) and waited < JOIN_TIMEOUT:
            return
        self.announce(settled=True)
        self._tell(Settled(alone=not has_primary))
