"""An event loop on virtual time: its clock moves when nothing else can happen."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec

from civitas import _platform as platform

P = ParamSpec("P")

LIMIT: Final = 10_000.0
"""Seconds of virtual time after which a test has failed."""

EPOCH: Final = 1_800_000_000.0
"""What core takes for seconds since the epoch when the clock of the loop shows 0."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Attributes: now: what its clock shows, in seconds; more of it is a loop that was blocked."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Clock(self))

    def time(self) -> float:
        """Return what its clock shows."""
        return self.now


class _Clock(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move the clock instead of waiting."""
        found = super().select(0)
        if not found:
            assert timeout is not None, "nothing will ever happen any more"
            self._loop.now += max(timeout, 0.0)
        return found


def on_virtual_time(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Run a test on virtual time, with the clocks of core, and see that it leaves no task."""

    async def bounded(work: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(LIMIT):
            await work
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set(), [task.get_name() for task in left]

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            clock = runner.get_loop().time
            clocks = platform.Platform(wall=lambda: EPOCH + clock(), monotonic=clock)
            with platform.replaced(clocks):
                runner.run(bounded(test(*args, **kwargs)))

    return run


def now() -> float:
    """Return what the clock of the running loop shows."""
    return asyncio.get_running_loop().time()


def block(seconds: float) -> None:
    """Hold up the running loop, as work on a GPU does."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.now += seconds
