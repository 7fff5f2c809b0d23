"""Generators: those of a background task are closed in it, not by the event loop in another task.

An async generator that nobody iterates over to its end is closed by a task that the event loop
makes for it, some time later. What it has entered (a timeout, a task group, a lock) was entered in
another task, and some of that can't be left in a new one. Nor would `on_stop` come after it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeAlias, TypeVar

from civitas.errors import crash_unless_cancelled, logger_of

logger = logger_of("civitas.agent")

T = TypeVar("T")

_Generator: TypeAlias = AsyncGenerator[Any, Any]


class _Left:
    """The async generators that a piece of work has begun and let go of."""

    def __init__(self) -> None:
        self.of_last_step: list[_Generator] = []
        self.to_loop: Callable[[_Generator], object] | None = None
        """Lets the event loop close one."""
        self.is_over = False

    def add(self, generator: _Generator) -> None:
        """Take one that nobody refers to any more."""
        if self.is_over:
            self._hand_over(generator)
        else:
            self.of_last_step.append(generator)

    def hand_over(self) -> None:
        """Leave to the event loop what the work has let go of, since it still goes on."""
        while self.of_last_step:
            self._hand_over(self.of_last_step.pop())

    def _hand_over(self, generator: _Generator) -> None:
        if self.to_loop is not None:
            self.to_loop(generator)


async def closing_generators(work: Coroutine[Any, Any, T]) -> T:
    """Await work, and close in this task the async generators that it leaves when it ends.

    Local variables of an error's traceback are cleared: they may hold generators.
    """
    left = _Left()
    try:
        return await _driven(work, left)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        while left.of_last_step:
            try:
                await left.of_last_step.pop().aclose()
            except BaseException as error:
                crash_unless_cancelled(error)
                logger.exception("an async generator raised while it was closed")
        left.is_over = True


@coroutine
def _driven(work: Coroutine[Any, Any, T], left: _Left) -> Generator[Any, Any, T]:
    """Await work with a finalizer of its own for the generators that it begins."""
    step: Callable[[Any], Any] = work.send
    argument: Any = None
    while True:
        hooks = sys.get_asyncgen_hooks()
        left.to_loop = hooks.finalizer
        sys.set_asyncgen_hooks(finalizer=left.add)
        try:
            awaited = step(argument)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            sys.set_asyncgen_hooks(*hooks)
        left.hand_over()
        try:
            argument = yield awaited
            step = work.send
        except BaseException as error:  # noqa: BLE001 - it is for the work
            step, argument = work.throw, error
