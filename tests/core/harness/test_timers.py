"""Timers, background tasks and retries of agents in a harness: its clock is theirs."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
import weakref
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message
from civitas.process import Retry, Timer
from civitas.testing import HarnessError, harness


class Clerk(AgentProcess):
    """Notes when each message is handled."""

    def __init__(self, name: str, *periods: float, takes: float = 0.0, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.periods, self.takes = periods, takes
        self.handled: list[tuple[str, float]] = []
        self.timers: list[Timer] = []

    async def on_start(self) -> None:
        self.began = asyncio.get_running_loop().time()
        self.timers = [self.every(each, {}, f"every {each:g}") for each in self.periods]

    async def handle(self, message: Message) -> Message | None:
        now = asyncio.get_running_loop().time() - self.began
        self.handled.append((message.type, round(now, 9)))
        if message.type == "stall":
            await self.stall(message.payload["seconds"])
        elif self.takes:
            await asyncio.sleep(self.takes)
        return None

    async def stall(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - that is the point

    def times(self, kind: str) -> list[float]:
        return [at for each, at in self.handled if each == kind]


async def test_timers_are_exact() -> None:
    class Once(Clerk):
        async def on_start(self) -> None:
            await super().on_start()
            self.after(5.0, {}, "once")
            self.after(0, {}, "at once")

    async with harness(Once("a", 60.0, 0.1)) as h:
        await h.idle()
        await h.advance(120)
        assert h.agent.times("at once") == [0]
        assert h.agent.times("once") == [5]
        assert h.agent.times("every 60") == [60, 120]
        assert h.agent.times("every 0.1") == pytest.approx([n / 10 for n in range(1, 1201)])
        (stats,) = h.stats().agents
        assert (stats.ticks, stats.ticks_swallowed, stats.timers) == (1204, 0, 2)


async def test_a_slow_handler_moves_no_tick_off_the_grid() -> None:
    async with harness(Clerk("a", 1.0, takes=2.5)) as h:
        await h.advance(12.6)
        # 1 is handled until 3.5, the tick of 2 until 6, that of 4 until 8.5, and so on.
        assert h.agent.times("every 1") == [1, 3.5, 6, 8.5, 11]
        (stats,) = h.stats().agents
        assert stats.ticks + stats.ticks_swallowed == 12


async def test_a_stalled_loop_brings_no_burst() -> None:
    async with harness(Clerk("a", 1.0)) as h:
        await h.advance(0.5)
        await h.send("a", {"seconds": 5.0}, "stall")
        await h.advance(9.5)
        assert h.agent.times("every 1")[:6] == [5.5, 6, 7, 8, 9, 10]
        (stats,) = h.stats().agents
        assert stats.ticks_swallowed == 4


async def test_an_agent_with_timers_is_idle_and_ends_in_order() -> None:
    async with harness(Clerk("a", 0.5)) as h:
        await h.idle()
        assert h.now == 0
        await h.advance(0.5)
        assert h.agent.times("every 0.5") == [0.5]
    assert not h.agent.timers[0].active


async def test_a_timer_holds_nothing_once_it_is_cancelled() -> None:
    class Held(Clerk):
        async def handle(self, message: Message) -> None:
            if message.type == "cancel":
                self.timers[0].cancel()
            else:
                self.timers.append(self.after(3600, {"large": "x" * 10_000_000}))

    async with harness(Held("a")) as h:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await h.send("a", {})
            await h.idle()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before > 9_000_000
            await h.send("a", {}, "cancel")
            await h.idle()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
        finally:
            tracemalloc.stop()


async def test_a_tick_that_was_handled_is_held_by_nobody() -> None:
    class Held(Clerk):
        async def handle(self, message: Message) -> None:
            await super().handle(message)
            if message.type == "begin":
                self.timers.append(self.after(1, {"large": "x" * 10_000_000}, "tick"))

    async with harness(Held("a")) as h:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await h.send("a", {}, "begin")
            await h.advance(1)
            await h.send("a", {}, "next")  # a message loop refers to the last one
            await h.advance(1)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
            assert h.agent.times("tick") == [1]
            assert not h.agent.timers[0].active
        finally:
            tracemalloc.stop()


async def test_a_timer_does_not_hold_what_its_maker_had_in_hand() -> None:
    large: ContextVar[object] = ContextVar("large")

    class Traced(Clerk):
        async def handle(self, message: Message) -> None:
            held = Large()
            found.append(weakref.ref(held))

            def start() -> None:
                large.set(held)
                self.every(3600, {})

            copy_context().run(start)

    class Large:
        pass

    found: list[weakref.ref[Large]] = []
    async with harness(Traced("a")) as h:
        await h.send("a", {})
        await h.idle()
        gc.collect()
        assert h.stats().agents[0].timers == 1
        assert found[0]() is None


async def test_a_background_task_is_no_work_to_wait_for() -> None:
    class Polling(Clerk):
        async def on_start(self) -> None:
            self.polled = 0
            self.background(self.poll(), name="poll")

        async def poll(self) -> None:
            while True:
                await asyncio.sleep(10)
                self.polled += 1

    async with harness(Polling("a")) as h:
        await h.idle()
        await h.advance(60)
        assert h.agent.polled == 6
        assert h.stats().agents[0].background_tasks == 1


async def test_a_crash_of_a_background_task_is_found_by_what_it_has_raised() -> None:
    class Polling(Clerk):
        async def on_start(self) -> None:
            self.background(self.poll(), name="poll")

        async def poll(self) -> None:
            await asyncio.sleep(10)
            raise ConnectionError("no network")

    async with harness(Polling("a")) as h:
        await h.advance(10)
        crash = h.expect_crash(ConnectionError, "background task poll", agent="a")
        assert crash.at == 10
    with pytest.raises(HarnessError, match="background task poll.*no network"):
        async with harness(Polling("a")) as h:
            await h.advance(10)


async def test_a_background_task_that_does_not_end_fails_the_test() -> None:
    class Stubborn(Clerk):
        async def on_start(self) -> None:
            self.background(self.work(), name="stubborn")

        async def work(self) -> None:
            for _ in range(2):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue

    with pytest.raises(HarnessError, match=r"'stubborn' of agent 'a' does not let itself") as found:
        async with harness(Stubborn("a")) as h:
            await h.idle()
    assert "task 'a background stubborn'" in str(found.value)


class Flaky(Clerk):
    """Fails always, and retries as its settings say, or after what it is given."""

    def __init__(self, name: str, after: float | None = None, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.later = after

    async def handle(self, message: Message) -> None:
        await super().handle(message)
        raise ValueError("no good")

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        if message.attempt >= 3:
            return ErrorAction.SKIP
        return ErrorAction.RETRY if self.later is None else self.retry(after=self.later)


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({}, [0, 0, 0, 0]),
        ({"after": 5.0}, [0, 5, 10, 15]),
        ({"retry_delay": 2.0}, [0, 2, 4, 6]),
        ({"retry_delay": 2.0, "retry_backoff": "linear"}, [0, 2, 6, 12]),
        ({"retry_delay": 2.0, "retry_backoff": "EXPONENTIAL"}, [0, 2, 6, 14]),
        ({"after": 0.0, "retry_delay": 2.0}, [0, 0, 0, 0]),
    ],
)
async def test_a_retry_waits_as_long_as_was_said(settings: Any, times: list[float]) -> None:
    async with harness(Flaky("a", **settings)) as h:
        await h.send("a", {}, "bad")
        await h.send("a", {}, "next")
        await h.advance(times[-1])
        assert h.agent.times("bad") == times
        assert h.agent.times("next")[:1] == times[-1:]


async def test_a_harness_says_that_an_agent_waits_for_a_retry() -> None:
    async with harness(Flaky("a", after=3600.0)) as h:
        await h.send("a", {}, "bad")
        with pytest.raises(HarnessError, match="has a message 'bad'"):
            await h.idle(within=5)
