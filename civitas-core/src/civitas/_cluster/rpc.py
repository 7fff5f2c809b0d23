"""RPC: the commands and queries of a node that are not answered yet. No I/O.

A call is numbered by its caller and sent again and again, so it survives what is lost on the way;
who carries it out remembers its number, so a call that comes twice is carried out once. It ends
with the answer, with the end of the node that was called, or when the caller withdraws it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from math import inf
from typing import Final, NamedTuple

from civitas._cluster.protocol import Command, Query, Result, control_address

RESEND: Final = 1.0
"""Seconds after which a call is sent again."""


class _Call(NamedTuple):
    node: str
    message: Command | Query
    due: float


class PendingRequests:
    """Calls that were sent, each until it is answered once, or reported as lost.

    `send` sends a message to an address; `report` is called with the result of a call that is lost.
    """

    def __init__(
        self,
        send: Callable[[str, Command | Query], None],
        report: Callable[[Result], None],
    ) -> None:
        self._send = send
        self._report = report
        self._calls: dict[int, _Call] = {}  # in the order in which they are due

    def call(self, node: str, message: Command | Query, now: float) -> None:
        """Send a call to a node."""
        self._calls.pop(message.number, None)
        self._calls[message.number] = _Call(node, message, now + RESEND)
        self._send(control_address(node), message)

    def resend(self, now: float) -> None:
        """Send again what is due."""
        for each in list(takewhile(lambda call: now >= call.due, self._calls.values())):
            self.call(each.node, each.message, now)

    def next_due(self) -> float:
        """Return when a call is to be sent again; inf for never."""
        first = next(iter(self._calls.values()), None)
        return inf if first is None else first.due

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

    def lost(self, reason: str, node: str | None = None) -> None:
        """Report the calls to a node (None: to any) as lost."""
        for number in [n for n, call in self._calls.items() if node in {None, call.node}]:
            del self._calls[number]
            self._report(Result(number, reason))
