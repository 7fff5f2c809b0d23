"""LoopWatch: for how long an event loop in another thread has not turned. No I/O."""

from __future__ import annotations

from typing import Final

TICK: Final = 0.5
"""Seconds between two looks, where nobody wants them more often."""


class LoopWatch:
    """What a thread knows of the loop that it asks again and again, a question at a time.

    `now` is the time of the caller's clock, in seconds, in all methods.
    """

    def __init__(self, now: float, tick: float = TICK) -> None:
        self.tick = tick
        """Seconds between two looks."""
        self._looked_at = now
        self._asked_at: float | None = None

    def look(self, now: float) -> bool:
        """Take note of a tick; return whether the loop is to be asked, which `answer` ends.

        A tick that comes late says that this thread stood still, as all of the process may have:
        that time is not the loop's fault.
        """
        late = now - self._looked_at - self.tick
        self._looked_at = now
        if self._asked_at is None:
            self._asked_at = now
            return True
        if late > self.tick:
            self._asked_at = min(self._asked_at + late, now)
        return False

    def answer(self) -> None:
        """Take note that the loop has turned; called in that loop."""
        self._asked_at = None

    def blocked(self, now: float) -> float:
        """Return for how many seconds the loop has not turned.

        Between two ticks of this thread nobody can say how long it stood still itself.
        """
        asked_at = self._asked_at  # the loop may answer just now
        if asked_at is None:
            return 0.0
        return max(min(now, self._looked_at + 2 * self.tick) - asked_at, 0.0)
