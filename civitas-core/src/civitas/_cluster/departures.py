"""Departures: the nodes that have gone, by process name, until one of that name comes. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from civitas._cluster.events import NodeLost
from civitas._cluster.protocol import NodeInfo
from civitas.errors import printable

_REMEMBERED: Final = 1_000
"""Nodes that are remembered, at most: workers may have a new name in each life."""

_REASON: Final = 200
"""Bytes of a reason that are kept; another node may have given it."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A node that has gone, as another one has seen it.

    Attributes:
        process: its process name.
        node: its id in hex.
        role: primary or worker.
        died: whether it went without a goodbye.
        reason: why it counts as gone.
        since: seconds since then.
    """

    process: str
    node: str
    role: str
    died: bool
    reason: str
    since: float


class Departures:
    """The departures that one node remembers; times are seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self._gone: dict[str, tuple[NodeInfo, str, bool, float]] = {}

    def went(self, event: NodeLost, now: float) -> None:
        """Take note that a node has gone; the first word of it counts."""
        info = event.info
        known = self._gone.get(info.process)
        if info.role == "client" or (known is not None and known[0].node == info.node):
            return
        reason = printable(event.reason, _REASON)
        self._gone.pop(info.process, None)
        self._gone[info.process] = info.header, reason, event.died, now
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def came(self, info: NodeInfo) -> None:
        """Take note that a node is there."""
        self._gone.pop(info.process, None)

    def list(self, now: float) -> tuple[Departure, ...]:
        """Return them as they are now."""
        return tuple(
            Departure(info.process, info.node, info.role, died, reason, now - at)
            for info, reason, died, at in self._gone.values()
        )
