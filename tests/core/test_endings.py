"""How an agent's life ends, when more than one reason for it comes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.process import ProcessStatus

SOON = 10.0
Hook = Callable[["Scripted"], Awaitable[None]]
Handle = Callable[["Scripted", Message], Awaitable[Message | None]]


class Scripted(AgentProcess):
    """Does in its hooks what the test says."""

    def __init__(
        self, name: str, handle: Handle | None = None, start: Hook | None = None, **kw: Any
    ) -> None:
        super().__init__(name, **kw)
        self.script = handle
        self.start = start

    async def on_start(self) -> None:
        if self.start is not None:
            await self.start(self)

    async def handle(self, message: Message) -> Message | None:
        if message.payload.get("do") == "crash":
            raise ValueError("crash")
        if message.payload.get("do") == "stop":
            self.stop()
        if self.script is not None:
            return await self.script(self, message)
        return self.reply({})


def runtime(*agents: AgentProcess, **supervision: Any) -> Runtime:
    return Runtime(Supervisor("root", agents, **({"backoff_base": 0.0} | supervision)))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0)


# --- done, and something else ---------------------------------------------------------------------


async def test_an_agent_that_is_done_while_its_group_restarts_has_ended_for_good() -> None:
    entered, opened, crashed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def leave_later(agent: Scripted, message: Message) -> None:
        entered.set()
        await opened.wait()
        agent.stop()

    leaving = Scripted("leaving", leave_later)
    async with runtime(leaving, Scripted("w"), strategy="ONE_FOR_ALL") as r:
        r.on_crash(lambda name, error: crashed.set())
        await r.send("leaving", {})
        await entered.wait()
        await r.send("w", {"do": "crash"})
        await crashed.wait()
        await until(lambda: leaving.status is ProcessStatus.STOPPING)
        opened.set()
        await r.ask("w", {"do": "stop"}, timeout=SOON)
        assert await asyncio.wait_for(r.wait(), SOON) == 0


@pytest.mark.parametrize("strategy", ["ONE_FOR_ONE", "ONE_FOR_ALL"])
async def test_an_agent_that_says_that_it_is_done_while_it_is_down_is_not_restarted(
    strategy: str,
) -> None:
    starts: list[str] = []

    async def started(agent: Scripted) -> None:
        starts.append(agent.name)

    agent = Scripted("a", start=started)
    async with runtime(agent, strategy=strategy, backoff_base=0.05) as r:
        await r.send("a", {"do": "crash"})
        await until(lambda: agent.status is ProcessStatus.CRASHED)
        agent.stop()
        agent.stop()
        assert await asyncio.wait_for(r.wait(), SOON) == 0
    assert starts == ["a"]
    assert agent.status is ProcessStatus.STOPPED


async def test_an_agent_that_is_done_but_fails_to_start_is_started_again() -> None:
    starts: list[str] = []

    async def hesitate(agent: Scripted) -> None:
        starts.append(agent.name)
        if len(starts) == 2:
            agent.stop()
            raise OSError("not yet")

    async with runtime(Scripted("a", start=hesitate)) as r:
        await r.send("a", {"do": "crash"})
        await r.ask("a", {}, timeout=SOON)
    assert len(starts) == 3
