"""Background tasks: coroutines that an agent object has running beside its handlers.

Theory. `asyncio.create_task` in a handler has four faults: nothing holds the task, so it may be
collected while it runs; what it raises is seen when it is collected, if ever; it outlives its
agent; and it goes on with the trace of a message that was handled long ago. A background task is
held, judged and ended with the agent object that has started it.

    what happens to a task                  | what follows
    ----------------------------------------+-------------------------------------------------------
    it returns, or its agent's code cancels | it is gone
    it                                      |
    it raises, whatever it is; what it      | its agent crashes at once: the handler in hand, the
    awaited was cancelled by others         | wait for a message or `on_start` is cancelled
    ... since the node stops, and takes no  | a warning
    more messages from it                   |
    its agent has handled its last message, | it is cancelled and awaited, then comes `on_stop`
    or crashed, or failed to start          |
    ... and it raises something else        | an error in the log
    ... and it goes on after the grace      | it is left behind, with an error in the log
    ... and the time of its agent is over   | the same, with the same grace

It has the context variables of the code that has started it, but belongs to no message
(`civitas.trace`): it may run for weeks, and each message that it sends begins a trace. It is no
work that a stop waits for: a stop waits for messages, and for answers that were deferred, which
background tasks may give.

Rejected was a task group around the message loop: it would cancel a handler in the middle of its
message whenever one ends, and know no grace.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, TypeVar

from civitas._agents.generators import closing_generators
from civitas._bus.arguments import kind_of
from civitas.errors import MessageValidationError, TaskFailedError, is_interrupt, logger_of
from civitas.transport.tasks import absorb_cancellation, failure_of, launch_task

logger = logger_of("civitas.agent")

T = TypeVar("T")

_GRACE: Final = 3.0
"""Seconds that they may take to end: less than what their agent has, once it is cancelled."""


class BackgroundTasks:
    """The background tasks of one agent object.

    Args:
        agent: the agent's name.
        failed: called with the error of one that has raised.
    """

    __slots__ = ("_agent", "_ending", "_failed", "_tasks")

    def __init__(self, agent: str, failed: Callable[[TaskFailedError], None]) -> None:
        self._agent = agent
        self._failed = failed
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._ending = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T], name: str | None) -> asyncio.Task[T]:
        """Start one, which is checked: it comes from an author's code.

        Raises:
            MessageValidationError: this is no coroutine, or no name.
            RuntimeError: the agent object has ended.
        """
        given: object = work
        if not isinstance(given, Coroutine):
            raise MessageValidationError(_no_coroutine(given))
        called: object = getattr(work, "__name__", "unnamed") if name is None else name
        if not isinstance(called, str):
            work.close()
            what = f"the name of a background task is text, not {kind_of(called)}"
            raise MessageValidationError(what)
        if self._ending:
            work.close()
            raise RuntimeError(
                f"background task {called!r} of agent {self._agent!r} was not started: this "
                f"object has ended; in on_stop, await the coroutine"
            )
        whole = closing_generators(work)
        task = launch_task(whole, name=f"{self._agent} background {called}")
        self._tasks[task] = called
        task.add_done_callback(partial(self._ended, (whole, work), called))
        return task

    def cancel(self) -> None:
        """Cancel all of them: the agent object has ended."""
        self._ending = True
        for task in self._tasks:
            task.cancel()

    async def end(self) -> None:
        """Cancel all of them, and return when they have ended, or the grace is over."""
        self.cancel()
        now = asyncio.get_running_loop().time
        until = now() + _GRACE
        left: float = 0  # none: but a cancellation by the last one may be on its way
        while True:
            try:
                await (asyncio.wait([*self._tasks], timeout=left) if left else asyncio.sleep(0))
            except asyncio.CancelledError:  # the agent's own time is over, too: theirs is not
                absorb_cancellation()
            left = max(until - now(), 0) if self._tasks else 0
            if not left:
                break
        for name in self._tasks.values():
            text = "background task %r of agent %r does not let itself be cancelled: left behind"
            logger.error(text, name, self._agent)

    def _ended(
        self, works: Iterable[Coroutine[Any, Any, Any]], name: str, task: asyncio.Task[Any]
    ) -> None:
        self._tasks.pop(task, None)
        for work in works:
            work.close()  # a task that is cancelled before its first turn has not begun it
        error: BaseException | None
        if not task.cancelled():
            error = task.exception()
        elif task.cancelling():
            error = None
        else:
            error = RuntimeError("what it awaited was cancelled")
        if error is None or is_interrupt(error):
            return
        if self._ending:
            late = "background task %r of agent %r raised while it was ended"
            logger.error(late, name, self._agent, exc_info=error)
        else:
            self._failed(failure_of(f"background task {name}", error))


def _no_coroutine(given: object) -> str:
    text = f"background() takes a coroutine, such as self.poll(), not {kind_of(given)}"
    if inspect.isasyncgen(given) or inspect.isasyncgenfunction(given):
        return f"{text}: an async generator is iterated over, by a coroutine"
    if callable(given):
        return f"{text}: call it, {getattr(given, '__name__', 'function')}(...)"
    if isinstance(given, asyncio.Future):
        return f"{text}: a task runs already"
    return text
