"""Work that is cancelled where it waits, at each place of its own and of its tasks, one at a time.

Places are counted, not time: a machine that is faster or slower comes by the same ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class _Observed(Coroutine[Any, Any, Any]):
    """A coroutine that reports each time it begins to wait.

    Args:
        coroutine: what is run.
        waits: called as it begins to wait.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._waits = waits

    def send(self, value: Any) -> Any:
        awaited = self._coroutine.send(value)
        self._waits()
        return awaited

    def throw(self, *error: Any) -> Any:
        awaited = self._coroutine.throw(*error)
        self._waits()
        return awaited

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


async def cancelled_at(place: int, work: Coroutine[Any, Any, object]) -> bool:
    """Run the work, and cancel it where it waits; return whether it came to that place.

    Args:
        place: how many times it has begun to wait by then, itself or in a task that it has
            started; from 1.
        work: an error of it that is not its cancellation is raised.
    """
    loop = asyncio.get_running_loop()
    waited, was_there = 0, False

    def waits() -> None:
        nonlocal waited, was_there
        waited += 1
        if waited == place:
            was_there = running.cancel()

    def observed(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **arguments: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(_Observed(coroutine, waits), loop=loop, **arguments)

    before = loop.get_task_factory()
    loop.set_task_factory(observed)
    try:
        running = loop.create_task(work)
        await asyncio.wait((running,))
    finally:
        loop.set_task_factory(before)
    if not running.cancelled():
        running.result()
    return was_there
