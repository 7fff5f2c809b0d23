"""Sees that one thread at a time uses an object that allows no more, and has threads switch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import sleep
from typing import Any
from weakref import WeakKeyDictionary

import pytest

SHORTEST = 1e-6
"""Seconds after which a thread is to let another one go on: as often as Python can do it."""


@contextmanager
def switching_often() -> Iterator[None]:
    """Within the block, threads switch at almost any place where they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SHORTEST)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class OneAtATime:
    """Watches the methods of classes.

    Attributes:
        calls: how many were seen.
        overlaps: methods that were called in a thread while another one was in the same object.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.overlaps: list[str] = []
        self._monkeypatch = monkeypatch
        self._within: WeakKeyDictionary[object, tuple[int, str]] = WeakKeyDictionary()

    def watch(self, kind: type, *names: str) -> None:
        """See from now on that no two threads are in these methods of one object."""
        for name in names:
            self._monkeypatch.setattr(kind, name, self._watched(name, vars(kind)[name]))

    def _watched(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def watched(this: object, *arguments: Any, **named: Any) -> Any:
            self.calls += 1
            thread, before = threading.get_ident(), self._within.get(this)
            if before is not None and before[0] != thread:
                self.overlaps.append(f"{name}, while another thread was in {before[1]}")
            self._within[this] = thread, name
            try:
                sleep(0)  # who would come at the same time comes now
                return method(this, *arguments, **named)
            finally:
                if before is None:
                    self._within.pop(this, None)
                else:
                    self._within[this] = before

        return watched
