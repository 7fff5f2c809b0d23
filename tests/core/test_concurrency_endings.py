"""Several messages in hand of one agent: what the error of one does to the others; how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import ErrorAction, Message
from civitas.errors import AgentError
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, runtime, until
from support.gates import Gates, asking, loops_of, send_all
from support.virtual_time import on_virtual_time

# --- errors ---------------------------------------------------------------------------------------


async def test_retry_and_skip_are_of_one_message_each() -> None:
    attempts: list[tuple[int, int]] = []

    class Chooses(Scripted):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            await asyncio.sleep(0)
            return ErrorAction.RETRY if message.payload["n"] % 2 else ErrorAction.SKIP

    async def fail_first(agent: Scripted, message: Message) -> Message:
        attempts.append((message.payload["n"], message.attempt))
        await asyncio.sleep(0)
        if not message.attempt:
            raise ValueError(str(message.payload["n"]))
        return agent.reply({"n": message.payload["n"]})

    async with runtime(Chooses("a", fail_first, concurrency=4)) as system:
        asks = [system.ask("a", {"n": n}, timeout=SOON) for n in range(8)]
        results = await asyncio.gather(*asks, return_exceptions=True)
    for n, result in enumerate(results):
        if n % 2:
            assert isinstance(result, Message)
            assert result.payload == {"n": n}
        else:
            assert isinstance(result, AgentError)
            assert result.error_text == str(n)
    assert sorted(attempts) == sorted([(n, a) for n in range(8) for a in range(1 + n % 2)])


@on_virtual_time
async def test_a_message_that_takes_too_long_does_not_end_the_others() -> None:
    gates = Gates()
    agent = Scripted("a", gates, ErrorAction.SKIP, concurrency=2, handle_timeout=0.05)
    async with runtime(agent) as system:
        slow, quick = asking(system, 0), asking(system, 1)
        await gates.are(0, 1)
        gates.open(1)
        assert (await quick).payload == {"n": 1}
        with pytest.raises(AgentError, match="longer than handle_timeout"):
            await slow


@on_virtual_time
async def test_a_crash_takes_nothing_new_lets_the_others_finish_and_then_restarts() -> None:
    gates = Gates()
    gates.raises[1] = ValueError("no good")
    crashes: list[Any] = []
    agent = Scripted("a", gates, concurrency=3)
    async with runtime(agent) as system:
        system.on_crash(lambda name, error: crashes.append((name, str(error))))
        asks = [asking(system, n) for n in range(6)]
        await gates.are(0, 1, 2)
        gates.open(1)
        with pytest.raises(AgentError, match="no good"):
            await asks[1]
        await asyncio.sleep(1)  # it must not take another one
        assert gates.entered == [0, 1, 2]
        assert not crashes
        gates.open(0, 2)
        assert [(await asks[n]).payload["n"] for n in (0, 2)] == [0, 2]
        await until(lambda: len(gates.entered) == 6)
        assert crashes == [("a", "no good")]
        assert system.get_agent("a") is not agent
        gates.open(3, 4, 5)
        assert [(await each).payload["n"] for each in asks[3:]] == [3, 4, 5]
        await until(lambda: system.stats().restarts == 1)


@on_virtual_time
async def test_what_is_not_done_within_shutdown_timeout_is_cancelled_and_answered() -> None:
    gates = Gates()
    gates.raises[0] = ValueError("no good")
    stopped: list[str] = []

    class Ends(Scripted):
        async def on_stop(self) -> None:
            stopped.append(f"{len(gates.entered)} begun")

    async with runtime(Ends("a", gates, concurrency=3, shutdown_timeout=0.05)) as system:
        asks = [asking(system, n) for n in range(3)]
        await gates.are(0, 1, 2)
        gates.open(0)
        with pytest.raises(AgentError, match="no good"):
            await asks[0]
        for each in asks[1:]:
            with pytest.raises(AgentError, match="stopped before it could answer"):
                await each
        await until(lambda: system.stats().restarts == 1)
        assert stopped == ["3 begun"]
        assert system.stats().dropped == {"cancelled while it was handled": 2}


async def test_the_first_crash_is_the_agents_and_the_next_one_is_logged_and_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gates = Gates()
    gates.raises |= {0: ValueError("the first"), 1: KeyError("the second")}
    crashes: list[str] = []
    async with runtime(Scripted("a", gates, concurrency=2)) as system:
        system.on_crash(lambda name, error: crashes.append(str(error)))
        asks = [asking(system, n) for n in range(2)]
        await gates.are(0, 1)
        gates.open(0)
        with pytest.raises(AgentError, match="the first"):
            await asks[0]
        gates.open(1)
        with pytest.raises(AgentError, match="the second"):
            await asks[1]
        await until(lambda: system.stats().restarts == 1)
        assert crashes == ["the first"]
        assert system.stats().agents[0].errors == 2
    assert "crashed on another message before it had ended" in caplog.text


async def test_a_consumer_that_somebody_else_cancels_is_a_crash() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=2)) as system:
        ask = asking(system, 0)
        await gates.are(0)
        agent = system.get_agent("a")
        next(t for t in loops_of("a") if t.get_name() == "a consumer 1").cancel()
        with pytest.raises(AgentError):
            await ask
        await until(lambda: system.get_agent("a") is not agent)
        gates.open(1)
        assert (await system.ask("a", {"n": 1}, timeout=SOON)).payload == {"n": 1}


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_whatever_a_handler_raises_is_a_crash_like_any_other(raised: BaseException) -> None:
    gates = Gates()
    gates.raises[0] = raised
    gates.open(0, 1)
    async with runtime(Scripted("a", gates, concurrency=2)) as system:
        with pytest.raises(AgentError):
            await system.ask("a", {"n": 0}, timeout=SOON)
        assert (await system.ask("a", {"n": 1}, timeout=SOON)).payload == {"n": 1}
        await until(lambda: system.stats().restarts == 1)


async def test_a_handler_that_can_not_be_cancelled_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("civitas._agents.concurrency.CANCEL_GRACE", 0.01)
    let_go = asyncio.Event()

    async def cling(agent: Scripted, message: Message) -> Message:
        if message.payload["n"] == 1:
            raise ValueError("no good")
        if message.payload["n"] == 0:
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue
        return agent.reply({"n": message.payload["n"]})

    agent = Scripted("a", cling, concurrency=2, shutdown_timeout=0.01)
    async with runtime(agent) as system:
        clinging, crashing = asking(system, 0), asking(system, 1)
        for each in (clinging, crashing):
            with pytest.raises(AgentError):
                await each
        assert (await system.ask("a", {"n": 2}, timeout=SOON)).payload == {"n": 2}
        assert system.get_agent("a") is not agent
        let_go.set()


# --- ends -----------------------------------------------------------------------------------------


async def test_an_agent_that_is_done_lets_its_other_messages_finish() -> None:
    gates = Gates()

    async def finish(agent: Scripted, message: Message) -> Message | None:
        if message.payload["n"] == 1:
            agent.stop()
            return agent.reply({"n": 1})
        return await gates(agent, message)

    async with runtime(Scripted("a", finish, concurrency=2), Scripted("b")) as system:
        first, second = asking(system, 0), asking(system, 1)
        assert (await second).payload == {"n": 1}
        assert not first.done()
        gates.open(0)
        assert (await first).payload == {"n": 0}
        await until(lambda: system.get_agent("a").status is ProcessStatus.STOPPED)


async def test_stop_of_on_error_ends_the_agent_after_its_other_messages() -> None:
    gates = Gates()
    gates.raises[1] = ValueError("no good")
    agent = Scripted("a", gates, ErrorAction.STOP, concurrency=2)
    async with runtime(agent, Scripted("b")) as system:
        first, second = asking(system, 0), asking(system, 1)
        await gates.are(0, 1)
        gates.open(1)
        with pytest.raises(AgentError):
            await second
        assert agent.status is ProcessStatus.RUNNING
        gates.open(0)
        assert (await first).payload == {"n": 0}
        await until(lambda: agent.status is ProcessStatus.STOPPED)


async def test_a_stop_in_order_drains_the_mailbox_with_all_consumers() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=3)) as system:
        asks = [asking(system, n) for n in range(7)]
        await gates.are(0, 1, 2)
        stopping = asyncio.create_task(system.stop())
        gates.open(0, 1, 2)
        await gates.are(*range(6))
        gates.open(3, 4, 5, 6)
        await stopping
        assert [(await each).payload["n"] for each in asks] == list(range(7))


@on_virtual_time
async def test_while_it_drains_a_free_consumer_takes_what_a_message_in_hand_brings() -> None:
    stopping: list[asyncio.Task[None]] = []

    async def ask_around(agent: Scripted, message: Message) -> Message:
        if message.payload.get("back"):
            return agent.reply({"n": "back"})
        stopping.append(asyncio.create_task(system.stop()))
        await asyncio.sleep(0.01)
        return agent.reply((await agent.ask("b", {}, timeout=SOON)).payload)

    async def ask_back(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("a", {"back": 1}, timeout=SOON)).payload)

    a, b = Scripted("a", ask_around, concurrency=2), Scripted("b", ask_back)
    async with runtime(a, b) as system:
        assert (await system.ask("a", {}, timeout=SOON)).payload == {"n": "back"}
        await asyncio.wait_for(stopping[0], SOON)


@on_virtual_time
async def test_a_stop_whose_time_is_over_accounts_for_each_message_in_hand() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=3, shutdown_timeout=0.05)) as system:
        asks = [asking(system, n) for n in range(3)]
        await gates.are(0, 1, 2)
        await system.send("a", {"n": 3})
        await asyncio.wait_for(system.stop(), SOON)
        for each in asks:
            with pytest.raises(AgentError, match="stopped before it could answer"):
                await each
        assert system.stats().dropped == {
            "cancelled while it was handled": 3,
            "the recipient has stopped": 1,
        }


@on_virtual_time
async def test_on_stop_runs_once_after_all_and_no_task_is_left() -> None:
    order: list[Any] = []

    class Ends(Scripted):
        async def on_stop(self) -> None:
            order.append("on_stop")

    async def note(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0.01)
        order.append(message.payload["n"])

    async with runtime(Ends("a", note, concurrency=4)) as system:
        await send_all(system, 6)
    assert sorted(order[:-1]) == list(range(6))
    assert order[-1] == "on_stop"
    assert not loops_of("a")
