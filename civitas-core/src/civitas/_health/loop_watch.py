"""LoopWatch: for how long an event loop in another thread has not turned. No I/O."""

from __future__ import annotations

from typing import Final

TICK: Final = 0.5
"""Seconds between two looks, where nobody wants them more often."""


class LoopWatch:
    """What a thread knows of the loop that it asks again and again, a question at a time.

    `now` is the time of the caller's clock, in seconds, in all methods. Each attribute is set by
    one of the two threads alone: `answer` sets the last number, and all else that thread sets
    which looks. So an answer may come at any moment.
    """

    def __init__(self, now: float, tick: float = TICK) -> None:
        self.tick = tick
        """Seconds between two looks."""
        self._looked_at = self._asked_at = now
        self._asked = self._answered = 0
        """Numbers of the last question, and of the last one that was answered."""

    def look(self, now: float) -> bool:
        """Take note of a tick; return whether the loop is to be asked, which `answer` ends.

        A tick that comes late says that this thread stood still, as all of the process may have:
        that time is not the loop's fault.
        """
        late = now - self._looked_at - self.tick
        self._looked_at = now
        if self._answered == self._asked:
            self._asked_at = now
            self._asked += 1
            return True
        if late > self.tick:
            self._asked_at = min(self._asked_at + late, now)
        return False

    def answer(self) -> None:
        """Take note that the loop has turned; called in that loop."""
        self._answered = self._asked

    def blocked(self, now: float) -> float:
        """Return for how many seconds the loop has not turned.

        Between two ticks of this thread nobody can say how long it stood still itself.
        """
        if self._answered == self._asked:
            return 0.0
        return max(min(now, self._looked_at + 2 * self.tick) - self._asked_at, 0.0)
