"""Background tasks: they live and die with their agent object, and what they raise is its crash."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from civitas import AgentProcess, Message
from civitas.errors import AgentError, MessageValidationError, NotConnectedError, SpawnError
from civitas.trace import current
from support.agents import SOON, Gate, Scripted, until


class Busy(Scripted):
    """Keeps what its background tasks have seen, and fails in one when it is told to."""

    def __init__(self, name: str, script: Any = None, **kw: Any) -> None:
        super().__init__(name, script, **kw)
        self.seen: list[Any] = []
        self.go_on = asyncio.Event()

    async def fail(self, error: BaseException) -> None:
        await self.go_on.wait()
        raise error

    async def poll(self) -> None:
        self.seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            self.seen.append("ended")

    async def on_stop(self) -> None:
        self.seen.append("on_stop")


async def test_a_background_task_runs_beside_the_handlers(system: Any) -> None:
    async def script(agent: Busy, message: Message) -> Message:
        if message.type == "begin":
            agent.background(agent.poll(), name="poll")
        return agent.reply({})

    async with system(Busy("a", script)) as s:
        agent = s.agent("a")
        await s.ask("a", {}, "begin", timeout=SOON)
        await until(lambda: agent.seen == ["begun"])
        await s.ask("a", {}, timeout=SOON)
        assert s.stats("a").background_tasks == 1
        await s.node_of("a").stop()
        assert agent.seen == ["begun", "ended", "on_stop"]
        assert s.restarts == 0


async def test_a_task_that_has_ended_is_gone(system: Any) -> None:
    async with system(Busy("a"), Scripted("b")) as s:
        agent = s.agent("a")
        task = agent.background(asyncio.sleep(0, "result"))
        cancelled, at_once = agent.background(agent.poll()), agent.background(agent.poll())
        at_once.cancel()  # before its first turn
        await until(lambda: agent.seen == ["begun"])
        cancelled.cancel()
        assert await task == "result"
        await until(lambda: s.stats("a").background_tasks == 0)
        await s.ask("a", {}, timeout=SOON) if agent.script else None
        assert (s.restarts, agent.status.value) == (0, "RUNNING")


@pytest.mark.parametrize("error", [ValueError("no good"), SystemExit(3), GeneratorExit("no good")])
async def test_what_it_raises_is_a_crash_at_once(system: Any, error: BaseException) -> None:
    async with system(Busy("a"), Scripted("b")) as s:
        crashes: list[Any] = []
        s.node_of("a").on_crash(lambda name, error: crashes.append((name, str(error))))
        agent = s.agent("a")  # waits for messages
        agent.background(agent.fail(error), name="poll")
        agent.go_on.set()
        await until(lambda: s.restarts == 1)
        assert agent.seen == ["on_stop"]
        assert s.agent("a") is not agent
        if s.node_of("a") is s.runtime:
            ((name, text),) = crashes
            assert name == "a"
            assert "'background task poll' has ended unexpectedly" in text
            assert type(error).__name__ in text


async def test_it_crashes_an_agent_in_the_middle_of_a_message(system: Any) -> None:
    gate = Gate()
    async with system(Busy("a", gate), Scripted("b")) as s:
        agent = s.agent("a")
        agent.background(agent.fail(ValueError("no good")), name="poll")
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        agent.go_on.set()
        with pytest.raises(AgentError, match=r"background task poll.*ValueError: no good"):
            await asking
        await until(lambda: s.restarts == 1)


async def test_it_crashes_an_agent_whose_handler_does_not_let_go(system: Any) -> None:
    entered, stubborn = asyncio.Event(), asyncio.Event()

    async def script(agent: Busy, message: Message) -> Message:
        entered.set()
        while not stubborn.is_set():
            try:
                await stubborn.wait()
            except asyncio.CancelledError:
                agent.seen.append("survived")
        return agent.reply({})

    async with system(Busy("a", script), Scripted("b")) as s:
        agent = s.agent("a")
        agent.background(agent.fail(ValueError("no good")))
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await entered.wait()
        agent.go_on.set()
        await until(lambda: agent.seen == ["survived"])
        stubborn.set()
        await asking  # it is answered: its handler has returned
        await until(lambda: s.restarts == 1)


async def test_it_fails_the_start_of_an_agent(system: Any) -> None:
    class Failing(Busy):
        async def on_start(self) -> None:
            other = self.background(self.poll())
            self.background(self.fail(ValueError("no good")), name="poll")
            self.go_on.set()
            try:
                await asyncio.Event().wait()
            finally:
                assert not other.done()

    agent = Failing("a")
    with pytest.raises((SpawnError, BaseException), match="background task poll"):
        async with system(agent, max_restarts=0):
            raise AssertionError("it has started")
    assert agent.seen == ["begun", "ended"]


async def test_a_start_that_fails_leaves_no_background_task(system: Any) -> None:
    class Failing(Busy):
        async def on_start(self) -> None:
            self.background(self.poll())
            await asyncio.sleep(0)
            raise ValueError("no good")

    agent = Failing("a")
    with pytest.raises((SpawnError, BaseException), match="no good"):
        async with system(agent, max_restarts=0):
            raise AssertionError("it has started")
    assert agent.seen == ["begun", "ended"]


async def test_what_it_awaited_and_others_cancelled_is_a_crash(system: Any) -> None:
    async def awaits(future: asyncio.Future[None]) -> None:
        await future

    async with system(Busy("a"), Scripted("b")) as s:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        s.agent("a").background(awaits(future))
        await asyncio.sleep(0)
        future.cancel()
        await until(lambda: s.restarts == 1)


async def test_it_belongs_to_no_message(system: Any) -> None:
    found: dict[str, Any] = {}

    async def work(agent: Busy) -> None:
        found["trace"] = current()
        for verb in (lambda: agent.reply({}), agent.defer):
            with pytest.raises(RuntimeError, match="this code belongs to none"):
                verb()
        await agent.send("b", {"n": 1})
        await agent.send("b", {"n": 2})
        found["done"] = True

    async def script(agent: Busy, message: Message) -> Message:
        task = agent.background(work(agent))
        await task
        found["cause"] = message.trace_id
        return agent.reply({})

    async with system(Busy("a", script), Scripted("b")) as s:
        await s.ask("a", {}, timeout=SOON)
        assert found["done"]
        assert found["trace"] is None
        await until(lambda: len(s.agent("b").got) == 2)
        traces = {each.trace_id for each in s.agent("b").got}
        assert len(traces) == 2
        assert found["cause"] not in traces


async def test_a_stop_does_not_wait_for_it_and_lets_it_give_deferred_answers(system: Any) -> None:
    class Later(Busy):
        async def handle(self, message: Message) -> None:
            self.background(self.answer(self.defer()))
            self.background(self.poll())

        async def answer(self, later: Any) -> None:
            self.seen.append("asked")
            await self.go_on.wait()
            await later.reply({"in": "time"})

    async with system(Later("a"), Scripted("b")) as s:
        agent = s.agent("a")
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await until(lambda: "asked" in agent.seen and "begun" in agent.seen)
        stopping = asyncio.create_task(s.node_of("a").stop())
        await until(lambda: s.node_of("a").components.bus.closing)
        agent.go_on.set()
        assert (await asking).payload == {"in": "time"}
        await asyncio.wait_for(stopping, SOON)
        assert agent.seen[-2:] == ["ended", "on_stop"]


async def test_one_that_sends_while_its_node_stops_is_no_crash(
    system: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gates = Gate(), Gate()

    class Sending(Busy):
        async def flood(self) -> None:
            while True:
                await self.send("b", {})
                await asyncio.sleep(0.001)

    held = [Scripted("c", gates[0]), Scripted("d", gates[1])]  # one is of the node of "a"
    async with system(Sending("a"), Scripted("b"), *held) as s:
        agent = s.agent("a")
        for name, gate in zip("cd", gates, strict=True):
            await s.send(name, {})
            await gate.entered.wait()
        task = agent.background(agent.flood(), name="flood")
        stopping = asyncio.create_task(s.node_of("a").stop())
        await until(task.done)
        assert agent.seen == []
        for gate in gates:
            gate.opened.set()
        await asyncio.wait_for(stopping, SOON)
        assert s.restarts == 0
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
        assert "background task flood" in caplog.text


async def test_one_that_ignores_its_cancellation_is_left_behind(
    system: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitas._agents.background._GRACE", 0.02)
    let_go = asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async with system(Busy("a"), Scripted("b")) as s:
        agent = s.agent("a")
        task = agent.background(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        assert agent.seen == ["on_stop"]
        assert not task.done()
        assert "background task 'stubborn' of agent 'a' does not let itself" in caplog.text
        let_go.set()
        await task


async def test_what_it_raises_when_it_is_ended_is_an_error_in_the_log(
    system: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no good")

    async with system(Busy("a"), Scripted("b")) as s:
        s.agent("a").background(work(), name="work")
        await asyncio.sleep(0)
        await s.node_of("a").stop()
        assert s.restarts == 0
        assert "background task 'work' of agent 'a' raised while it was ended" in caplog.text


async def test_its_async_generators_are_closed_in_it(system: Any) -> None:
    closed_in: list[asyncio.Task[Any] | None] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0.001)
            closed_in.append(asyncio.current_task())

    async def work(agent: Busy) -> None:
        kept = numbers()
        async for _ in kept:
            agent.seen.append("number")
            await asyncio.Event().wait()

    async with system(Busy("a"), Scripted("b")) as s:
        agent = s.agent("a")
        task = agent.background(work(agent))
        await until(lambda: agent.seen == ["number"])
        await s.node_of("a").stop()
        assert closed_in == [task]


async def test_what_is_wrong_with_it_is_said_at_once(system: Any) -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    async with system(Busy("a"), Scripted("b")) as s:
        agent = s.agent("a")
        for wrong, text in (
            (agent.poll, r"not an object of type method: call it, poll\(...\)"),
            (generate(), "an async generator is iterated over, by a coroutine"),
            (asyncio.get_running_loop().create_future(), "a task runs already"),
            (None, "not None"),
        ):
            with pytest.raises(MessageValidationError, match=text):
                agent.background(wrong)
        with pytest.raises(MessageValidationError, match="the name of a background task is text"):
            agent.background(agent.poll(), name=3)
        await s.node_of("a").stop()
        with pytest.raises(RuntimeError, match=r"'poll' of agent 'a' was not started.*in on_stop"):
            agent.background(agent.poll())
        assert agent.seen == ["on_stop"]


def test_an_agent_that_no_runtime_has_started_has_none() -> None:
    async def work() -> None:
        raise AssertionError("it runs")

    with pytest.raises(NotConnectedError, match="'a' is not running in a runtime yet"):
        AgentProcess("a").background(work())


async def test_it_ends_before_on_stop_also_when_the_time_of_its_agent_is_over(
    system: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with system(Busy("a", shutdown_timeout=0.0), Scripted("b")) as s:
        agent = s.agent("a")
        agent.background(agent.poll())
        await until(lambda: "begun" in agent.seen)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        assert agent.seen == ["begun", "ended", "on_stop"]
        assert "left behind" not in caplog.text


async def test_one_that_ignores_its_cancellation_holds_up_no_agent_beyond_its_grace(
    system: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitas._agents.background._GRACE", 0.1)
    let_go = asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async with system(Busy("a", shutdown_timeout=0.02), Scripted("b")) as s:
        agent = s.agent("a")
        task = agent.background(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        assert agent.seen == ["on_stop"]
        assert "background task 'stubborn' of agent 'a' does not let itself" in caplog.text
        let_go.set()
        await task
