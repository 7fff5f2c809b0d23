"""RPC: the commands and queries of a node that are not answered yet. No I/O.

A call is numbered by its caller and sent again and again, so it survives what is lost on the way;
who carries it out remembers its number, so a call that comes twice is carried out once. It ends
with the answer, with the end of the node that was called, or when the caller withdraws it.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from civitas._cluster.protocol import Command, Query

RESEND: Final = 1.0
"""Seconds after which a call is sent again."""


class _Call(NamedTuple):
    node: str
    message: Command | Query
    due: float


class PendingRequests:
    """Calls that were sent, each until it is answered once."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def sent(self, node: str, message: Command | Query, now: float) -> None:
        """Take note that a call was sent to a node."""
        self._calls[message.number] = _Call(node, message, now + RESEND)

    def due(self, now: float) -> list[tuple[str, Command | Query]]:
        """Return what is to be sent again, and to whom."""
        again = [call for call in self._calls.values() if now >= call.due]
        for call in again:
            self.sent(call.node, call.message, now)
        return [(call.node, call.message) for call in again]

    def next_due(self) -> float:
        """Return when a call is to be sent again; inf for never."""
        return min((call.due for call in self._calls.values()), default=inf)

    def answered(self, node: str, number: int) -> bool:
        """Return whether this answer of a node is awaited; from now on it is not."""
        call = self._calls.get(number)
        if call is None or call.node != node:
            return False
        del self._calls[number]
        return True

    def withdraw(self, number: int) -> None:
        """Forget a call."""
        self._calls.pop(number, None)

    def lost(self, node: str | None = None) -> list[int]:
        """Forget the calls to a node (None: to any), and return their numbers."""
        numbers = [number for number, call in self._calls.items() if node in {None, call.node}]
        for number in numbers:
            del self._calls[number]
        return numbers
