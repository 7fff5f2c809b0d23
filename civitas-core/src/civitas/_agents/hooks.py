"""Hooks: what comes of whatever the code of an agent's author raises.

Anything is a crash, with three exceptions, which are not the author's: the cancellation that this
runtime (or the end of its event loop) means for the task, the end of the process by a signal, and
the destruction of a coroutine that nobody runs any more, in which nothing can be awaited.
"""

from __future__ import annotations

import asyncio
from typing import Any

from civitas.errors import crash_of


def crash_in(task: asyncio.Task[Any] | None, hook: str, error: BaseException) -> Exception:
    """Return what a hook raised as a crash.

    Args:
        task: the task that runs the hook.
        hook: what the hook is called; it may have awaited something that somebody else cancelled.
        error: what it raised.

    Raises:
        CancelledError: it is the task that is being cancelled.
        GeneratorExit: the task's coroutine is being destroyed.
        KeyboardInterrupt: a signal has raised it.
    """
    if isinstance(error, asyncio.CancelledError):
        if task is not None and task.cancelling():
            raise error
        return RuntimeError(f"what {hook} awaited was cancelled")
    if isinstance(error, GeneratorExit) and running_task() is not task:
        raise error
    return crash_of(error)


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that runs now; None also where no event loop does."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
