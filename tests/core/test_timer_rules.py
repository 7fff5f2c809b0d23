"""Rules of timers, whatever their periods, the durations of handlers, and crashes are."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from civitas import AgentProcess, Message
from civitas.process import Timer
from civitas.testing import harness

QUARTERS = st.integers(1, 20).map(lambda n: n / 4)


class Plan(NamedTuple):
    """What an agent does: its timers, how long handlers take, and what happens when."""

    periods: list[float]
    once: list[float]
    durations: list[float]
    events: list[tuple[float, str, int]]


PLANS = st.builds(
    Plan,
    st.lists(QUARTERS, max_size=3),
    st.lists(QUARTERS, max_size=3),
    st.lists(st.sampled_from([0.0, 0.125, 0.5, 3.0]), min_size=1, max_size=4),
    st.lists(
        st.tuples(
            QUARTERS, st.sampled_from(["crash", "cancel", "fail", "start"]), st.integers(0, 5)
        ),
        max_size=5,
    ),
)


class Log:
    """What all objects of the agent have seen."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.objects = 0
        self.handling = 0
        self.handled = 0
        self.ticks = 0
        self.waited: list[int] = []
        self.broken: list[str] = []


class Timed(AgentProcess):
    """Has the timers of a plan, and looks whether their ticks obey the rules."""

    def __init__(self, name: str, log: Log) -> None:
        super().__init__(name, mailbox_size=20)
        self.log = log
        self.log.objects += 1
        self.number = self.log.objects
        self.timers: list[tuple[Timer, float, float]] = []
        self.cancelled: set[int] = set()

    async def on_start(self) -> None:
        for period in self.log.plan.periods:
            self.begin(period, repeat=True)
        for seconds in self.log.plan.once:
            self.begin(seconds, repeat=False)

    def begin(self, seconds: float, *, repeat: bool) -> None:
        began = asyncio.get_running_loop().time()
        carried = {"object": self.number, "timer": len(self.timers), "repeat": repeat}
        verb = self.every if repeat else self.after
        self.timers.append((verb(seconds, carried, "tick"), began, seconds))

    async def fail(self) -> None:
        raise ValueError("as planned")

    async def handle(self, message: Message) -> None:
        log = self.log
        log.handling += 1
        if log.handling > 1:
            log.broken.append("two at once")
        try:
            if message.type == "tick":
                self.check(message)
            duration = log.plan.durations[log.handled % len(log.plan.durations)]
            log.handled += 1
            await asyncio.sleep(duration)
            await self.do(message)
        finally:
            log.handling -= 1

    async def do(self, message: Message) -> None:
        match message.type:
            case "crash":
                raise ValueError("as planned")
            case "fail":
                self.background(self.fail())
            case "start":
                self.begin(1.0, repeat=True)
            case "cancel" if self.timers:
                number = message.payload["n"] % len(self.timers)
                self.cancelled.add(number)
                self.timers[number][0].cancel()

    def check(self, tick: Message) -> None:
        log = self.log
        log.ticks += 1
        if tick.payload["object"] != self.number:
            log.broken.append("a tick of an object that has ended")
            return
        number = tick.payload["timer"]
        timer, began, seconds = self.timers[number]
        if number in self.cancelled:
            log.broken.append("a tick of a timer that was cancelled")
        # Both clocks of a harness begin at a whole second: the grid is that of quarters.
        since = (tick.timestamp - began) % 1.0
        if abs(since * 4 - round(since * 4)) > 1e-4:
            log.broken.append(f"a tick off the grid: {since}")
        if not tick.payload["repeat"] and timer.active:
            log.broken.append("a timer that ticks once goes on")
        now = asyncio.get_running_loop().time()
        if now + 1e-6 < began + seconds:
            log.broken.append("a tick before its time")


async def run(plan: Plan) -> None:
    log = Log(plan)
    async with harness(Timed("a", log), max_restarts=99, backoff_base=0.0) as h:
        for at, what, n in sorted(plan.events):
            await h.advance(max(at - h.now, 0))
            await h.send("a", {"n": n}, what)
            stats = h.stats().agents[0]
            if stats.mailbox_depth > stats.timers + len(plan.once) + len(plan.events):
                log.broken.append("more than one tick of a timer is queued")
        await h.advance(10)
        stats = h.stats().agents[0]
        starts = len(plan.periods) + sum(what == "start" for _, what, _ in plan.events)
        if stats.timers > starts + len(plan.once):
            log.broken.append("timers of an object that has ended")
        for _ in h.crashes:
            h.expect_crash(ValueError)
        quiet = not plan.events and max(plan.durations) == 0.0
        if quiet and len(set(plan.periods)) == len(plan.periods) == 1:
            expected = int(10 / plan.periods[0]) + len(plan.once)
            assert (stats.ticks, stats.ticks_swallowed) == (expected, 0)
            assert log.ticks == expected
    assert log.broken == []


@given(PLANS)
@settings(max_examples=60, deadline=None)
def test_timers_obey_their_rules(plan: Plan) -> None:
    asyncio.run(run(plan))


@pytest.mark.parametrize("period", [0.25, 2.0, 5.0])
def test_each_tick_of_a_quiet_agent_comes(period: float) -> None:
    asyncio.run(run(Plan([period], [1.0], [0.0], [])))


def test_the_rules_are_looked_at() -> None:
    """A tick that comes to another object than its own is seen."""
    log = Log(Plan([], [], [0.0], []))
    agent = Timed("a", log)
    tick: Any = Message(type="tick", payload={"object": 7, "timer": 0, "repeat": True})
    agent.check(tick)
    assert log.broken == ["a tick of an object that has ended"]
