"""Starting: what may happen before all agents are up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import SpawnError
from civitas.process import ProcessStatus
from civitas.transport import InProcessTransport

SOON = 10.0


class Opening(AgentProcess):
    """Starts when the test lets it, and counts the objects that did."""

    def __init__(self, name: str, starts: list[str], gate: asyncio.Event | None = None) -> None:
        super().__init__(name, shutdown_timeout=0.05)
        self.starts = starts
        self.gate = gate

    async def on_start(self) -> None:
        self.starts.append(self.name)
        if self.gate is not None:
            await self.gate.wait()

    async def handle(self, message: Message) -> Message | None:
        return self.reply({})


class Crashing(Opening):
    """Its first object crashes as soon as it has started."""

    async def on_start(self) -> None:
        await super().on_start()
        if self.starts.count(self.name) == 1:
            await self.send(self.name, {})

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is None:
            raise ValueError("crash")
        return self.reply({})


async def until_logged(starts: list[str], name: str) -> None:
    async with asyncio.timeout(SOON):
        while name not in starts:
            await asyncio.sleep(0)


async def starting_with_a_crash(root: Supervisor, starts: list[str]) -> tuple[Runtime, Any]:
    """Return a runtime whose first agent has crashed while the second one still starts."""
    runtime = Runtime(root)
    crashed = asyncio.Event()
    runtime.on_crash(lambda name, error: crashed.set())
    start = asyncio.create_task(runtime.start())
    await crashed.wait()
    await until_logged(starts, "slow")
    for _ in range(10):
        await asyncio.sleep(0)
    return runtime, start


@pytest.mark.parametrize("strategy", ["ONE_FOR_ALL", "REST_FOR_ONE"])
async def test_a_group_is_restarted_when_all_of_it_has_started_and_each_of_it_once(
    strategy: str,
) -> None:
    starts: list[str] = []
    gate = asyncio.Event()
    agents = [Crashing("first", starts), Opening("slow", starts, gate), Opening("last", starts)]
    root = Supervisor("root", agents, strategy, backoff_base=0.0)
    runtime, start = await starting_with_a_crash(root, starts)
    gate.set()
    await start
    async with asyncio.timeout(SOON):
        while runtime.stats().restarts < 3:
            await asyncio.sleep(0)
    for name in ("first", "slow", "last"):
        await runtime.ask(name, {}, timeout=SOON)
    assert starts == ["first", "slow", "last"] * 2
    await runtime.stop()


async def test_a_single_agent_is_restarted_while_others_start() -> None:
    starts: list[str] = []
    gate = asyncio.Event()
    agents = [Crashing("first", starts), Opening("slow", starts, gate)]
    runtime, start = await starting_with_a_crash(
        Supervisor("root", agents, backoff_base=0.0), starts
    )
    await runtime.ask("first", {}, timeout=SOON)
    assert starts == ["first", "slow", "first"]
    gate.set()
    await start
    await runtime.stop()


async def test_a_root_that_gives_up_during_the_start_leaves_no_agent_running() -> None:
    starts: list[str] = []
    gates = [asyncio.Event(), asyncio.Event()]
    agents = [
        Crashing("first", starts),
        Opening("slow", starts, gates[0]),
        Opening("late", starts, gates[1]),
        Opening("last", starts),
    ]
    root = Supervisor("root", agents, max_restarts=0)
    runtime, start = await starting_with_a_crash(root, starts)
    gates[0].set()
    await until_logged(starts, "late")
    for _ in range(10):
        await asyncio.sleep(0)
    gates[1].set()
    await start
    assert await asyncio.wait_for(runtime.wait(), SOON) == 1
    assert agents[-1].status is ProcessStatus.STOPPED


async def test_a_stop_during_the_start_ends_it_and_starts_nobody_more() -> None:
    starts: list[str] = []
    agents = [Opening(name, starts, asyncio.Event()) for name in ("slow", "last")]
    runtime = Runtime(Supervisor("root", agents))
    start = asyncio.create_task(runtime.start())
    await until_logged(starts, "slow")
    await asyncio.wait_for(runtime.stop(), SOON)
    with pytest.raises(SpawnError, match="stopped while it started"):
        await start
    assert starts == ["slow"]
    assert await asyncio.wait_for(runtime.wait(), SOON) == 0


async def test_a_stop_while_the_transport_starts_ends_the_start_too() -> None:
    class Slow(InProcessTransport):
        def __init__(self) -> None:
            super().__init__()
            self.entered = asyncio.Event()

        async def start(self) -> None:
            self.entered.set()
            await asyncio.Event().wait()

    transport, starts = Slow(), list[str]()
    components = build_component_set(transport=transport)
    runtime = Runtime(Supervisor("root", [Opening("a", starts)]), components=components)
    start = asyncio.create_task(runtime.start())
    await transport.entered.wait()
    await asyncio.wait_for(runtime.stop(), SOON)
    with pytest.raises(SpawnError):
        await start
    assert starts == []


@pytest.mark.parametrize("hook", ["on_start", "handle", "on_stop"])
async def test_an_agent_may_stop_the_runtime_in_any_hook_without_waiting_for_itself(
    hook: str,
) -> None:
    class Ending(AgentProcess):
        async def on_start(self) -> None:
            if hook == "on_start":
                await runtime.stop()

        async def handle(self, message: Message) -> None:
            await runtime.stop()

        async def on_stop(self) -> None:
            if hook == "on_stop":
                await runtime.stop()

    runtime = Runtime(Supervisor("root", [Ending("a")]))
    if hook == "on_start":
        with pytest.raises(SpawnError):
            await runtime.start()
    else:
        await runtime.start()
        await (runtime.send("a", {}) if hook == "handle" else runtime.stop())
    assert await asyncio.wait_for(runtime.wait(), SOON) == 0
    assert runtime.stats().dropped == {}
