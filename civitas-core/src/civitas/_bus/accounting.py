"""Receive accounting: what came from other nodes is counted, and credit for it is returned.

What this node has sent is accounted for where it is received. Only where that can't be, since the
receiver has gone, it is counted as lost here (`write_off`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from struct import Struct
from typing import Final

from civitas._bus.windows import GRANT_EVERY, ReceiveWindow
from civitas.envelope import NODE_AT

NUMBER_AT: Final = 16
"""Where a frame has its number."""

unpack_number: Final = Struct(">Q").unpack_from


def number_of(frame: bytes) -> int:
    """Return a frame's number within (sender node, address); 0 when it is not numbered."""
    number: int = unpack_number(frame, NUMBER_AT)[0]
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
        self._windows: dict[tuple[bytes, str], ReceiveWindow] = {}
        self._counted: dict[bytes, bool] = {}
        """The nodes that may send, and whether their numbers are known from the first."""
        self.lost: Counter[str] = Counter()
        """Frames that never came, or of which that is not known, by agent."""
        self.unknown = 0
        """How many of the lost may have come all the same."""

    def begin(self, node: bytes, *, fresh: bool) -> None:
        """Count what a node sends from now on: its probe has come, which precedes its numbers.

        What came before was numbered for another node that had the name of this one's agent. A
        `fresh` sender begins its numbers anew; or its probe has come again, and they go on.
        """
        if fresh and node in self._counted:
            for pair in self._of(node):
                self._windows[pair] = ReceiveWindow(known=False)
        self._counted.setdefault(node, fresh)

    def window(self, node: bytes, agent: str) -> ReceiveWindow | None:
        """Return the window of a node's frames to an agent; None while its probe has not come."""
        window = self._windows.get((node, agent))
        if window is None and node in self._counted:
            window = self._windows[node, agent] = ReceiveWindow(known=self._counted[node])
        return window

    def arrived(self, frame: bytes, number: int, agent: str) -> None:
        """Account for a numbered frame that a mailbox has taken, or would have.

        Its sender may have begun its numbers anew while it waited: then it is none of them.
        """
        window = self.window(frame[NODE_AT], agent)
        if window is not None and window.takes(number):
            self.taken(window, frame, number, agent)

    def taken(self, window: ReceiveWindow, frame: bytes, number: int, agent: str) -> None:
        """Account for a numbered frame that its window takes."""
        lost = window.arrived(number)
        if lost > 0:
            self._count(frame[NODE_AT], agent, lost)
        elif lost:
            self._was_not_lost(agent)
        if window.due >= GRANT_EVERY:
            self._grant(frame[NODE_AT], agent, window.grant())

    def marked(self, frame: bytes, agent: str) -> bool:
        """Take the mark behind a sender's last frame; return False if that can't be its number."""
        node, number = frame[NODE_AT], number_of(frame)
        window = self.window(node, agent)
        if window is None:
            return True
        if not window.mark(number):
            return False
        self._end(window, node, agent, number)
        return True

    def said(self, node: bytes, agent: str, number: int) -> bool:
        """Take the last number of its frames to an agent that a node says, and return credit.

        It counts when the mark is there, too. Return False if it is not believed.
        """
        window = self.window(node, agent)
        if window is None:
            return True
        if not window.say(number):
            return False
        self._end(window, node, agent, number)
        return True

    def ended(self, node: bytes, agent: str, number: int) -> bool:
        """Do so for an agent that has left: what has not come by now never will.

        Or it has come, and the transport has dropped it, since nobody is subscribed any more.
        """
        window = self.window(node, agent)
        if window is not None:
            window.mark(number)
        before = self.lost[agent]
        is_believed = self.said(node, agent, number)
        self.unknown += self.lost[agent] - before
        return is_believed

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
        window = self.window(node, agent)
        if window is None or not window.unused(number):
            return False
        self._was_not_lost(agent)
        return True

    def settle(self) -> None:
        """Return all credit that is owed: this node leaves."""
        for (node, agent), window in self._windows.items():
            if window.owed:
                self._grant(node, agent, window.grant())

    def forget(self, node: bytes) -> None:
        """Forget the pairs of a node that has gone."""
        self._counted.pop(node, None)
        for pair in self._of(node):
            del self._windows[pair]

    def _end(self, window: ReceiveWindow, node: bytes, agent: str, number: int) -> None:
        lost = window.end()
        if lost:
            self._count(node, agent, lost)
        if number <= window.seen:
            self._grant(node, agent, window.grant())

    def _of(self, node: bytes) -> list[tuple[bytes, str]]:
        return [pair for pair in self._windows if pair[0] == node]

    def _count(self, node: bytes, agent: str, lost: int) -> None:
        self.lost[agent] += lost
        self._on_lost(node, agent, lost)

    def _was_not_lost(self, agent: str) -> None:
        """Take back that a frame was counted as lost."""
        self.lost[agent] -= 1
        if not self.lost[agent]:
            del self.lost[agent]
