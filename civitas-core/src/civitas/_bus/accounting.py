"""Receive accounting: what came from other nodes is counted, and credit for it is returned.

What this node has sent is accounted for where it is received. Only where that can't be, since the
receiver has gone, it is counted as lost here (`write_off`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from struct import Struct
from typing import Final

from civitas._bus.windows import ReceiveWindow

_NODE: Final = slice(4, 12)
_NUMBER_AT: Final = 16
_number: Final = Struct(">Q").unpack_from


def number_of(frame: bytes) -> int:
    """Return a frame's number within (sender node, address); 0 when it is not numbered."""
    number: int = _number(frame, _NUMBER_AT)[0]
    return number


class ReceiveAccounting:
    """The receiving side of all pairs of (sender node, agent of this node).

    `grant` and `on_lost` are called with (node id, agent, number): to return credit up to that
    number, and when so many frames turn out to be lost.
    """

    def __init__(
        self,
        grant: Callable[[bytes, str, int], None],
        on_lost: Callable[[bytes, str, int], None],
    ) -> None:
        self._grant = grant
        self._on_lost = on_lost
        self._windows = defaultdict[tuple[bytes, str], ReceiveWindow](ReceiveWindow)
        self._counted: set[bytes] = set()
        self.lost: Counter[str] = Counter()
        """Frames that never came, or of which that is not known, by agent."""
        self.unknown = 0
        """How many of the lost may have come all the same."""

    def begin(self, node: bytes, *, fresh: bool) -> None:
        """Count what a node sends from now on: its probe has come, which precedes its numbers.

        What came before was numbered for another node that had the name of this one's agent. A
        `fresh` sender begins its numbers anew.
        """
        if fresh:
            self.forget(node)
        self._counted.add(node)

    def arrived(self, frame: bytes, number: int, agent: str) -> None:
        """Account for a numbered frame that a mailbox has taken."""
        node = frame[_NODE]
        if node not in self._counted:
            return
        window = self._windows[node, agent]
        lost = window.arrived(number)
        if lost:
            self._count(node, agent, lost)
        if window.due:
            self._grant(node, agent, window.grant())

    def ended_at(self, frame: bytes, agent: str) -> None:
        """Account for the last number that a sender reports, and answer it with credit."""
        self.ended(frame[_NODE], agent, number_of(frame))

    def ended(self, node: bytes, agent: str, number: int) -> None:
        """Account for the last number of a node's frames to an agent, and answer it with credit."""
        if node not in self._counted:
            return
        window = self._windows[node, agent]
        lost = window.ended_at(number)
        if lost:
            self._count(node, agent, lost)
        self._grant(node, agent, window.grant())

    def counts(self, node: bytes) -> bool:
        """Return whether a node may send: its probe has come."""
        return node in self._counted

    def seen(self, node: bytes, agent: str) -> int:
        """Return the highest number of a node's frames to an agent that is accounted for."""
        window = self._windows.get((node, agent))
        return 0 if window is None else window.seen

    def write_off(self, agent: str, frames: int) -> None:
        """Count frames of this node as lost, since the agent's node has gone with them."""
        self.lost[agent] += frames
        self.unknown += frames

    def unused(self, node: bytes, agent: str, number: int) -> bool:
        """Take note that no frame of a node has a number; return whether it was counted as lost."""
        if node not in self._counted or not self._windows[node, agent].unused(number):
            return False
        self.lost[agent] -= 1
        if not self.lost[agent]:
            del self.lost[agent]
        return True

    def settle(self) -> None:
        """Return all credit that is owed: this node leaves."""
        for (node, agent), window in self._windows.items():
            if window.seen != window.granted:
                self._grant(node, agent, window.grant())

    def forget(self, node: bytes) -> None:
        """Forget the pairs of a node that has gone."""
        self._counted.discard(node)
        for pair in [pair for pair in self._windows if pair[0] == node]:
            del self._windows[pair]

    def _count(self, node: bytes, agent: str, lost: int) -> None:
        self.lost[agent] += lost
        self._on_lost(node, agent, lost)
