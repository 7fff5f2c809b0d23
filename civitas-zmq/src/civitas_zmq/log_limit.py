"""LogLimit: lets one line a second through for each source, and counts those that it leaves out."""

from __future__ import annotations

from time import monotonic
from typing import Final

INTERVAL: Final = 1.0
"""Seconds between two lines about one source."""

SOURCES: Final = 256
"""Sources that are told apart; all others count as one."""

_OTHERS: Final = ""


class LogLimit:
    """Decides which lines are logged. Belongs to one thread."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[float, int]] = {}

    def allows(self, source: str) -> str | None:
        """Return what to add to a line about a source, `None` when it is not to be logged."""
        now = monotonic()
        if source not in self._lines and len(self._lines) >= SOURCES:
            self._lines = {
                each: (since, left_out)
                for each, (since, left_out) in self._lines.items()
                if now - since < INTERVAL or each == _OTHERS
            }
            if len(self._lines) >= SOURCES:
                source = _OTHERS
        since, left_out = self._lines.get(source, (-INTERVAL, 0))
        if now - since < INTERVAL:
            self._lines[source] = since, left_out + 1
            return None
        self._lines[source] = now, 0
        return f" ({left_out} more since the last such line)" if left_out else ""
