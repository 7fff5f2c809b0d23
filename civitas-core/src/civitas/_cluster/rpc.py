"""PendingRequests: the commands and queries of a node that are not answered yet. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from civitas._cluster.protocol import Command, Query

RESEND: Final = 1.0
"""Seconds after which a question is asked again."""


class _Asked(NamedTuple):
    node: str
    message: Command | Query
    due: float


class PendingRequests:
    """Each is asked again and again, and answered once."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}

    def ask(self, node: str, message: Command | Query, now: float) -> None:
        """Take note that a node was asked."""
        self._asked[message.number] = _Asked(node, message, now + RESEND)

    def due(self, now: float) -> list[tuple[str, Command | Query]]:
        """Return whom to ask again, and what."""
        again = [asked for asked in self._asked.values() if now >= asked.due]
        for asked in again:
            self.ask(asked.node, asked.message, now)
        return [(asked.node, asked.message) for asked in again]

    def answered(self, node: str, number: int) -> bool:
        """Return whether this answer of a node is awaited; from now on it is not."""
        asked = self._asked.get(number)
        if asked is None or asked.node != node:
            return False
        del self._asked[number]
        return True

    def withdraw(self, number: int) -> None:
        """Forget a question."""
        self._asked.pop(number, None)

    def lost(self, node: str | None = None) -> list[int]:
        """Forget the questions to a node (None: to any), and return their numbers."""
        numbers = [n for n, asked in self._asked.items() if node in {None, asked.node}]
        for number in numbers:
            del self._asked[number]
        return numbers
