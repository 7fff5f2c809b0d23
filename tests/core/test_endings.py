"""How an agent's life ends, when more than one reason for it comes at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.errors import AgentError
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


# --- cancelled ------------------------------------------------------------------------------------


async def test_a_stop_that_cuts_short_a_busy_agent_loses_no_message_out_of_the_account() -> None:
    async def compute(agent: Scripted, message: Message) -> None:
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass

    agent = Scripted("a", compute, shutdown_timeout=0.02)
    async with runtime(agent) as r:
        for _ in range(200):
            await r.send("a", {})
    stats = r.stats()
    assert stats.agents[0].handled < 200
    assert stats.agents[0].handled + sum(stats.dropped.values()) == 200


async def test_a_handler_that_survives_its_cancellation_is_its_agents_last() -> None:
    async def survive(agent: Scripted, message: Message) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    agent = Scripted("a", survive, shutdown_timeout=0.02)
    async with runtime(agent) as r:
        for _ in range(3):
            await r.send("a", {})
        await asyncio.wait_for(r.stop(), SOON)
    assert r.stats().agents[0].handled == 1
    assert r.stats().dropped == {"the recipient has stopped": 2}


async def test_an_object_that_was_left_behind_can_not_end_the_one_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("civitas._agents.slot.CANCEL_GRACE", 0.01)
    entered, opened = asyncio.Event(), asyncio.Event()

    async def ignore(agent: Scripted, message: Message) -> Message | None:
        if message.reply_to is not None:
            return agent.reply({})
        entered.set()
        while not opened.is_set():
            with suppress(asyncio.CancelledError):
                await opened.wait()
        raise LookupError("too late")

    stubborn = Scripted("stubborn", ignore, shutdown_timeout=0.01)
    async with runtime(stubborn, Scripted("w"), strategy="ONE_FOR_ALL") as r:
        before = next(t for t in asyncio.all_tasks() if t.get_name() == "stubborn")
        await r.send("stubborn", {})
        await entered.wait()
        await r.send("w", {"do": "crash"})
        await until(lambda: r.get_agent("stubborn") is not stubborn)
        await r.ask("stubborn", {}, timeout=SOON)
        opened.set()
        await asyncio.wait((before,))
        agent = r.get_agent("stubborn")
        assert agent is not None
        assert agent.status is ProcessStatus.RUNNING
        await r.ask("stubborn", {}, timeout=SOON)
        assert r.stats().restarts == 2


async def test_an_agent_whose_task_somebody_else_cancels_has_crashed_and_is_restarted() -> None:
    async def cancel_itself(agent: Scripted, message: Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    heard: list[str] = []
    async with runtime(Scripted("a", cancel_itself)) as r:
        r.on_crash(lambda name, error: heard.append(str(error)))
        with pytest.raises(AgentError, match="cancelled by somebody else"):
            await r.ask("a", {}, timeout=SOON)
        await until(lambda: r.stats().restarts == 1)
    assert heard == ["its task was cancelled by somebody else"]


def test_an_event_loop_that_ends_without_a_stop_is_no_crash() -> None:
    heard: list[str] = []

    async def forget_to_stop() -> None:
        r = runtime(Scripted("a"), Scripted("b"))
        r.on_crash(lambda name, error: heard.append(name))
        await r.start()

    asyncio.run(forget_to_stop())
    assert heard == []


async def test_an_on_error_that_awaits_something_cancelled_is_a_crash() -> None:
    class Misled(Scripted):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            cancelled: asyncio.Future[ErrorAction] = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            return await cancelled

    async with runtime(Misled("a")) as r:
        with pytest.raises(AgentError, match="ValueError: crash"):
            await r.ask("a", {"do": "crash"}, timeout=SOON)
        await r.ask("a", {}, timeout=SOON)
        assert r.stats().restarts == 1


# --- a stop, and a crash --------------------------------------------------------------------------


async def test_a_crash_of_an_agent_that_is_being_stopped_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def crash_later(agent: Scripted, message: Message) -> None:
        entered.set()
        await opened.wait()
        raise LookupError("the second crash")

    late = Scripted("late", crash_later)
    async with runtime(late, Scripted("w"), strategy="ONE_FOR_ALL") as r:
        await r.send("late", {})
        await entered.wait()
        await r.send("w", {"do": "crash"})
        await until(lambda: late.status is ProcessStatus.STOPPING)
        opened.set()
        await until(lambda: r.stats().restarts == 2)
    assert "agent 'late' crashed while it was stopped" in caplog.text
    assert "the second crash" in caplog.text


async def test_a_restart_that_fails_during_the_stop_does_not_hold_it_up() -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def fail_again(agent: Scripted) -> None:
        if agent is not first:
            entered.set()
            await opened.wait()
            raise OSError("no")

    first = Scripted("a", start=fail_again)
    root = Supervisor("root", [first], backoff="LINEAR", backoff_base=0.01, backoff_max=60)
    async with Runtime(root) as r:
        await r.send("a", {"do": "crash"})
        await entered.wait()
        root.backoff_base = 60.0
        stopping = asyncio.create_task(r.stop())
        await until(lambda: r.components.bus.closing)
        opened.set()
        await asyncio.wait_for(stopping, SOON)
        assert await r.wait() == 0


async def test_an_on_stop_that_awaits_a_task_it_cancelled_hinders_nothing() -> None:
    class WithTask(Scripted):
        async def on_start(self) -> None:
            self.task = asyncio.create_task(asyncio.Event().wait())

        async def on_stop(self) -> None:
            self.task.cancel()
            await self.task

    async with runtime(WithTask("a")) as r:
        await r.send("a", {"do": "crash"})
        await r.ask("a", {"do": "stop"}, timeout=SOON)
        assert await asyncio.wait_for(r.wait(), SOON) == 0


# --- two crashes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["ONE_FOR_ALL", "REST_FOR_ONE"])
async def test_two_crashes_at_once_restart_a_group_once(strategy: str) -> None:
    starts: list[str] = []

    async def started(agent: Scripted) -> None:
        starts.append(agent.name)

    agents = [Scripted(name, start=started) for name in ("a", "b", "c")]
    async with runtime(*agents, strategy=strategy, backoff_base=0.01) as r:
        for name in ("a", "c"):
            await r.send(name, {"do": "crash"})
        await until(lambda: r.stats().restarts >= 3)
        for name in ("a", "b", "c"):
            await r.ask(name, {}, timeout=SOON)
    assert starts == ["a", "b", "c"] * 2


async def test_an_on_stop_that_hangs_after_a_crash_delays_the_restart_and_no_more() -> None:
    class Hanging(Scripted):
        async def on_stop(self) -> None:
            await asyncio.Event().wait()

    async with runtime(Hanging("a", shutdown_timeout=0.02)) as r:
        await r.send("a", {"do": "crash"})
        await r.ask("a", {}, timeout=SOON)
        assert r.stats().restarts == 1
