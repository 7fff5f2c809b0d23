"""Completion: whether all members have ended, at a cost that does not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class _Member(Protocol):
    @property
    def finished(self) -> bool: ...


class Completion:
    """Looks first at the one that had not ended when it was asked before."""

    def __init__(self) -> None:
        self._at = 0

    def reached(self, members: Sequence[_Member]) -> bool:
        """Return whether there are members, and all have ended for good."""
        count = len(members)
        for _ in range(count):
            if not members[self._at % count].finished:
                return False
            self._at = (self._at + 1) % count
        return count > 0
