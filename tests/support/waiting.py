"""Waiting for a condition that only asking can tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from support.commands import DEADLINE

T = TypeVar("T")
_PAUSE = 0.02


def eventually(
    look: Callable[[], T],
    good: Callable[[T], bool] = bool,
    deadline: float = DEADLINE,
    trying: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """Look until what is seen is good, and return it; errors of type `trying` are no look yet."""
    end = time.monotonic() + deadline
    seen: Any = None
    while time.monotonic() < end:
        try:
            seen = look()
            if good(seen):
                return seen
        except trying as error:
            seen = error
        time.sleep(_PAUSE)
    raise AssertionError(f"within {deadline:g} s it did not come to it; the last seen: {seen!r}")
