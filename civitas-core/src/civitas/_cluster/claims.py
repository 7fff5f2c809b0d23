"""Claims: two nodes want one name, and who of them gets it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Container
from math import inf
from typing import Final, NamedTuple

from civitas import _platform as platform
from civitas._cluster.protocol import NodeInfo

PROBE_TIMEOUT: Final = 1.5
"""Seconds that the holder of a name has to show that it is alive."""

_PROBE_EVERY: Final = 0.15
"""Seconds between two probes: a lost one is not a dead holder."""

CLAIMS: Final = 1_000
"""Claims at most; who comes then says hello again, and is heard when one is decided."""


class Claim(NamedTuple):
    """A newcomer that wants what `holder` has."""

    info: NodeInfo
    holder: str
    nonce: bytes
    """What an answer to the newcomer repeats."""
    number: int
    """What an answer of the holder to a probe repeats: nobody else can know it."""
    deadline: float
    next_probe: float


class Claims:
    """The newcomers that wait until it is known whether the holder of their name is alive."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    @property
    def agents(self) -> int:
        """How many agents the newcomers have."""
        return sum(len(claim.info.agents) for claim in self._claims.values())

    def __bool__(self) -> bool:
        """Return whether anything is undecided."""
        return bool(self._claims)

    def add(self, info: NodeInfo, nonce: bytes, holder: str, now: float) -> None:
        """Take up a claim, unless that has been done; `nonce` is that of the newcomer."""
        if info.node not in self._claims and len(self._claims) < CLAIMS:
            number = int.from_bytes(platform.random_bytes(7))
            deadline = now + PROBE_TIMEOUT
            self._claims[info.node] = Claim(info, holder, nonce, number, deadline, now)

    def of(self, node: str) -> NodeInfo | None:
        """Return a node that claims a name; None if that one does not."""
        claim = self._claims.get(node)
        return None if claim is None else claim.info

    def prolong(self, deadline: float) -> None:
        """Let all claims wait at least until then."""
        for node, claim in self._claims.items():
            self._claims[node] = claim._replace(deadline=max(claim.deadline, deadline))

    def to_probe(self, now: float) -> list[tuple[str, int]]:
        """Return the holders to be probed now, each with the number of the probe."""
        due = [claim for claim in self._claims.values() if now >= claim.next_probe]
        for claim in due:
            self._claims[claim.info.node] = claim._replace(next_probe=now + _PROBE_EVERY)
        return [(claim.holder, claim.number) for claim in due]

    def next_due(self) -> float:
        """Return when a holder is to be probed, or has been silent for too long; inf for never."""
        if not self._claims:
            return inf
        times = (min(claim.next_probe, claim.deadline) for claim in self._claims.values())
        return min(times)

    def discard(self, node: str) -> None:
        """Forget the claim of a node that is in, or has gone."""
        self._claims.pop(node, None)

    def answered(self, holder: str, number: int) -> list[Claim]:
        """Return, and forget, the claims on a holder that has answered the probe for one of them.

        A number of 0 is that of another ping.
        """
        if not any(c.number == number and c.holder == holder for c in self._claims.values()):
            return []
        return self._pop(lambda claim: claim.holder == holder)

    def unanswered(self, now: float) -> list[Claim]:
        """Return, and forget, the claims whose holders have stayed silent."""
        return self._pop(lambda claim: now >= claim.deadline)

    def _pop(self, matches: Callable[[Claim], bool]) -> list[Claim]:
        found = [claim for claim in self._claims.values() if matches(claim)]
        for claim in found:
            del self._claims[claim.info.node]
        return found


def conflict(
    holder: NodeInfo, newcomer: NodeInfo, agents: Container[str] | None = None
) -> str | None:
    """Say what a newcomer can't have because of `holder`; None when both can be.

    `agents` are those of the holder, where its info has none.
    """
    if holder.node == newcomer.node:
        return None
    if holder.role == newcomer.role == "primary" and holder.process != newcomer.process:
        return (
            f"this system has a primary, which is {holder}, so {newcomer} can't be one: a tree is "
            f"supervised by one process"
        )
    if holder.process == newcomer.process:
        return (
            f"process name {newcomer.process!r} is taken: {holder} is alive, so node "
            f"{newcomer.node[:8]} can't join; end the other one, or give this one another name"
        )
    taken = holder.agents if agents is None else agents
    for name in newcomer.agents:
        if name in taken:
            return (
                f"agent {name!r} is alive in {holder}, so {newcomer} can't have one of that "
                f"name; names are unique in a system"
            )
    return None


def prevails(mine: NodeInfo, other: NodeInfo) -> bool:
    """Return whether `mine` keeps a name that both claim: the settled, the older, the lower id."""
    if mine.settled != other.settled:
        return mine.settled
    if mine.settled and mine.generation != other.generation:
        return mine.generation < other.generation
    return mine.node < other.node
