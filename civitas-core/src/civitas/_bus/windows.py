"""Windows: the arithmetic of credit and loss between a node and an agent of another. No I/O.

Every frame of a (sender node, agent) pair has a number, counted from 1. The sender may be ahead of
the receiver by a window of frames; the receiver returns credit, cumulatively. From the same numbers
the receiver knows what was lost: within the stream by the gap before the next frame, at its end by
the sender's last number, which the sender reports while credit is owed. A gap is no loss where the
sender had given a number back while later ones were under way: it reports these, too.

The same numbers say which frames are taken, and so each at most once. A last number is said twice:
by the sender's node to the receiver's node, where it is believed, and behind the frames, at the
agent's address, where it only marks that what was sent before has come. Anybody who may send to the
agent can write such a mark. A number, as the receiver sees it:

    number                     | a frame has it     | the node says it    | the mark has it
    ---------------------------+--------------------+---------------------+---------------------
    up to the highest one, and | came again:        | is old; credit up   | is old: changes
    not missing                | refused            | to it is due        | nothing
    missing: counted as lost   | is late: taken,    | the same            | the same
                               | not lost after all |                     |
    above it, and within the   | is taken; what is  | once the mark is    | once the node says
    window                     | between is missing | there, too: what is | so, too: what is
                               |                    | between is missing  | between is missing
    further away than a window | refused            | refused; said again,| refused, whenever
                               |                    | the numbers go on   | and as often as it
                               |                    | there               | comes

The window moves by one with each frame that is taken, and further only by what the node says: a gap
gives no credit. What is missing within the window is known, so no frame makes more later ones look
old than it takes the place of, and a mark none. Should the two ends disagree all the same, the
sender gets no credit, its node repeats its last number, and both go on from there. Of a sender
whose numbers the receiver does not know, since they were forgotten or begin anew, the first one is
taken as it is.

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

    def reaches(self, number: int) -> bool:
        """Return whether the receiver can take a number for one that was sent."""
        return 0 <= number <= self.sent + self.size

    def credit(self, upto: int) -> bool:
        """Take note that frames up to that number are accounted for; return whether that is news.

        It opens the window no further than to what was sent. A number out of the window's reach
        is ignored.
        """
        if not self.credited < min(upto, self.sent) or not self.reaches(upto):
            return False
        self.credited = min(upto, self.sent)
        return True


class ReceiveWindow:
    """The receiving side of a pair, whose sender has a window of `window` frames.

    The sender's numbers are `known` to begin at 1, or else at whichever comes first.
    """

    __slots__ = (
        "_claimed",
        "_known",
        "_marked",
        "_missing",
        "_said",
        "_unused",
        "due",
        "granted",
        "seen",
        "window",
    )

    def __init__(self, window: int = WINDOW, *, known: bool = True) -> None:
        self.window = window
        self._known = known
        self._claimed: int | None = None
        """The last number that was refused last."""
        self._said = 0
        """The last number that the sender's node has said; 0 when it has said none."""
        self._marked = 0
        """The number of the mark that came last."""
        self.due = 0
        """By how much `granted` may grow: the frames taken since, and what the node has said. From
        GRANT_EVERY on it is time to return credit."""
        self._missing: set[int] = set()
        """Numbers of the last window that were counted as lost."""
        self._unused: set[int] = set()
        """Numbers that will not come, and are not lost."""
        self.seen = 0
        """Highest number accounted for."""
        self.granted = 0
        """The number up to which the sender has its credit back."""

    @property
    def kept(self) -> int:
        """How many numbers are kept for what may still be said of them."""
        return len(self._missing) + len(self._unused)

    def takes(self, number: int) -> bool:
        """Return whether a frame with a number is one that has not come yet, and may come."""
        if number > self.seen:  # as `reaches` says it, without a call: most frames come in order
            return number <= self.granted + self.window or not self._known
        return number in self._missing

    def reaches(self, number: int) -> bool:
        """Return whether the sender can have got as far as a number."""
        return number >= 0 and (number <= self.granted + self.window or not self._known)

    def arrived(self, number: int) -> int:
        """Account for a frame that is taken; return how many before it were lost.

        It is -1 for one that is late, and not lost after all.
        """
        if number <= self.seen:
            self._missing.discard(number)
            self.due += 1
            return -1
        if not self._known:
            self._begin_at(number)
        self.due += 1
        gap = number - self.seen - 1
        self.seen = number
        self._claimed = None
        return self._lost(gap, number - 1) if gap else 0

    def mark(self, last: int) -> bool:
        """Take note that what was sent up to a number has come; return whether that may be."""
        if not self.reaches(last):
            return False
        self._marked = last
        return True

    def say(self, last: int) -> bool:
        """Take the last number that the sender's node says; return whether it is believed.

        One that is out of reach is believed when it is said again.
        """
        if last < 0:
            return False
        if not self._known or self.seen - self.window <= last <= self.granted + self.window:
            self._claimed, self._said = None, max(self._said, last)
            return True
        claimed, self._claimed = self._claimed, last
        if claimed is None or not claimed <= last <= claimed + self.window:
            return False
        self._known, self._claimed = False, None
        self._missing.clear()
        self._said = self._marked = last
        return True

    def end(self) -> int:
        """Account for the last number that is both said and marked; return how many were lost."""
        if not self._known:
            last = min(self._said, self._marked)
            if last:
                self._begin_at(last + 1)
            return 0
        last = min(self._said, max(self._marked, self.seen))
        gap = last - self.seen
        lost = 0
        if gap > 0:
            self.seen = last
            lost = self._lost(gap, last)
        self.due = max(self.due, last - self.granted)
        return lost

    def unused(self, number: int) -> int:
        """Take note that no frame has a number; return how many fewer were lost than counted."""
        if self._known and self.seen < number <= self.granted + self.window:
            self._unused = {each for each in self._unused if each > self.seen} | {number}
        if number not in self._missing:
            return 0
        self._missing.remove(number)
        self.due += 1
        return 1

    def grant(self) -> int:
        """Return the number up to which credit is returned now."""
        self.granted = min(self.granted + self.due, self.seen)
        self.due = 0
        return self.granted

    @property
    def owed(self) -> bool:
        """Whether there is credit to return."""
        return self.due > 0

    def _begin_at(self, number: int) -> None:
        """Take the numbers before one as accounted for, and their credit as due."""
        self._known = True
        self.seen = number - 1
        self.granted = max(self.seen - GRANT_EVERY, 0)
        self.due = self.seen - self.granted

    def _lost(self, gap: int, last: int) -> int:
        """Return how many frames were lost in a gap that ends with a number."""
        missing = set(range(last - gap + 1, last + 1)) - self._unused
        self.due += gap - len(missing)
        self._unused = {each for each in self._unused if each > last}
        self._missing = {each for each in self._missing if each > last - self.window} | missing
        return len(missing)
