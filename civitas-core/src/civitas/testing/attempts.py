"""ConnectAttempts: how often this process tries to connect to anything."""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any, Final, Self

_CONNECT: Final = "socket.connect"
"""The event that the interpreter audits: https://docs.python.org/3/library/audit_events.html"""


class ConnectAttempts:
    """Counts the connects of Python's sockets, in every thread. Use it as a context.

    What a library does in C, as libzmq, is not seen.

    Attributes:
        count: how many there were since the context was entered.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        _AUDIT.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _AUDIT.remove(self)


class _Audit:
    """The hook of this process: an audit hook can't be taken away, so there is one at most."""

    def __init__(self) -> None:
        self._counting: list[ConnectAttempts] = []
        self._installed = False
        self._lock = Lock()

    def add(self, attempts: ConnectAttempts) -> None:
        with self._lock:
            self._counting.append(attempts)
            if not self._installed:
                self._installed = True
                sys.addaudithook(self._heard)

    def remove(self, attempts: ConnectAttempts) -> None:
        with self._lock:
            self._counting.remove(attempts)

    def _heard(self, event: str, _: tuple[Any, ...]) -> None:
        if event == _CONNECT:
            for each in self._counting:
                each.count += 1


_AUDIT: Final = _Audit()
