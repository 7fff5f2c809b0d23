"""Pulls: what a consumer has been asked for and has not given yet. No I/O."""

from __future__ import annotations

import json
from typing import Final

HEARTBEAT: Final = 2.0
"""Seconds after which a server shows that a pull still stands."""

_EXPIRES: Final = 20.0
"""Seconds after which a pull ends that was not filled, and is made anew."""

_NANOSECONDS: Final = 1_000_000_000


class Pulls:
    """The pulls of one consumer; a server fills the oldest first.

    Args:
        size: messages that may be held and asked for together.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._step = max(size // 2, 1)
        self._open: dict[str, int] = {}
        self._count = 0

    def due(self, held: int) -> tuple[str, bytes] | None:
        """Return the name and the body of the next pull; None while there is no room for one.

        Args:
            held: messages that are held.
        """
        room = self._size - held - sum(self._open.values())
        if room < self._step:
            return None
        self._count += 1
        name = str(self._count)
        self._open[name] = room
        body = {
            "batch": room,
            "expires": int(_EXPIRES * _NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
        }
        return name, json.dumps(body).encode()

    def came(self) -> None:
        """Take note of a message."""
        for name, left in self._open.items():
            if left > 1:
                self._open[name] = left - 1
            else:
                del self._open[name]
            return

    def ended(self, name: str) -> None:
        """Take note that a pull has ended, filled or not."""
        self._open.pop(name, None)

    def forget(self) -> None:
        """Take note that none stands any more."""
        self._open.clear()
