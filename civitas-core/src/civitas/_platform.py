"""Platform: what core takes from the machine: clocks, random numbers, an event loop of its own.

All of core takes them from here, by attribute (`platform.monotonic()`) and at the moment of use, so
that a simulation can put its own in their stead; nothing else of core reads a clock or a random
number. A lookup here costs what one in `time` or `os` does.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""Makes the coroutine that is the whole life of an event loop."""

Ended: TypeAlias = Callable[[BaseException | None], None]
"""Called, in the loop's own thread, when it has ended; with what it raised, if anything."""


class LoopRunner(Protocol):
    """Runs a coroutine in some event loop."""

    def start(self, main: Main, ended: Ended) -> None:
        """Begin, and return at once; `ended` is called when nothing more is done.

        Where it raises, nothing was begun, and `ended` is not called.
        """
        ...

    def join(self) -> None:
        """Wait for what `ended` has announced: it takes no time."""
        ...


class ThreadRunner:
    """Runs a coroutine in an event loop of a thread of its own, which has this name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self, main: Main, ended: Ended) -> None:
        """Make the thread. A daemon: a program that ends without a stop ends all the same.

        Raises:
            RuntimeError: this process can't have another thread.
        """
        thread = threading.Thread(target=_run, args=(main, ended), name=self._name, daemon=True)
        thread.start()
        self._thread = thread

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()


def _run(main: Main, ended: Ended) -> None:
    import asyncio  # commands that run no event loop don't load it

    failure: BaseException | None = None
    try:
        asyncio.run(main())
    except BaseException as error:  # noqa: BLE001 - the thread is ours
        failure = error
    ended(failure)


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything that core takes from the machine; the defaults are the machine's own.

    Attributes:
        wall: returns seconds since the epoch.
        monotonic: returns seconds of a clock that only goes forward.
        random_bytes: returns that many random bytes, for identities.
        random_fraction: returns a random number from 0 to 1, for delays.
        make_runner: makes, for a name, what runs an event loop beside the running one.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random_bytes: Callable[[int], bytes] = os.urandom
    random_fraction: Callable[[], float] = random.random
    make_runner: Callable[[str], LoopRunner] = ThreadRunner


MACHINE: Final = Platform()

wall = MACHINE.wall
monotonic = MACHINE.monotonic
random_bytes = MACHINE.random_bytes
random_fraction = MACHINE.random_fraction
make_runner = MACHINE.make_runner

_MOMENT: Final = 1e-4
"""Seconds: a thread that lets the interpreter's lock go for less than it takes to wake another one
has it back at once."""

_watchers: Final[list[Callable[[], None]]] = []


def give_way() -> None:
    """Let other threads of this process go on for a moment, if they have something to do."""
    time.sleep(_MOMENT)


def on_change(call: Callable[[], None]) -> None:
    """Call this whenever another platform is put in: what was made from the last one is stale."""
    _watchers.append(call)


@contextmanager
def replaced(platform: Platform) -> Iterator[None]:
    """Within the block, core runs on this platform, in all threads of the process."""
    before = Platform(wall, monotonic, random_bytes, random_fraction, make_runner)
    _put_in(platform)
    try:
        yield
    finally:
        _put_in(before)


def _put_in(platform: Platform) -> None:
    global wall, monotonic, random_bytes, random_fraction, make_runner  # noqa: PLW0603 - the point
    wall, monotonic = platform.wall, platform.monotonic
    random_bytes, random_fraction = platform.random_bytes, platform.random_fraction
    make_runner = platform.make_runner
    for call in _watchers:
        call()
