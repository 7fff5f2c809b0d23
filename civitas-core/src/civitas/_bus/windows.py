"""Windows: the arithmetic of credit and loss between a node and an agent of another. No I/O.

Every frame of a (sender node, agent) pair has a number, counted from 1. The sender may be ahead of
the receiver by a window of frames; the receiver returns credit, cumulatively. From the same numbers
the receiver knows what was lost: within the stream by the gap before the next frame, at its end by
the sender's last number, which the sender reports while credit is owed. A gap is no loss where the
sender had given a number back while later ones were under way: it reports these, too.

Where a sender waits for credit: `routes`. Where arriving frames are counted: `accounting`.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = 256
"""Frames that a node may be ahead of an agent of another node."""

GRANT_EVERY: Final = WINDOW // 4
"""Frames after which the receiver returns credit, so that a stream never has to pause for it."""


class SendWindow:
    """The sending side of a pair, which may have `size` frames under way."""

    __slots__ = ("_unused", "credited", "sent", "size")

    def __init__(self, size: int = WINDOW) -> None:
        self.size = size
        self._unused: set[int] = set()
        self.sent = 0
        """Number of the last frame."""
        self.credited = 0
        """Highest number that the receiver has accounted for, as taken or as lost."""

    @property
    def outstanding(self) -> int:
        """Frames that are not accounted for yet."""
        return self.sent - self.credited

    def take(self) -> int:
        """Return the number of the next frame, or 0 when there is no credit left for it."""
        if self.sent - self.credited >= self.size:
            return 0
        self.sent += 1
        return self.sent

    def give_back(self, number: int) -> bool:
        """Take back a number whose frame was never sent; return whether there is more credit.

        The last one is used again. One before it is not, unless all after it are given back, too.
        """
        if not self.credited < number <= self.sent:
            return False  # it has arrived after all
        self._unused.add(number)
        before = self.sent
        while self.sent in self._unused:
            self._unused.remove(self.sent)
            self.sent -= 1
        return self.sent < before

    def take_unused(self) -> list[int]:
        """Return, once, the numbers that no frame will have; later ones are under way."""
        if not self._unused:
            return []
        unused = sorted(self._unused)
        self._unused.clear()
        return unused

    def credit(self, upto: int) -> bool:
        """Take note that frames up to that number are accounted for; return whether that is news.

        What the sender never sent can't have been received: such a number is ignored.
        """
        if not self.credited < upto <= self.sent:
            return False
        self.credited = upto
        return True


class ReceiveWindow:
    """The receiving side of a pair, whose sender has a window of `window` frames."""

    __slots__ = ("_missing", "_unused", "granted", "seen", "window")

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self._missing: set[int] = set()
        """Numbers of the last window that were counted as lost."""
        self._unused: set[int] = set()
        """Numbers that will not come, and are not lost."""
        self.seen = 0
        """Highest number accounted for."""
        self.granted = 0
        """The number up to which the sender has its credit back."""

    def arrived(self, number: int) -> int:
        """Account for a frame that was taken; return how many before it were lost."""
        gap = number - self.seen - 1
        self.seen = number
        return self._lost(gap, number - 1) if gap else 0

    def ended_at(self, last: int) -> int:
        """Account for the last number, as the sender reports it; return how many were lost."""
        gap = last - self.seen
        if gap > 0:
            self.seen = last
        return self._lost(gap, last)

    def unused(self, number: int) -> int:
        """Take note that no frame has a number; return how many fewer were lost than counted."""
        if self.seen < number <= self.seen + self.window:
            self._unused.add(number)
        if number not in self._missing:
            return 0
        self._missing.remove(number)
        return 1

    def grant(self) -> int:
        """Return the number up to which credit is returned now."""
        self.granted = self.seen
        return self.seen

    @property
    def due(self) -> bool:
        """Whether it is time to return credit."""
        return self.seen - self.granted >= GRANT_EVERY or self.seen < self.granted

    def _lost(self, gap: int, last: int) -> int:
        """Return how many frames were lost in a gap that ends with a number."""
        if not 0 < gap <= self.window:
            return 0  # wider, it is of another numbering: of a sender that began anew
        missing = set(range(last - gap + 1, last + 1)) - self._unused
        self._unused = {each for each in self._unused if each > last}
        self._missing = {each for each in self._missing if each > last - self.window} | missing
        return len(missing)
