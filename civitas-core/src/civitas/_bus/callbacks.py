"""Callbacks: calls the functions that users have subscribed, and awaits those that are async.

A callback is called at once, where the thing has happened. What an async one returns is awaited in
a task of its own, one after the other in the order of the calls, so a slow one holds up other
callbacks, and nothing else. One that raises is logged, and so is one that takes too long.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from civitas.errors import crash_of, crash_unless_cancelled, logger_of
from civitas.transport.tasks import Failed, cancel_task, start_task

logger = logger_of("civitas.node")

TIMEOUT: Final = 30.0
"""Seconds that an async callback may take."""

_WAITING: Final = 10_000
"""Calls of async callbacks that wait for their turn at most; more are dropped and logged."""

Callback = Callable[..., Awaitable[None] | None]


class _AsyncCall(NamedTuple):
    what: str
    result: Awaitable[Any]


class Callbacks:
    """The calls of one node's callbacks.

    `failed` is called when they can't be made any more.
    """

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._waiting: deque[_AsyncCall] = deque()
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task in which an async callback runs now; it can't be awaited by that callback."""
        return self._task

    def call(self, what: str, callbacks: Iterable[Callback], *arguments: Any) -> None:
        """Call each one with these arguments. It must be in the node's event loop.

        Args:
            what: names the kind of callback in the log.
            callbacks: what the user has subscribed; an async one is awaited later, in its turn.
            *arguments: what it is called with.
        """
        for callback in callbacks:
            try:
                result = callback(*arguments)
            except BaseException as error:
                crash_of(error)
                logger.exception("a callback of %s raised", what)
                continue
            if inspect.isawaitable(result):
                self._await(_AsyncCall(what, result))

    async def finish(self, timeout: float) -> None:
        """Return when all calls are done; what is left after `timeout` seconds is cancelled."""
        task = self._task
        if task is None:
            return
        await asyncio.wait((task,), timeout=timeout)
        if not task.done():
            left = len(self._waiting) + 1
            logger.warning("%d calls of async callbacks were not done in time", left)
            self._drop_waiting()
            cancel_task(task)
            await asyncio.wait((task,), timeout=timeout)

    def _await(self, call: _AsyncCall) -> None:
        if len(self._waiting) >= _WAITING:
            if not self._dropped:
                logger.error("async callbacks of %s are too slow: some are not called", call.what)
            self._dropped += 1
            _close(call)
            return
        self._waiting.append(call)
        if self._task is None:
            self._task = start_task(self._work(), name="civitas callbacks", failed=self._failed)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._finish(self._waiting.popleft())
        finally:
            self._task = None

    async def _finish(self, call: _AsyncCall) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await call.result
        except BaseException as error:
            crash_unless_cancelled(error, task=self._task)
            logger.exception("a callback of %s raised", call.what)

    def _drop_waiting(self) -> None:
        for call in self._waiting:
            _close(call)
        self._waiting.clear()


def _close(call: _AsyncCall) -> None:
    """Let go of a coroutine that will not be awaited, without Python's warning that it was not."""
    if inspect.iscoroutine(call.result):
        call.result.close()
