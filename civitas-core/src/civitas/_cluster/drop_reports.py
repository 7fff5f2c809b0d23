"""DropReports: what the control plane drops is told to the node's event loop, a little at a time.

That loop may be blocked for long, and who floods the control plane must not fill the memory
meanwhile. So few frames wait to be told, and of those only the beginning; the others are counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

WAITING: Final = 256
"""Frames that wait to be told at most."""

SHOWN: Final = 4096
"""Bytes of a frame that are told at most."""


class DropReports:
    """Tells of dropped frames, from any thread.

    `call_home` has a function called in the node's event loop; `dropped` is called there with
    (reason, frame) for each, with no bytes of a frame that was only counted.
    """

    def __init__(
        self, call_home: Callable[..., object], dropped: Callable[[str, bytes], None]
    ) -> None:
        self._call_home = call_home
        self._dropped = dropped
        self._lock = threading.Lock()
        self._waiting = 0
        self._counted: Counter[str] = Counter()

    def drop(self, reason: str, frame: bytes) -> None:
        """Tell of a frame."""
        with self._lock:
            if self._waiting >= WAITING:
                self._counted[reason] += 1
                return
            self._waiting += 1
        self._call_home(self._tell, reason, frame[:SHOWN])

    def _tell(self, *told: Any) -> None:
        with self._lock:
            self._waiting -= 1
            counted, self._counted = self._counted, Counter()
        self._dropped(*told)
        for reason, count in counted.items():
            for _ in range(count):
                self._dropped(reason, b"")
