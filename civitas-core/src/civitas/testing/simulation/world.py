"""World: processes on one virtual clock, in one thread, from one seed.

A loop is picked from those that can run, by the seed, and takes one turn; when none can, the clock
jumps to the next time at which something is due. So a run takes no real time but that of its work,
and the same seed gives the same run: `digest` is over every turn.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import heapq
import itertools
import logging
import random
import struct
import sys
import warnings
from asyncio import _set_running_loop
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Final, TypeVar

from civitas import _platform as platform
from civitas.testing.simulation.errors import StuckError
from civitas.testing.simulation.loop import SimulatedLoop
from civitas.testing.simulation.process import ProcessState, SimulatedProcess, SimulatedThread

T = TypeVar("T")

START: Final = 1000.0
"""What the monotonic clocks show at the beginning, in seconds."""

EPOCH: Final = 1_800_000_000.0
"""What the wall clocks show at the beginning."""

_CALLBACK_COST: Final = 10e-6
"""Seconds of processor time that a callback takes."""

_TURN: Final = struct.Struct("<dI").pack
"""What the digest has of a turn besides its loop: when it was, and how many callbacks ran."""

current: World | None = None
"""The world that runs now; there is one at most in a process."""


class World:
    """One run. `report` is called with a text when an error was handled by nobody.

    The same seed gives different numbers to scenarios of different names. `start` and `epoch` are
    what the monotonic clocks and the wall clocks show at the beginning.
    """

    def __init__(
        self,
        seed: int,
        report: Callable[[str], None] | None = None,
        *,
        scenario: str = "",
        start: float = START,
        epoch: float = EPOCH,
    ) -> None:
        self.seed = seed
        self._scenario = scenario
        self._ahead = epoch - start
        self.now = start
        self.loop: SimulatedLoop | None = None
        """The loop that takes a turn now."""
        self.running: SimulatedProcess | None = None
        """The process whose loop that is."""
        self.processes: list[SimulatedProcess] = []
        self.parts: dict[type, Any] = {}
        """What else is there once, by its class, such as the network."""
        self._report = report
        self._schedule = self.random("schedule")
        self._bytes = self.random("bytes")
        self.number: Callable[[], int] = itertools.count(1).__next__
        """Returns the next number, for a task or a future."""
        self._trace = bytearray()
        """What the digest is made of."""
        self._loops: dict[SimulatedLoop, SimulatedProcess] = {}
        self._ready: list[SimulatedLoop] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._event_numbers = itertools.count()
        self._graves: list[tuple[SimulatedLoop, object]] = []
        self.closed = False
        self.driver = self.process("test")

    # --- what is in it ------------------------------------------------------------------------

    def process(self, label: str) -> SimulatedProcess:
        """Start another process."""
        process = SimulatedProcess(self, label)
        self.processes.append(process)
        return process

    def random(self, purpose: str) -> random.Random:
        """Return random numbers from the seed, apart from those for other purposes."""
        return random.Random(f"{purpose} {self.seed} {self._scenario}")

    @property
    def digest(self) -> str:
        """What the run was, up to now, in 16 hex digits."""
        return hashlib.blake2b(self._trace, digest_size=8).hexdigest()

    # --- time ---------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return what the monotonic clock of the running process shows."""
        return self.now if self.loop is None else self.loop.time()

    def wall(self) -> float:
        """Return what the wall clock of the running process shows."""
        process = self.running
        return self._ahead + self.monotonic() + (process.wall_offset if process else 0.0)

    def sleep(self, seconds: float) -> None:
        """Let the running thread stand still, as `time.sleep` does."""
        if self.loop is not None:
            self.loop.busy_until = max(self.now, self.loop.busy_until) + max(seconds, 0.0)

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call something at a time of the world, outside of all processes."""
        heapq.heappush(self._events, (when, next(self._event_numbers), call))

    def global_now(self) -> float:
        """Return the world's time, as far as the running thread has worked."""
        return self.now if self.loop is None else max(self.now, self.loop.busy_until)

    # --- the run ------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T], limit: float = 3600.0) -> T:
        """Run until a coroutine of the driver has ended; return its result.

        Raises:
            StuckError: it can't end any more, or has not within `limit` seconds of virtual time.
        """
        task, end = self.driver.spawn(main, "test"), self.now + limit
        events = self._events
        while not task.done():
            while events and events[0][0] <= self.now:
                heapq.heappop(events)[2]()
            loop = self._next()
            if loop is not None:
                self._take_turns(loop, task, end)
                self.wake(loop)
            elif not events:
                raise StuckError("nothing will ever happen again: what the test awaits can't come")
            elif events[0][0] > end:
                raise StuckError(f"the test has not ended within {limit:g} s of virtual time")
            else:
                self.now = events[0][0]
        return task.result()

    def _next(self) -> SimulatedLoop | None:
        """Return the loop that takes the next turn, if one can now."""
        ready = self._ready
        while ready:
            if len(ready) > 1:
                pick = int(self._schedule.random() * len(ready))
                ready[pick], ready[-1] = ready[-1], ready[pick]
            loop = ready.pop()
            loop.is_queued = False
            process = self._loops.get(loop)
            if process is not None and process.state is ProcessState.RUNNING:
                if loop.due() <= self.now:
                    return loop
                self.wake(loop)
        return None

    def wake(self, loop: SimulatedLoop) -> None:
        """Look when a loop takes its next turn: something has changed for it."""
        if loop.is_queued or loop is self.loop:
            return
        due = loop.due()
        if due <= self.now:
            loop.is_queued = True
            self._ready.append(loop)
        elif due < loop.wakes_at:
            loop.wakes_at = due
            self.at(due, partial(self._wakes, loop))

    def _wakes(self, loop: SimulatedLoop) -> None:
        loop.wakes_at = inf
        self.wake(loop)

    def _take_turns(self, loop: SimulatedLoop, task: asyncio.Task[Any], end: float) -> None:
        """Let a loop take a turn, and others while nothing else happens before them.

        Every other turn follows one of the same loop so, and needs no look at all the others.
        """
        process, events, ready, trace = self._loops[loop], self._events, self._ready, self._trace
        self.loop, self.running = loop, process
        _set_running_loop(loop)
        try:
            while True:
                ran = loop.step()
                trace += loop.mark + _TURN(self.now, ran)
                busy_until = self.now + ran * _CALLBACK_COST * process.slowness
                loop.busy_until = max(loop.busy_until, busy_until)
                due = loop.due()
                if ready or due > end or (events and events[0][0] <= due) or task.done():
                    return
                if process.state is not ProcessState.RUNNING:
                    return
                self.now = max(self.now, due)
        finally:
            _set_running_loop(None)
            self.loop = self.running = None

    # --- for processes ------------------------------------------------------------------------

    def random_bytes(self, count: int) -> bytes:
        """Return bytes from the seed, for identities."""
        return self._bytes.randbytes(count)

    def runner(self, name: str) -> SimulatedThread:
        """Return another thread of the running process, which is to run an event loop."""
        process = self.running
        assert process is not None
        return SimulatedThread(process, name)

    def caller_busy_until(self, loop: SimulatedLoop) -> float | None:
        """Return until when the running thread is at work, if it calls into another one's loop."""
        caller = self.loop
        if caller is None or caller is loop or caller.busy_until <= self.now:
            return None
        return caller.busy_until

    def between(self, least: float, most: float) -> float:
        """Return a number from the seed."""
        return self._schedule.uniform(least, most)

    def added(self, process: SimulatedProcess, loop: SimulatedLoop) -> None:
        """Let a loop of a process take turns."""
        self._loops[loop] = process

    def removed(self, loop: SimulatedLoop) -> None:
        """Let a loop take no more turns; what it leaves is kept until the end."""
        self._graves.append((loop, loop.drop()))
        self._loops.pop(loop, None)

    def unhandled(self, loop: SimulatedLoop, context: dict[str, Any]) -> None:
        """Report an error that nobody has handled."""
        if self._report is not None and not self.closed:
            error = context.get("exception")
            self._report(f"{loop.label}: {context['message']}: {error!r}")

    def close(self) -> None:
        """End all that is left, unseen."""
        self.closed = True
        for loop in list(self._loops):
            self.removed(loop)

    def bury(self) -> None:
        """End what was left; nothing of it may be seen any more."""
        for loop, _ in self._graves:
            loop.destroy()
        self._graves.clear()
        self._loops.clear()
        self._events.clear()
        self.processes.clear()
        self.parts.clear()


@contextmanager
def put_in(world: World, simulated: platform.Platform) -> Iterator[None]:
    """Within the block, this is the one world of the process, and core runs on that platform.

    Raises:
        RuntimeError: there is one already.
    """
    global current  # noqa: PLW0603 - what a simulated transport belongs to
    if current is not None:
        raise RuntimeError("a simulation runs already; one runs at a time in a process")
    current = world
    try:
        with platform.replaced(simulated):
            yield
    finally:
        current = None


@contextmanager
def installed(world: World) -> Iterator[World]:
    """Within the block, core runs on the clocks, random numbers and threads of this world."""
    numbers = world.random("fractions")
    simulated = platform.Platform(
        world.wall, world.monotonic, world.random_bytes, numbers.random, world.runner
    )
    hook, collects, frozen = sys.unraisablehook, gc.isenabled(), gc.get_freeze_count() > 0
    # What is collected when, and which finalizer runs then, depends on more than the seed.
    gc.disable()
    if not frozen:
        gc.freeze()  # the collection at the end looks at nothing that was there before
    try:
        with put_in(world, simulated):
            try:
                yield world
            finally:
                world.close()
    finally:
        # Coroutines are destroyed in the middle: what they say of it is of no use.
        sys.unraisablehook, disabled = _ignore, logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            world.bury()
            gc.collect()
        if not frozen:
            gc.unfreeze()
        logging.disable(disabled)
        sys.unraisablehook = hook
        if collects:
            gc.enable()


def _ignore(_: object) -> None:
    """Say nothing."""
