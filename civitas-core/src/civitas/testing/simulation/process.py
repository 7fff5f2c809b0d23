"""SimulatedProcess: one operating-system process: its event loops, its clock, whether it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Protocol, TypeVar

from civitas._platform import Ended, Main
from civitas.testing.simulation.loop import ProcessClock, SimulatedLoop

T = TypeVar("T")


class ProcessState(Enum):
    """Whether a process gets turns."""

    RUNNING = "running"
    PAUSED = "paused"
    """As SIGSTOP does."""
    DEAD = "dead"
    """As SIGKILL does: nothing of it had a turn any more."""


class _Surroundings(Protocol):
    """What a process needs of its world."""

    now: float

    def caller_busy_until(self, loop: SimulatedLoop) -> float | None: ...
    def number(self) -> int: ...
    def between(self, least: float, most: float) -> float: ...
    def added(self, process: SimulatedProcess, loop: SimulatedLoop) -> None: ...
    def removed(self, loop: SimulatedLoop) -> None: ...
    def wake(self, loop: SimulatedLoop) -> None: ...
    def unhandled(self, loop: SimulatedLoop, context: dict[str, Any]) -> None: ...


class SimulatedProcess:
    """A process of a simulated system.

    Attributes:
        label: its name and which incarnation of that it is.
        state: whether it runs.
        slowness: how many times longer its work takes than usual.
        wall_offset: seconds by which its wall clock is ahead of the world's.
    """

    def __init__(self, world: _Surroundings, label: str) -> None:
        self.label = label
        self.state = ProcessState.RUNNING
        self.slowness = 1.0
        self.wall_offset = 0.0
        self.loops: list[SimulatedLoop] = []
        self.died_at: float | None = None
        """The world's time at which it was killed, or has ended."""
        self._world = world
        self._clock = ProcessClock(world.now)
        self.main = self.add_loop("main")

    @property
    def alive(self) -> bool:
        """Whether it has not been killed."""
        return self.state is not ProcessState.DEAD

    def add_loop(self, name: str) -> SimulatedLoop:
        """Start another thread with an event loop."""
        label = f"{self.label}/{name}"
        loop = SimulatedLoop(self._world, self._clock, label)  # type: ignore[abstract] # it refuses the rest
        self.loops.append(loop)
        self._world.added(self, loop)
        return loop

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Start a task in the main thread."""
        return self.main.create_task(work, name=name)

    # --- what can happen to it ----------------------------------------------------------------

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if self.alive:
            self.died_at = self._world.now
        self.state = ProcessState.DEAD
        for loop in self.loops:
            self._world.removed(loop)

    def pause(self) -> None:
        """Let it stand still, until `resume`."""
        if self.alive:
            self.state = ProcessState.PAUSED

    def resume(self) -> None:
        """Let it go on."""
        if self.alive:
            self.state = ProcessState.RUNNING
            self._wake_all()

    def block(self, seconds: float) -> None:
        """Let its main thread do nothing else for a while."""
        self.main.busy_until = max(self._world.now, self.main.busy_until) + seconds

    def drift(self, rate: float) -> None:
        """Let its clocks run at `rate` times the true speed from now on."""
        self._clock.drift(self._world.now, rate)
        self._wake_all()

    def _wake_all(self) -> None:
        for loop in self.loops:
            self._world.wake(loop)


class SimulatedThread:
    """Runs a coroutine in another event loop of a process, as `ThreadRunner` does in a thread."""

    def __init__(self, process: SimulatedProcess, name: str) -> None:
        self._process = process
        self._name = name.rpartition(" ")[2]

    def start(self, main: Main, ended: Ended) -> None:
        """Begin."""
        self._process.add_loop(self._name).create_task(_live(main, ended))

    def join(self) -> None:
        """Return at once: it has ended."""


async def _live(main: Callable[[], Coroutine[Any, Any, None]], ended: Ended) -> None:
    failure: BaseException | None = None
    try:
        await main()
    except BaseException as error:  # noqa: BLE001 - as at the end of a thread
        failure = error
    ended(failure)
