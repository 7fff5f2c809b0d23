"""Naming: a node's part where two want one name: it claims, refuses, and gives way. No I/O.

A hello claims names. Who has one objects (`claims` says whose claim prevails); a third node probes
the holder, and refuses the newcomer in its name when it lives.
"""

from __future__ import annotations

from collections.abc import Callable

from civitas._cluster.announcements import Announcements
from civitas._cluster.claims import conflict, prevails
from civitas._cluster.clocks import Clocks
from civitas._cluster.discovery import Discovery
from civitas._cluster.liveness import Peer
from civitas._cluster.member_table import MemberTable
from civitas._cluster.protocol import (
    ControlMessage,
    Hello,
    NodeInfo,
    Ping,
    Refused,
    control_address,
)


class Naming:
    """What one node says about names; `send` sends a message to an address."""

    def __init__(
        self,
        announcements: Announcements,
        members: MemberTable,
        discovery: Discovery,
        clocks: Clocks,
        send: Callable[[str, ControlMessage], None],
    ) -> None:
        self._announcements = announcements
        self._members = members
        self._discovery = discovery
        self._clocks = clocks
        self._send = send

    def say_hello(self, address: str) -> None:
        """Claim this node's names."""
        self._send(address, Hello(self._announcements.whole, self._clocks.clock()))

    def contest(self, info: NodeInfo, reason: str) -> None:
        """Answer a node that claims a name of this one; `reason` says which."""
        mine = self._announcements.info
        if self._discovery.doubtful:
            return  # this node says hello itself when the doubt is over
        if prevails(mine, info):
            self._refuse(info, reason)
        elif mine.settled:  # it is for the other one to refuse, which has to know of this one
            self.say_hello(control_address(info.node))

    def gives_way(self, refused: Refused) -> bool:
        """Return whether this node has to go, since another one has refused it."""
        mine, reason = self._announcements.info, self._announcements.conflict(refused.info)
        if reason is None:
            return not mine.settled
        if not prevails(mine, refused.info):
            return True
        # Both claims are new, and the other node does not know yet that this one prevails. One
        # that could not hear for a while may itself be the one that was superseded.
        if not self._discovery.doubtful:
            self._refuse(refused.info, reason)
        return False

    def probe_holders(self, now: float) -> None:
        """Ping the holders of names that others claim, where that is due."""
        for node in self._members.claims.to_probe(now):
            self._send(control_address(node), Ping(0, 0.0))

    def holder_lives(self, holder: Peer) -> None:
        """Take note that a node is alive: it keeps its names if it is settled.

        Otherwise the two newcomers settle it among themselves.
        """
        for claim in self._members.claims.answered(holder.info.node):
            if holder.info.settled:
                self._refuse(claim.info, conflict(holder.info, claim.info, holder.agents) or "")

    def _refuse(self, info: NodeInfo, reason: str) -> None:
        self._send(control_address(info.node), Refused(self._announcements.whole, reason))
