"""AgentWorld: one event loop on virtual time, whose turns are callbacks of another loop."""

from __future__ import annotations

import sys
import time
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Final, ParamSpec, TypeVar

from civitas import _platform as platform
from civitas.testing.simulation.guards import guarded
from civitas.testing.simulation.world import World, put_in

P = ParamSpec("P")
T = TypeVar("T")

_SEED: Final = 0
"""The runs of a harness differ in nothing; many seeds are for `sim.test`."""

_LONGEST: Final = 1.0
"""The random number that makes a backoff take its whole time, so that a test can tell when."""


class AgentWorld(World):
    """A world of one loop, that of the agents.

    Its clocks begin where those of the machine are, at the next whole second: agents are
    constructed before it begins, and may have looked at them. Work takes no time in it.

    Args:
        woken: called when the loop has something to do, and has no turn.
        report: called with a text when an error was handled by nobody.
    """

    def __init__(self, woken: Callable[[], None], report: Callable[[str], None]) -> None:
        self._woken = woken
        start, epoch = float(ceil(time.monotonic())), float(ceil(time.time()))
        super().__init__(_SEED, report, scenario="harness", start=start, epoch=epoch)
        self.agents = self.driver.main
        """The loop of the agents."""
        self.driver.slowness = 0.0

    def due(self) -> float:
        """Return when the loop has something to do next, inf for never."""
        due, busy_until = self.agents.due(), self.agents.busy_until
        return max(min(due, busy_until) if busy_until > self.now else due, self.now)

    def turn(self, by: float) -> bool:
        """Move the clock to what is due next, and do it; return False if nothing is due by then."""
        due = self.due()
        if due > by:
            return False
        self.now = due
        home, hooks = _get_running_loop(), sys.get_asyncgen_hooks()
        self.loop, self.running = self.agents, self.driver
        _set_running_loop(self.agents)
        sys.set_asyncgen_hooks(None, self._close_generator)
        try:
            self.agents.step()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            _set_running_loop(home)
            self.loop = self.running = None
        return True

    def look(self, ask: Callable[[], T]) -> T:
        """Return what a function returns that is to see the clocks of the agents."""
        self.loop, self.running = self.agents, self.driver
        try:
            return ask()
        finally:
            self.loop = self.running = None

    def wake(self, loop: Any) -> None:
        """Take note that something is to be done."""
        if self.loop is None:
            self._woken()

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Within the block, core, and what agents take from the machine, are of this world.

        That is so in turns of the agents only: the test itself has the machine's.

        Raises:
            RuntimeError: there is one already.
        """
        machine = platform.MACHINE
        own = platform.Platform(
            self._either(self.wall, machine.wall),
            self._either(self.monotonic, machine.monotonic),
            self._either(self.random_bytes, machine.random_bytes),
            self._either(lambda: _LONGEST, machine.random_fraction),
        )
        with put_in(self, own), guarded(self):
            yield

    def _either(self, ours: Callable[P, T], real: Callable[P, T]) -> Callable[P, T]:
        def choose(*arguments: P.args, **settings: P.kwargs) -> T:
            return (real if self.loop is None else ours)(*arguments, **settings)

        return choose

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close a generator that nobody has any more, where it has run."""
        if not self.closed:
            self.agents.create_task(_closed(generator), name="close a generator")


async def _closed(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()
