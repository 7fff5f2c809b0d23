"""Tasks: starts what a node has going on, so that nothing of it ends unexpectedly in silence.

Whatever runs on its own (a task, or a callback of the event loop) and raises what nobody expected
would end unseen: asyncio only logs it, perhaps much later, and what it did is done no more. So each
is given `failed`, which ends the node. A transport has it as `TransportContext.failed`.

    what has happened to a task                         | what follows
    ----------------------------------------------------+------------------------------------------
    it returned                                         | nothing
    it raised                                           | `failed`
    it was cancelled by `cancel_task`                   | nothing; what it raises then is logged
    it, or what it awaited, was cancelled by others     | `failed`, unless the event loop ends
    a signal has raised KeyboardInterrupt in it         | as asyncio has it: the event loop ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from weakref import WeakSet

from civitas.errors import TaskFailedError, crash_of, logger_of
from civitas.trace import outside

T = TypeVar("T")

Failed: TypeAlias = Callable[[BaseException], None]
"""Called with a `TaskFailedError`."""

LAST_MOMENT: Final = 0.05
"""Seconds after which an event loop that cancelled its tasks would have ended."""

_EAGER: Final = getattr(asyncio, "eager_task_factory", object())
"""The factory of Python 3.12 whose tasks run before they are returned."""

_cancelled: Final[WeakSet[asyncio.Task[Any]]] = WeakSet()

logger = logger_of("civitas.node")


def start_task(work: Coroutine[Any, Any, T], *, name: str, failed: Failed) -> asyncio.Task[T]:
    """Start a task whose unexpected end is reported; see the module for what counts as one.

    Whoever awaits the task gets its error as well. Cancel it with `cancel_task`. It belongs to no
    message (`civitas.trace`): it may serve others long after the one that made it necessary.

    Args:
        work: what it does.
        name: the task's name, for logs and errors.
        failed: called, in the event loop, with the error when it has ended unexpectedly.
    """
    task = launch_task(work, name=name)
    task.add_done_callback(partial(_ended, work, name, failed))
    return task


def launch_task(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start a task whose end is for the caller to look at; else as `start_task` does."""
    loop = asyncio.get_running_loop()

    def start() -> asyncio.Task[T]:
        if loop.get_task_factory() is _EAGER:  # what starts a task has to have it before it runs
            return asyncio.Task(contained(work), loop=loop, name=name)
        return loop.create_task(contained(work), name=name)

    return outside(start)


def cancel_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task that is to end: it is expected to. Await it with `asyncio.wait`."""
    _cancelled.add(task)
    task.cancel()


def absorb_cancellation() -> None:
    """Take note that this task was cancelled and sees to its own end.

    Before 3.11.3, `asyncio.timeout` in a task that has been cancelled ends in CancelledError.
    """
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def guard_callback(
    call: Callable[..., object], *, name: str, failed: Failed
) -> Callable[..., None]:
    """Return a callback for the event loop (a timer, a reader) whose errors are reported."""

    def guarded(*arguments: Any) -> None:
        try:
            call(*arguments)
        except BaseException as error:  # noqa: BLE001 - nobody else would hear of it
            failed(failure_of(name, error))

    return guarded


def failure_of(name: str, error: BaseException) -> TaskFailedError:
    """Return the error to report for something that runs on its own, such as a thread.

    Raises:
        KeyboardInterrupt: `error` is one, and a signal has raised it.
    """
    failure = TaskFailedError(name, error)
    failure.__cause__ = crash_of(error)
    return failure


async def contained(work: Coroutine[Any, Any, T]) -> T:
    """Await work of others in a task, as `asyncio.gather` does it; what it raises is an Exception.

    A SystemExit would leave the task, and end the event loop.
    """
    try:
        return await work
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise crash_of(error) from error


def _ended(work: Coroutine[Any, Any, T], name: str, failed: Failed, task: asyncio.Task[T]) -> None:
    work.close()  # a task that is cancelled before its first turn has not begun it
    expected = task in _cancelled
    if task.cancelled():
        if not expected:
            report = partial(failed, failure_of(name, asyncio.CancelledError()))
            asyncio.get_running_loop().call_later(LAST_MOMENT, report)
        return
    error = task.exception()
    if error is None or isinstance(error, KeyboardInterrupt):
        return
    if expected:
        logger.error("task %r raised while it was ended", name, exc_info=error)
    else:
        failed(failure_of(name, error))
