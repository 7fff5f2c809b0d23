"""Sees that one thread at a time uses an object that allows no more, and has threads switch."""

from __future__ import annotations

import gc
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


class _Garbage:
    """Is collected only by a search for cycles, and then calls something."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._self, self._call = self, call

    def __del__(self) -> None:
        self._call()


def at_each_collection(look: Callable[[], object], change: Callable[[], object]) -> None:
    """Look again and again, with a collection of garbage at another place of it each time.

    What a finalizer calls, `change`, is what another thread may do there: Python lets one go on in
    any code of its own, and before 3.12 it collects wherever a container is made, also in C.
    """
    gc.collect()
    thresholds = gc.get_threshold()
    try:
        for place in range(20):
            # More than Python keeps in reserve, where none would be made.
            kept = [(number, number) for number in range(3_000)]
            _Garbage(change)
            gc.set_threshold(gc.get_count()[0] + place)
            look()
            gc.set_threshold(*thresholds)
            del kept
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
