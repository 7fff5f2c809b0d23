"""SimulatedLoop: the event loop of one thread of one simulated process; the world steps it.

It has no selector and never waits. Callbacks that are ready and timers are all that it knows, and
both are public classes of asyncio, so product code can't tell it from any other loop. Tasks and
futures are numbered, and their hash is the number: sets of them have the same order in every run.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import re
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from math import inf
from typing import Any, Final, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack

from civitas.testing.simulation.errors import refuse

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CLOSINGS: Final = 10

_OF_TASKS: Final = ("_set_result_unless_cancelled", "Timeout._on_timeout", "_release_waiter")
"""Callbacks of `asyncio.sleep`, `timeout` and `wait`."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+| when=[\d.]+")
"""What would make a text another one in each run, and when its time is."""

_EXECUTOR_DELAY: Final = 0.01
"""Seconds that a call in an executor takes at most."""


class _World(Protocol):
    """What a loop needs of its world."""

    now: float

    def caller_busy_until(self, loop: SimulatedLoop) -> float | None: ...
    def number(self) -> int: ...
    def between(self, least: float, most: float) -> float: ...
    def wake(self, loop: SimulatedLoop) -> None: ...
    def unhandled(self, loop: SimulatedLoop, context: dict[str, Any]) -> None: ...


class ProcessClock:
    """The monotonic clock of a process: it has shown `shown` at `since`, and runs at `rate`."""

    __slots__ = ("rate", "shown", "since")

    def __init__(self, now: float) -> None:
        self.since = self.shown = now
        self.rate = 1.0

    def drift(self, now: float, rate: float) -> None:
        """Run at `rate` times the true speed from now on."""
        self.shown, self.since, self.rate = self.at(now), now, rate

    def at(self, world_time: float) -> float:
        """Return what it shows at a time of the world."""
        return self.shown + (world_time - self.since) * self.rate


class NumberedFuture(asyncio.Future[T]):
    """A future whose hash is the same in every run."""

    number = 0
    """Given to it as soon as it is made: that is faster than an `__init__`."""

    def __hash__(self) -> int:
        return self.number


class NumberedTask(asyncio.Task[T]):
    """A task whose hash is the same in every run."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, T], **settings: Any) -> None:
        self._number = number
        super().__init__(coro, **settings)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """An event loop on virtual time. `clock` is its process' own, `label` names the thread."""

    def __init__(self, world: _World, clock: ProcessClock, label: str) -> None:
        self.label = label
        self.mark = label.encode()
        """What the digest of a run has of it."""
        self.busy_until = 0.0
        """The world's time until which its thread is at work, and takes no turn."""
        self.wakes_at = inf
        """The world's time at which the world looks at it next; for the world alone."""
        self.is_queued = False
        """Whether it is among those of which the world picks the next turn; for the world alone."""
        self.tasks: list[NumberedTask[Any]] = []
        """All tasks that have not ended, and some that have."""
        self._world = world
        self._clock = clock
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._at_work = False
        self._closed = False

    # --- for the world ------------------------------------------------------------------------

    # These, and `time`, are called for each turn or oftener. A call of `max` is dear there.

    def due(self) -> float:
        """Return the world's time at which it takes its next turn, inf for never."""
        if self._ready:
            return self.busy_until
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            return inf
        clock, busy_until = self._clock, self.busy_until
        due = clock.since + (timers[0][0] - clock.shown) / clock.rate
        return due if due > busy_until else busy_until  # noqa: FURB136

    def step(self) -> int:
        """Take one turn: run what is ready now; return how many callbacks ran."""
        ready, timers, now = self._ready, self._timers, self.time() + 1e-9
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                ready.append(handle)
        ran, self._at_work = 0, True
        for _ in range(len(ready)):
            if not ready:  # a callback has killed this process
                break
            each = ready.popleft()
            if not each.cancelled():
                ran += 1
                each._run()  # noqa: SLF001 - the one way to run a callback, as all loops do
        self._at_work = False
        return ran

    def drop(self) -> tuple[object, ...]:
        """End at once, without a turn for anyone; return what must live until the world ends.

        Destroyed earlier, coroutines would run their `finally` blocks.
        """
        self._closed = True
        left = (list(self._ready), list(self._timers), self.tasks)
        self._ready.clear()
        self._timers.clear()
        return left

    def destroy(self) -> None:
        """Close the coroutines that were left; some want to be told more than once."""
        for task in self.pending():
            coroutine = task.get_coro()
            for _ in range(_CLOSINGS):
                try:
                    coroutine.close()
                    break
                except BaseException:  # noqa: BLE001 - nobody is left to hear of it
                    continue

    def pending(self) -> list[NumberedTask[Any]]:
        """Return the tasks that have not ended, in the order in which they were started."""
        self.tasks = [task for task in self.tasks if not task.done()]
        return self.tasks

    def scheduled(self) -> list[str]:
        """Return what is to be called later, in words; not what a task of its own waits for."""
        there = [repr(timer) for *_, timer in sorted(self._timers) if not timer.cancelled()]
        ours = [text for text in there if not any(of_task in text for of_task in _OF_TASKS)]
        return [_ADDRESS.sub("", text) for text in ours]

    # --- for what runs in it ------------------------------------------------------------------

    def time(self) -> float:
        now, busy_until, clock = self._world.now, self.busy_until, self._clock
        at = busy_until if busy_until > now else now  # noqa: FURB136
        return clock.shown + (at - clock.since) * clock.rate

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append(handle)
            if not self._at_work and len(self._ready) == 1:
                self._world.wake(self)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        until = self._world.caller_busy_until(self)
        if until is not None:  # it comes from a thread that will have worked until then
            return self.call_at(self._clock.at(until), callback, *args, context=context)
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._closed:
            heapq.heappush(self._timers, (when, next(self._order), handle))
            if not self._at_work and not self._ready and self._timers[0][2] is handle:
                self._world.wake(self)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        future: NumberedFuture[Any] = NumberedFuture(loop=self)
        future.number = self._world.number()
        return future

    def create_task(  # type: ignore[override] # generators, and what later versions of Python add
        self, coro: Coroutine[Any, Any, T], **settings: Any
    ) -> asyncio.Task[T]:
        task = NumberedTask(self._world.number(), coro, loop=self, **settings)
        self.tasks.append(task)
        if len(self.tasks) > 1000:
            self.pending()
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call the function in this loop after a while: there are no threads.

        What it sleeps holds up its result, and not this loop.
        """
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            before, settle = self.busy_until, partial(_settle, future)
            try:
                settle = partial(settle, func(*args), None)
            except BaseException as error:  # noqa: BLE001 - it belongs to who awaits it
                settle = partial(settle, None, error)
            ended, slept, self.busy_until = self.time(), self.busy_until > before, before
            if slept:
                self.call_at(ended, settle)
            else:
                settle()

        self.call_later(self._world.between(0.0, _EXECUTOR_DELAY), work)
        return future

    def is_running(self) -> bool:
        return not self._closed

    def is_closed(self) -> bool:
        return self._closed

    get_debug = staticmethod(bool)
    """No: debugging measures real time. It is asked for each callback, so it is no function."""

    def set_debug(self, enabled: bool) -> None:
        """Do nothing: see `get_debug`."""

    def get_task_factory(self) -> None:
        return None

    def set_task_factory(self, factory: object) -> None:
        if factory is not None:
            refuse("a task factory", "a simulated event loop numbers its tasks")

    def get_exception_handler(self) -> None:
        return None

    def set_exception_handler(self, handler: object) -> None:
        """Do nothing: the world hears of whatever nobody has handled."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self._world.unhandled(self, context)

    default_exception_handler = call_exception_handler

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators end with their process."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there are no threads."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Take part in asyncio's protocol of timers; a cancelled one is dropped when it is due."""


def _settle(future: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_INSTEAD: Final = "put sockets, pipes, signals and processes behind an object of your own"


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refused(*_: object, **__: object) -> NoReturn:
        refuse(f"`loop.{name}`, which waits in real time,", _INSTEAD)

    return refused


for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in vars(SimulatedLoop):
        setattr(SimulatedLoop, _name, _refusing(_name))
