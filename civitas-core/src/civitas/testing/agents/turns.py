"""Turns: lets the agents do what is to be done, in the test's event loop, until goals are reached.

The theory, with the table of goals: `civitas.testing.agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from time import perf_counter
from typing import Any, Final, TypeVar

from civitas.testing.agents.findings import HarnessError
from civitas.testing.agents.goals import Goal
from civitas.testing.agents.world import AgentWorld

T = TypeVar("T")

_CLOSE: Final = 1e-6
"""Seconds within which two times are the same: sums of fractions are not exact."""

_SLICE: Final = 0.05
"""Real seconds of turns after which the test's loop has one."""

_AT_ONCE: Final = 50_000
"""Turns at one instant that take no time."""

_UNREST: Final = 0.002
"""Seconds that each further one takes: what never rests at an instant is to be noticed."""


class Turns:
    """Takes turns of the agents in callbacks of the running event loop, the test's.

    Args:
        report: called with a text when an error was handled by nobody.
        in_hand: returns what every agent has in hand, for errors.
        patience: real seconds that the test itself has to change something, when nothing is due.
    """

    def __init__(
        self, report: Callable[[str], None], in_hand: Callable[[], str], patience: float
    ) -> None:
        self.world = AgentWorld(self._schedule, report)
        self._home = asyncio.get_running_loop()
        self._in_hand = in_hand
        self._patience = patience
        self._goals: list[Goal] = []
        self._scheduled: asyncio.Handle | None = None
        self._turns_here = 0
        self._waiting: asyncio.TimerHandle | None = None
        self._closed = False
        self._own: set[asyncio.Task[Any]] = set()

    # --- goals --------------------------------------------------------------------------------

    async def run(self, what: str, work: Coroutine[Any, Any, T], seconds: float = inf) -> T:
        """Run a coroutine in the loop of the agents, for so many seconds of theirs at most.

        Raises:
            HarnessError: it can't end any more, or has not in time.
        """
        try:
            self._check_home()
        except HarnessError:
            work.close()
            raise
        task = self.world.agents.create_task(work, name=f"harness {what}")
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        goal = self._add(what, self.world.now + seconds, task.done, task.result)
        try:
            result: T = await goal.told
            return result
        finally:
            if not task.done():  # the test was cancelled, or the goal has failed
                task.cancel()

    async def until(self, what: str, reached: Callable[[], bool], seconds: float) -> None:
        """Return when this is so, and nothing is left to do at that instant."""
        self._check_home()
        pending = [goal.told for goal in self._goals if goal.is_advance]

        def reached_at_last() -> bool:
            return all(told.done() for told in pending) and reached()

        await self._add(what, self.world.now + seconds, reached_at_last, _nothing).told

    def advance(self, seconds: float) -> asyncio.Future[None]:
        """Move the clock; awaiting what this returns waits until all has happened meanwhile."""
        self._check_home()
        before = [goal.limit for goal in self._goals if goal.is_advance]
        end = max([self.world.now, *before]) + seconds

        def reached() -> bool:
            return self.world.now + _CLOSE >= end

        return self._add(f"advance({seconds:g})", end, reached, _nothing, is_advance=True).told

    def _add(
        self,
        what: str,
        limit: float,
        reached: Callable[[], bool],
        result: Callable[[], Any],
        *,
        is_advance: bool = False,
    ) -> Goal:
        told, began = self._home.create_future(), self.world.now
        goal = Goal(what, told, began, limit, reached, result, is_advance)
        self._goals.append(goal)
        self._schedule()
        return goal

    def _check_home(self) -> None:
        if self._closed:
            raise HarnessError("this harness has ended: use it inside of its `async with` block")
        if asyncio.get_running_loop() is not self._home:
            raise HarnessError(
                "this harness belongs to another event loop: enter it, and use it, in one; a "
                "fixture has to have the loop scope of its tests"
            )

    # --- turns --------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Take turns as soon as the test's loop has done what it has to do already.

        That is so also for what was scheduled before: a task that the test has just started may
        have goals, too.
        """
        if self._scheduled is not None:
            self._scheduled.cancel()
        if not self._closed:
            self._scheduled = self._home.call_soon(self._take_turns)

    def _take_turns(self) -> None:
        """Take turns for a while; the test's loop calls this."""
        self._scheduled = None
        until = perf_counter() + _SLICE
        try:
            while not self._closed and self._step():
                if perf_counter() > until:
                    self._schedule()
                    return
        except Exception as error:  # noqa: BLE001 - one of ours: nobody may wait for ever
            self._fail(self._goals, str(error), error)

    def _step(self) -> bool:
        """Do one thing; return False if that was the last, or it is the test's turn."""
        world = self.world
        if world.turn(world.now):
            self._go_on()
            self._turns_here += 1
            if self._turns_here <= _AT_ONCE:
                return True
            world.now += _UNREST
        else:
            self._turns_here = 0
        if self._tell_reached():
            self._schedule()
            return False
        if not self._goals:
            return False
        limit = min(goal.limit for goal in self._goals)
        due = world.due()
        if due == inf and not any(goal.is_advance for goal in self._goals):
            self._wait_for_the_test()
            return False
        if due <= limit + _CLOSE:
            if due > world.now:
                self._go_on()
                world.turn(due)
            return True
        world.now = max(world.now, limit)
        late = [g for g in self._goals if g.limit <= world.now and not g.is_advance]
        self._fail(late, "not reached in its {:g} s of the agents' time")
        return True

    def _tell_reached(self) -> bool:
        """Let the test know of the goals that are reached; return whether there are any."""
        ours = self.world.agents.busy_until <= self.world.now  # else a thread sleeps still
        there = [g for g in self._goals if (g.is_advance or ours) and g.reached()]
        there += [g for g in self._goals if g.told.done() and g not in there]
        for goal in there:
            self._goals.remove(goal)
            goal.tell()
        return bool(there)

    def _wait_for_the_test(self) -> None:
        if self._waiting is None:
            self._waiting = self._home.call_later(self._patience, self._give_up)

    def _go_on(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self._fail(self._goals, "nothing will ever happen again")

    def _fail(self, goals: list[Goal], why: str, cause: Exception | None = None) -> None:
        for goal in list(goals):
            self._goals.remove(goal)
            reason = why.format(goal.limit - goal.began)
            error = HarnessError(f"{goal.what}: {reason}\n{self._in_hand()}")
            error.__cause__ = cause
            goal.fail(error)

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> list[str]:
        """Cancel and end what the agents have left; return the tasks, in words."""
        self._go_on()
        self._closed = True
        world, loop = self.world, self.world.agents
        left = [task for task in loop.pending() if task not in self._own]
        texts = [_task_text(task) for task in left]
        for task in loop.pending():
            task.cancel()
        for _ in range(_AT_ONCE):
            if not world.turn(world.now):
                break
        world.close()
        world.bury()
        return texts


def _nothing() -> None:
    """Be the result of what has none."""


def _task_text(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    return f"task {task.get_name()!r}, which runs {name}"
