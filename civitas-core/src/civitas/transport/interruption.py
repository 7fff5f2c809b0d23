"""Interruption: ends from outside what a task awaits, in the way of `asyncio.timeout`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self


class Interruption:
    """A block that others can end early; the task that has entered it goes on behind it.

    `task` is the one that enters it, where that is known: to ask for it takes its time.

    Cancelling a task is the only way to end what it awaits. Whoever interrupts must take that
    cancellation back, and must not take back one that somebody else meant for the task: both are
    counted by `Task.cancelling`, as `asyncio.timeout` does it.

    Example:
        What follows the block runs only after `interrupt` was called:

            with Interruption() as interruption:
                return await something()
            raise MessageRoutingError("the agent has left")
    """

    __slots__ = ("_cancelled_before", "_task", "interrupted")

    _task: asyncio.Task[Any] | None
    _cancelled_before: int

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self.interrupted = False
        self._task = task

    def __enter__(self) -> Self:
        task = self._task
        if task is None:
            task = self._task = asyncio.current_task()
            assert task is not None
        self._cancelled_before = task.cancelling()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not self.interrupted:
            return False
        # Taken back also when the block has ended in another way meanwhile.
        assert self._task is not None
        by_others = self._task.uncancel() > self._cancelled_before
        return isinstance(exc, asyncio.CancelledError) and not by_others

    def interrupt(self) -> None:
        """End the block. It may be called once the block was entered, and while it lasts."""
        if not self.interrupted and self._task is not None:
            self.interrupted = True
            self._task.cancel()
