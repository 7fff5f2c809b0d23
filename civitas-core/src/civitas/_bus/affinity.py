"""LoopAffinity: the one event loop, of one process, that a node and its agents belong to.

Theory. Futures, tasks and sockets of a node live in the event loop in which it was started.
Whoever uses them from elsewhere wakes nobody up, waits for ever, or reads what was meant for
another process. A coroutine may be *made* anywhere (`asyncio.run_coroutine_threadsafe` is given
one by another thread), so what counts is where it runs.

    state   | thread              | a check                  | leaves it by
    --------+---------------------+--------------------------+-----------------
    free    | None                | lets everybody pass      | bind -> bound
    bound   | that of the loop    | lets only its loop pass  | release -> free
            |                     |                          | a fork -> forked
    forked  | None                | lets nobody pass         | nothing

Only in a forked child is an affinity forked; that of the parent stays bound.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from threading import get_ident
from typing import Final
from weakref import WeakSet

from civitas.errors import ConfigurationError


def _nowhere() -> bool:
    return False


class LoopAffinity:
    """Where a node may be used.

    A hot path compares `thread` with its own, and calls `check` when they differ. A thread runs one
    event loop at a time: while this one is running, equal threads are equal loops.
    `asyncio.get_running_loop` takes several times as long: it asks the system each time which
    process this is (Python 3.11). What runs behind such a check, and needs the loop, takes `loop`.
    """

    __slots__ = ("__weakref__", "_forked", "_owner", "is_running", "loop", "thread")

    def __init__(self) -> None:
        self.thread: int | None = None
        """The thread that runs the loop; None where `check` has to decide."""
        self.is_running: Callable[[], bool] = _nowhere
        """Returns whether the loop is running."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop; None where the affinity is free."""
        self._owner = "node"
        self._forked = False

    @property
    def bound(self) -> bool:
        """Whether a node has been started here and has not ended; also that of a parent process."""
        return self.loop is not None and not self.loop.is_closed()

    def bind(self, owner: str) -> None:
        """Belong to the running event loop; `owner` is what errors call the node."""
        self.loop = asyncio.get_running_loop()
        self._owner = owner
        self.thread = get_ident()
        self.is_running = self.loop.is_running
        _bound.add(self)

    def release(self) -> None:
        """Belong to no event loop any more: the node has ended."""
        self.loop = None
        self.thread = None
        self.is_running = _nowhere
        _bound.discard(self)

    def check(self) -> None:
        """Return if this runs in the event loop of the node, or the node has none.

        Raises:
            ConfigurationError: it runs in another event loop, in a thread without one, or in a
                process that was forked after the start. Trying again would not help.
        """
        loop, owner = self.loop, self._owner
        if self._forked:
            raise ConfigurationError(
                f"this {owner} was started before this process was forked: its connections, and "
                f"the answers that come by them, are the parent's. Start one in each process; it "
                f"may be made before the fork"
            )
        if loop is None:
            return
        if _running_loop() is loop:
            self.thread = get_ident()  # another thread runs the loop now
            return
        why = "" if loop.is_running() else ", which does not run now"
        raise ConfigurationError(
            f"used outside of the event loop in which this {owner} was started{why}. Start, use "
            f"and stop it in one event loop; from another thread, or from a loop of another "
            f"thread, use asyncio.run_coroutine_threadsafe({owner}.ask(...), loop)"
        )

    def forked(self) -> None:
        """Take note that this is a copy in a forked child."""
        self._forked = True
        self.thread = None


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_bound: Final[WeakSet[LoopAffinity]] = WeakSet()


def _note_fork() -> None:
    for each in _bound:
        each.forked()


os.register_at_fork(after_in_child=_note_fork)
