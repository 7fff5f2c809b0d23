"""Attempts: how often this process tries to connect, and how busy it is meanwhile."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self

_CONNECT: Final = "socket.connect"
"""The event that the interpreter audits: https://docs.python.org/3/library/audit_events.html"""

_SCHEDULED: Final = Path("/proc/self/schedstat")
"""Nanoseconds on a processor, and waiting for one; where Linux counts them."""


class Busyness:
    """How busy this process is from now on, of the time that others leave it a processor."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used = time.process_time()
        self._waited = _waited()

    @property
    def share(self) -> float:
        """Of the time since it was made, without that of waiting for a processor: 1 is all."""
        wall = time.monotonic() - self._began - (_waited() - self._waited)
        return (time.process_time() - self._used) / max(wall, 1e-3)


def _waited() -> float:
    """Return for how long this process has waited for a processor, in seconds."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class ConnectAttempts:
    """Counts the connects of Python's sockets, in every thread. Use it as a context.

    What a library does in C is not seen.

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
        self._counting: tuple[ConnectAttempts, ...] = ()
        """Replaced and never changed: any thread may be at it."""
        self._installed = False
        self._lock = Lock()

    def add(self, attempts: ConnectAttempts) -> None:
        with self._lock:
            self._counting += (attempts,)
            if not self._installed:
                self._installed = True
                sys.addaudithook(self._heard)

    def remove(self, attempts: ConnectAttempts) -> None:
        with self._lock:
            self._counting = tuple(each for each in self._counting if each is not attempts)

    def _heard(self, event: str, _: tuple[Any, ...]) -> None:
        if event == _CONNECT:
            for each in self._counting:
                each.count += 1


_AUDIT: Final = _Audit()
