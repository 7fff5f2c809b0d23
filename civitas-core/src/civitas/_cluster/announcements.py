"""Announcements: what this node announces of itself, and when. No I/O.

What a node announces has a `revision`, which grows by one with each change. It is told in two
ways. A *whole* (in hello, welcome and refusal) has all agents. A *change* has only those that have
changed since an earlier revision, so its cost is that of what has changed. A beacon is a change
without any: a settled node repeats it to everyone, soon after a change and then ever more slowly.

Whoever hears an announcement compares revisions:

    it knows the node                | it hears              | it does
    ---------------------------------+-----------------------+--------------------------------------
    at the revision it changes from, | a change              | takes it
    or a later one, but not the new  |                       |
    at an earlier one                | a change, a beacon    | says which it knows, and gets what
                                     |                       | has changed since
    at the announced one or later    | anything              | nothing: it is late, or comes twice
    at an earlier one                | a whole               | takes it
    not at all                       | a change, a beacon    | says hello: only a whole is checked
                                     |                       | for names that are taken

So whatever is lost (an announcement, a hello, all that is said in a partition) heals by the next
beacon, without any new event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Final

from civitas._cluster.claims import conflict
from civitas._cluster.codec import MOST_AGENTS, encode
from civitas._cluster.pieces import LARGEST_MESSAGE, LEAST_FRAME
from civitas._cluster.protocol import AgentStates, Changed, Hello, NodeInfo
from civitas.envelope import Origin
from civitas.errors import ConfigurationError

FIRST_BEACON: Final = 0.25
"""Seconds after a change until the first beacon; then twice as long each time, up to:"""

SLOWEST_BEACON: Final = 4.0
"""Seconds between two beacons at most."""


class Announcements:
    """What one node has announced of itself; `info` is all but the agents."""

    def __init__(self, info: NodeInfo) -> None:
        self.info = replace(info, agents={}, revision=1)
        self._agents: dict[str, tuple[str, int]] = dict(info.agents)
        self._changed = dict.fromkeys(info.agents, 1)
        """At which revision each agent has changed last, in that order."""
        self._pause = FIRST_BEACON
        self._due: float | None = None
        self._last = -inf
        self._whole: NodeInfo | None = None
        """What `whole` has returned since the last change."""

    @property
    def whole(self) -> NodeInfo:
        """Everything, as it is now."""
        if self._whole is None:
            self._whole = replace(self.info, agents=dict(self._agents))
        return self._whole

    def conflict(self, newcomer: NodeInfo) -> str | None:
        """Say what another node can't have because of this one; None when both can be."""
        return conflict(self.info, newcomer, self._agents)

    def change(
        self, agents: AgentStates, *, settled: bool = False, leaving: bool = False
    ) -> Changed | None:
        """Take note of what has changed; return how to announce it, None when nothing has.

        A node that is settled, or leaving, stays so.
        """
        new = self.unannounced(agents)
        info = self.info
        settled, leaving = settled or info.settled, leaving or info.leaving
        if not new and (settled, leaving) == (info.settled, info.leaving):
            return None
        before, revision = info.revision, info.revision + 1
        self.info = replace(info, settled=settled, leaving=leaving, revision=revision)
        self._agents.update(new)
        self._whole = None
        for name in new:
            self._changed.pop(name, None)
            self._changed[name] = revision
        self._pause, self._due = FIRST_BEACON, None
        return Changed(replace(self.info, agents=new), before)

    def since(self, revision: int) -> Changed:
        """Return what has changed since a revision."""
        agents: dict[str, tuple[str, int]] = {}
        for name in reversed(self._changed):
            if self._changed[name] <= revision:
                break
            agents[name] = self._agents[name]
        return Changed(replace(self.info, agents=agents), revision)

    def unannounced(self, agents: AgentStates) -> Mapping[str, tuple[str, int]]:
        """Return those whose state is not what was announced."""
        return {name: state for name, state in agents.items() if self._agents.get(name) != state}

    @property
    def due(self) -> float:
        """When `beacon` is to be called next, be it only to see that there was a change."""
        return -inf if self._due is None else self._due

    def hasten(self, now: float) -> None:
        """Let the next beacon come soon: somebody is there who does not know what he needs here.

        However often that is, two beacons are FIRST_BEACON apart at least.
        """
        if self._due is not None:
            self._due = min(self._due, max(now, self._last + FIRST_BEACON))

    def beacon(self, now: float) -> Changed | None:
        """Return a beacon when one is due."""
        if self._due is None:
            self._due = now + self._pause
        if now < self._due:
            return None
        self._pause = min(2 * self._pause, SLOWEST_BEACON)
        self._last, self._due = now, now + self._pause
        return Changed(self.info, self.info.revision)


def check_announceable(info: NodeInfo, largest_frame: int | None) -> None:
    """Raise unless others can hear of a node, by a transport with this largest frame.

    Raises:
        ConfigurationError: they can't; it says why, and what to do.
    """
    if largest_frame is not None and largest_frame < LEAST_FRAME:
        raise ConfigurationError(
            f"this transport carries messages up to {largest_frame:,} bytes, and what nodes say to "
            f"each other needs {LEAST_FRAME:,}: raise its max_message_bytes"
        )
    if len(info.agents) > MOST_AGENTS:
        raise ConfigurationError(
            f"{info} has {len(info.agents):,} agents, and other nodes take {MOST_AGENTS:,} of one "
            f"at most: divide them among more processes"
        )
    size = len(encode(Hello(info, 0.0), Origin(bytes.fromhex(info.node), info.generation)))
    if size > LARGEST_MESSAGE:
        raise ConfigurationError(
            f"what {info} announces of its {len(info.agents):,} agents takes {size:,} bytes, and "
            f"other nodes take {LARGEST_MESSAGE:,} at most: divide them among more processes"
        )
