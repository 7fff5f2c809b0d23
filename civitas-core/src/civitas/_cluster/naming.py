"""Naming: a node's part where two want one name: it claims, refuses, and gives way. No I/O.

A hello claims names. Who has one objects (`claims` says whose claim prevails); a third node probes
the holder, and refuses the newcomer in its name when it lives.

A node that searches is refused by those who know that its names are taken. When a primary lets it
in all the same, only those count whom that one knows; else it goes when the time of its search for
a primary is over, and nobody can end it by one word before.

A settled node gives way to nobody while it is in touch with the others: then who wants its name has
come later, whatever it says. Two can only have settled under one name while they could not hear
each other. So a node gives way only where it may have been cut off, or has settled a moment ago,
when the other may have done the same; and it believes that it was superseded only where it may have
been cut off. Where control frames carry a MAC it knows that the other is no intruder, and always
does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Final

from civitas._cluster.announcements import Announcements
from civitas._cluster.authority import Speaker
from civitas._cluster.claims import conflict, prevails
from civitas._cluster.clocks import Clocks
from civitas._cluster.discovery import Discovery
from civitas._cluster.events import Event, Impersonated, Objected
from civitas._cluster.liveness import Peer
from civitas._cluster.member_table import MemberTable
from civitas._cluster.proofs import Proofs
from civitas._cluster.protocol import (
    EVERYONE,
    Challenge,
    Contested,
    ControlMessage,
    Fenced,
    Hello,
    NodeInfo,
    Ping,
    Refused,
    control_address,
)

_REFUSALS: Final = 100
"""Nodes that refuse this one, and are remembered, at most."""

_PAUSE: Final = 1.0
"""Seconds between two lines of the log of one kind, and two contradictions, at least."""


class Naming:
    """What one node says about names; `send` sends a message to an address.

    `authenticated`: whether the control messages that come carry a valid MAC. All times are seconds
    of the caller's monotonic clock.
    """

    def __init__(
        self,
        announcements: Announcements,
        members: MemberTable,
        discovery: Discovery,
        clocks: Clocks,
        send: Callable[[str, ControlMessage], None],
        report: Callable[[Event], None],
        *,
        authenticated: bool,
    ) -> None:
        self.proofs = Proofs()
        self._announcements = announcements
        self._members = members
        self._discovery = discovery
        self._clocks = clocks
        self._send = send
        self._report = report
        self._authenticated = authenticated
        self._refusals: dict[str, str] = {}
        """Who has refused this node during its search, and why."""
        self._next_objection = -inf
        self._next_contradiction = -inf

    # --- hello --------------------------------------------------------------------------------

    def say_hello(self, address: str, now: float) -> None:
        """Say that this node is there."""
        mine, nonce = self._announcements.info, self.proofs.nonce(now)
        self._send(address, Hello(mine, self._clocks.clock(), nonce))

    def challenge(self, stranger: Speaker, nonce: bytes, now: float) -> None:
        """Let a stranger prove that it hears what is said to it; `nonce` is what it has said."""
        departed = stranger.key in self._members.departed
        cookie = self.proofs.cookie(stranger.key, now, departed=departed)
        self._send(control_address(stranger.node), Challenge(cookie, nonce))

    def prove(self, node: str, challenge: Challenge, now: float) -> None:
        """Answer a challenge, and claim this node's names."""
        mine, nonce = self._announcements.whole, self.proofs.nonce(now)
        hello = Hello(mine, self._clocks.clock(), nonce, challenge.cookie)
        self._send(control_address(node), hello)

    def proves(self, proof: bytes, key: bytes, now: float, *, by_cookie: bool) -> bool:
        """Return whether a proof shows that a node, by its key, hears what is said to it.

        Or, unless it is `by_cookie`, what is said to everyone.
        """
        departed = key in self._members.departed
        if by_cookie:
            return self.proofs.hold(proof, key, now, departed=departed)
        return not departed and self.proofs.repeats_nonce(proof, now)

    # --- claims -------------------------------------------------------------------------------

    def contest(self, hello: Hello, reason: str, now: float) -> None:
        """Answer a node that claims a name of this one; `reason` says which."""
        mine, info = self._announcements.info, hello.info
        if self._discovery.doubtful:
            return  # this node says hello itself when the doubt is over
        if prevails(mine, info) or not self._may_yield(now):
            self.refuse(info, reason, hello.nonce, now)
        elif mine.settled:  # it is for the other one to refuse, which has to know of this one
            self.say_hello(control_address(info.node), now)

    def wait_for_holder(self, hello: Hello) -> None:
        """Let a node know that its name is in question."""
        self._send(control_address(hello.info.node), Contested(hello.nonce))

    def gives_way(self, refused: Refused, now: float) -> bool:
        """Return whether this node has to go at once, since another one has refused it."""
        mine, reason = self._announcements.info, self._announcements.conflict(refused.info)
        prevailing = reason is not None and prevails(mine, refused.info)
        if not mine.settled and not prevailing:
            self._note_refusal(refused.info.node, refused.reason)
            return False
        if reason is None:
            return False
        if not prevailing and self._may_yield(now):
            return True
        # Both claims are new, and the other node does not know yet that this one prevails. One
        # that could not hear for a while may itself be the one that was superseded.
        if not self._discovery.doubtful:
            self.refuse(refused.info, reason, refused.nonce, now)
        return False

    def believes_fenced(self, speaker: Speaker, fenced: Fenced, now: float) -> bool:
        """Return whether this node was superseded, since another one says so."""
        if speaker.role == "primary":
            return True
        if not self._announcements.info.settled and not self._authenticated:
            self._note_refusal(speaker.node, fenced.reason)
            return False
        return self.cut_off(now)

    @property
    def is_refused(self) -> bool:
        """Whether somebody has refused this node during its search."""
        return bool(self._refusals)

    def refusal(self, now: float) -> str | None:
        """Return why this node has to go, which searches; None as long as it need not."""
        primary = self._members.primary
        if primary is not None:  # it lets this node in, or refuses it: who else does, it knows
            known = self._discovery.known | {primary.info.node}
            return next((why for node, why in self._refusals.items() if node in known), None)
        over = self._discovery.over_at(self._announcements.info.role == "primary", False, False)
        return next(iter(self._refusals.values()), None) if now >= over else None

    def _note_refusal(self, node: str, reason: str) -> None:
        if len(self._refusals) < _REFUSALS:
            self._refusals.setdefault(node, reason)

    def cut_off(self, now: float) -> bool:
        """Return whether this node may have been without the others for a while."""
        mine = self._announcements.info
        if self._authenticated or not mine.settled or self._discovery.uncertain(now):
            return True
        return mine.role != "primary" and self._members.primary is None

    def contradict(self, now: float) -> None:
        """Say that this node is there, since somebody has said goodbye in its name."""
        if now >= self._next_contradiction:
            self._next_contradiction = now + _PAUSE
            self._report(Impersonated())
            self.say_hello(EVERYONE, now)

    def _may_yield(self, now: float) -> bool:
        return self.cut_off(now) or self._discovery.young(now)

    def probe_holders(self, now: float) -> None:
        """Ping the holders of names that others claim, where that is due."""
        for node, number in self._members.claims.to_probe(now):
            self._send(control_address(node), Ping(number, 0.0))

    def holder_lives(self, holder: Peer, number: int, now: float) -> None:
        """Take note that a node has answered a probe: it keeps its names if it is settled.

        Otherwise the two newcomers settle it among themselves.
        """
        for claim in self._members.claims.answered(holder.info.node, number):
            if holder.info.settled:
                reason = conflict(holder.info, claim.info, holder.agents) or ""
                self.refuse(claim.info, reason, claim.nonce, now)

    def refuse(self, info: NodeInfo, reason: str, proof: bytes, now: float) -> None:
        """Tell a node that it can't be in; `proof` is its nonce."""
        mine, agents = self._announcements.info, self._announcements.whole.agents
        contested = next((name for name in info.agents if name in agents), None)
        if contested is not None:
            mine = replace(mine, agents={contested: agents[contested]})
        refused = Refused(mine, reason, self.proofs.nonce(now), proof)
        self._send(control_address(info.node), refused)
        if now >= self._next_objection:
            self._next_objection = now + _PAUSE
            self._report(Objected(info.header, reason))
