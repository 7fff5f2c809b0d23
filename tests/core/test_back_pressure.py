"""Back-pressure and losses between nodes: 20,000 messages, and none of them out of the account."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._bus.windows import WINDOW
from support.agents import SOON, Gate, Scripted, echo, until
from support.local_bus.testbed import LocalBus

pytestmark = pytest.mark.slow

COUNT = 20_000


@asynccontextmanager
async def pair(bus: LocalBus, *agents: Any) -> AsyncIterator[tuple[Runtime, Worker]]:
    """A runtime without agents of its own, and a worker with these."""
    root = Supervisor("root", backoff_base=0.0)
    for agent in agents:
        root.add_remote_child(agent.name)
    async with Runtime(root, **bus.options()) as runtime, Worker(agents, **bus.options()) as worker:
        await until(lambda: all(runtime.components.registry.has(a.name) for a in agents))
        yield runtime, worker


def window(runtime: Runtime, name: str = "a") -> Any:
    route = runtime.components.bus.routes.get(name)
    assert route is not None
    return route.window


@pytest.mark.parametrize("pause", [0.0, 0.0002])
async def test_all_arrive_in_order_and_those_under_way_are_bounded_by_the_window(
    local_bus: LocalBus, pause: float
) -> None:
    async def work(agent: Scripted, message: Any) -> Any:
        end = time.perf_counter() + pause
        while time.perf_counter() < end:
            pass
        return agent.reply({}) if message.reply_to else None

    agent = Scripted("a", work, mailbox_size=100)
    async with pair(local_bus, agent) as (runtime, worker):
        most_out = deepest = 0
        for n in range(COUNT):
            await runtime.send("a", {"n": n})
            most_out = max(most_out, window(runtime).outstanding)
            if n % 100 == 0:
                deepest = max(deepest, worker.stats().agents[0].mailbox_depth)
        await runtime.ask("a", {"n": COUNT}, timeout=60)
        assert most_out <= WINDOW
        assert deepest <= 100 + 1
        assert worker.stats().lost == {}
        assert worker.stats().dropped == {}
    assert [m.payload["n"] for m in agent.got] == list(range(COUNT + 1))


async def test_losses_in_the_middle_are_counted_to_the_frame(local_bus: LocalBus) -> None:
    agent = Scripted("a", echo)
    async with pair(local_bus, agent) as (runtime, worker):
        transport: Any = runtime.components.transport
        for n in range(1000):
            if n in (100, 500):
                transport.lose("a", 7)
            await runtime.send("a", {"n": n})
        await runtime.ask("a", {"n": 1000}, timeout=SOON)
        assert worker.stats().lost == {"a": 14}
        await until(lambda: window(runtime).outstanding == 0)
    lost = {*range(100, 107), *range(500, 507)}
    assert [m.payload["n"] for m in agent.got] == [n for n in range(1001) if n not in lost]


async def test_losses_at_the_tail_are_counted_and_the_window_heals(local_bus: LocalBus) -> None:
    agent = Scripted("a", echo)
    async with pair(local_bus, agent) as (runtime, worker):
        transport: Any = runtime.components.transport
        transport.lose("a", WINDOW)
        for n in range(WINDOW):
            await runtime.send("a", {"n": n})
        for n in range(2 * WINDOW):  # these wait until the loss is known
            await runtime.send("a", {"n": WINDOW + n})
        await runtime.ask("a", {"n": 3 * WINDOW}, timeout=SOON)
        assert worker.stats().lost == {"a": WINDOW}
        transport.lose("a", 3)
        for n in range(3):
            await runtime.send("a", {"n": n})
        await until(lambda: worker.stats().lost == {"a": WINDOW + 3})
        await until(lambda: window(runtime).outstanding == 0)
    assert [m.payload["n"] for m in agent.got] == list(range(WINDOW, 3 * WINDOW + 1))


async def test_a_slow_agent_holds_up_only_those_who_send_to_it(local_bus: LocalBus) -> None:
    gate = Gate()
    slow, quick = Scripted("slow", gate, mailbox_size=5), Scripted("quick", echo)
    async with pair(local_bus, slow, quick) as (runtime, worker):
        for n in range(WINDOW):
            await runtime.send("slow", {"n": n})
        for n in range(2 * WINDOW):
            await runtime.send("quick", {"n": n})
        await runtime.ask("quick", {}, timeout=SOON)
        assert worker.stats().agents[0].handled == 0
        gate.opened.set()
        await until(lambda: worker.stats().agents[0].handled == WINDOW)
    assert len(quick.got) == 2 * WINDOW + 1
