"""Endings: agents that are done, in whichever node, and when the runtime ends with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message, Supervisor
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, until
from support.lives import Log, Mortal, count, mortals


async def test_the_runtime_ends_when_all_agents_have_stopped(system: Any) -> None:
    log = Log()
    inner = Supervisor("inner", mortals(log, 2, 3))
    async with system(*mortals(log, 1), inner) as s:
        await s.broadcast("w*", {"do": "stop"})
        assert await s.ended() == 0
        for worker in s.workers:
            assert await asyncio.wait_for(worker.wait_until_stopped(), SOON) == 0
    assert sorted(log.take())[3:] == ["stop w1", "stop w2", "stop w3"]


async def test_an_agent_that_stops_answers_first_and_is_not_restarted(system: Any) -> None:
    log = Log()
    async with system(*mortals(log, 1, 2, 3), strategy="ONE_FOR_ALL") as s:
        assert (await s.ask("w1", {"do": "stop"}, timeout=SOON)).payload["count"] == 1
        await log.until("stop w1")
        await s.send("w2", {"do": "crash"})
        await log.until("start w2", 2)
        await count(s, "w2")
        await count(s, "w3")
        assert log.take().count("start w1") == 1


async def test_the_others_go_on_when_one_has_stopped(system: Any) -> None:
    async with system(*mortals(Log(), 1, 2, 3)) as s:
        await s.send("w2", {"do": "stop"})
        await until(lambda: s.runtime.components.registry.lookup("w2") is None)
        for name in ("w1", "w3"):
            assert await count(s, name) == 1
        assert s.runtime.failure is None


async def test_stop_may_be_awaited(system: Any) -> None:
    class Leaving(Mortal):
        async def handle(self, message: Message) -> None:
            await self.stop()

    async with system(Leaving("w", Log())) as s:
        await s.send("w", {})
        assert await s.ended() == 0


async def test_an_agent_that_is_done_while_its_group_restarts_has_ended_for_good(
    system: Any,
) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def leave_later(agent: Scripted, message: Message) -> None:
        entered.set()
        await opened.wait()
        agent.stop()

    log = Log()
    leaving = Scripted("leaving", leave_later)
    async with system(leaving, *mortals(log, 1), strategy="ONE_FOR_ALL") as s:
        await s.send("leaving", {})
        await entered.wait()
        await s.send("w1", {"do": "crash"})
        await until(lambda: leaving.status is ProcessStatus.STOPPING)
        opened.set()
        await log.until("start w1", 2)
        assert s.agent("leaving") is leaving
        await s.ask("w1", {"do": "stop"}, timeout=SOON)
        assert await s.ended() == 0


@pytest.mark.parametrize("strategy", ["ONE_FOR_ONE", "ONE_FOR_ALL"])
async def test_an_agent_that_says_that_it_is_done_while_it_is_down_is_not_restarted(
    system: Any, strategy: str
) -> None:
    log = Log()
    async with system(*mortals(log, 1), strategy=strategy, backoff_base=0.3) as s:
        agent = s.agent("w1")
        await s.send("w1", {"do": "crash"})
        await until(lambda: agent.status is ProcessStatus.CRASHED)
        agent.stop()
        agent.stop()
        assert await s.ended() == 0
    assert log.take().count("start w1") == 1
    assert agent.status is ProcessStatus.STOPPED


async def test_an_agent_that_says_that_it_is_done_and_then_crashes_is_restarted(
    system: Any,
) -> None:
    async def stop_and_crash(agent: Scripted, message: Message) -> Message:
        if message.reply_to is not None:
            return agent.reply({})
        agent.stop()
        raise ValueError("after all")

    async with system(Scripted("a", stop_and_crash)) as s:
        await s.send("a", {})
        await s.ask("a", {}, timeout=SOON)
        assert s.restarts == s.place.deliveries


async def test_an_agent_that_is_done_but_fails_to_start_is_started_again(system: Any) -> None:
    class Hesitating(Mortal):
        async def on_start(self) -> None:
            await super().on_start()
            if self.log.events.count("start a") == 2:
                self.stop()
                raise OSError("not yet")

    log = Log()
    async with system(Hesitating("a", log)) as s:
        await s.send("a", {"do": "crash"})
        await log.until("start a", 3)
        assert await count(s, "a") == 1


async def test_a_stop_finishes_all_that_was_taken_and_what_follows_from_it(system: Any) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def pass_on(agent: Scripted, message: Message) -> None:
        entered.set()
        await opened.wait()
        await agent.send("last", message.payload)

    first, last = Scripted("first", pass_on), Scripted("last")
    async with system(last, first) as s:
        for n in range(20):
            await s.send("first", {"n": n})
        await entered.wait()
        await s.queued("first", 19)
        stopping = asyncio.create_task(s.node_of("first").stop())
        opened.set()
        await asyncio.wait_for(stopping, SOON)
        if not s.place.at_least_once:
            await until(lambda: len(last.got) == 20)
        assert s.dropped == {}
    got = last.got
    if s.place.at_least_once:  # what was not taken has stayed with the transport
        last, first = Scripted("last"), Scripted("first", pass_on)
        async with system(last, first):
            await until(lambda: len(got) + len(last.got) == 20)
        got += last.got
    assert [m.payload["n"] for m in got] == list(range(20))
