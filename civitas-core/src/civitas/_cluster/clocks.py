"""Clocks: by how much the clocks of other nodes are ahead of this one's. No I/O.

Two nodes measure it when they meet. Later only the primary measures, with each ping: when a clock
has moved, it says so to that clock's node, which says hello again; then all others measure, too.
So a clock that steps costs one round of hellos, and one that does not costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from civitas._cluster.discovery import PROMPT
from civitas._cluster.events import ClockSeen, Event
from civitas._cluster.protocol import Hello, Ping, Pong, Welcome

MOVED: Final = 0.1
"""Seconds by which two measurements of a clock differ at least when it has moved."""


class Clocks:
    """The offsets of other nodes' clocks, by node: seconds by which one is ahead.

    `clock` returns epoch seconds; `report` is called with what is new.
    """

    def __init__(self, clock: Callable[[], float], report: Callable[[Event], None]) -> None:
        self.clock = clock
        self._report = report
        self._offsets: dict[str, float] = {}
        self._own: float | None = None
        """By how much this clock is ahead of the primary's, as all others know it."""

    def offset(self, node: str) -> float | None:
        """Return by how much a node's clock is ahead; None when it was not measured."""
        return self._offsets.get(node)

    def forget(self, node: str) -> None:
        """Forget a node that has gone."""
        self._offsets.pop(node, None)

    def hear_hello(self, hello: Hello) -> None:
        """Measure by a hello, which has just been said."""
        self._measured(hello.info.node, hello.clock - self.clock())

    def hear_welcome(self, welcome: Welcome) -> None:
        """Measure by the answer to a hello.

        The other clock was read about in the middle of the round trip, as NTP has it; an answer
        that took long says too little of it.
        """
        here = self.clock()
        if 0 <= here - welcome.echo <= PROMPT:
            offset = welcome.clock - (welcome.echo + here) / 2
            self._measured(welcome.info.node, offset)
            if welcome.info.role == "primary":
                self._own = -offset

    def hear_pong(self, node: str, pong: Pong, took: float | None) -> Ping | None:
        """Measure by the answer to a ping; return what to say to a node whose clock has moved.

        `took` is how many seconds the round trip took; None when that is not known.
        """
        if pong.clock is None or took is None or took > PROMPT:
            return None
        offset = pong.clock - (self.clock() - took / 2)
        before = self._offsets.get(node)
        if before is not None and abs(offset - before) <= MOVED + took / 2:
            return None
        self._measured(node, offset)
        return Ping(0, 0.0, offset)

    def own_moved(self, ping: Ping) -> bool:
        """Return whether this clock has moved, by a ping of the primary, and the others don't know.

        Where nothing was measured before, they do.
        """
        if ping.offset is None or (self._own is not None and abs(ping.offset - self._own) <= MOVED):
            return False
        before, self._own = self._own, ping.offset
        return before is not None

    def _measured(self, node: str, offset: float) -> None:
        self._offsets[node] = offset
        self._report(ClockSeen(node, offset))
