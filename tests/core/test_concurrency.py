"""Several messages in hand of one agent: begun in their order, ended in any, each by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message, on, trace
from civitas._agents.running import running_agent
from civitas.errors import (
    AgentError,
    ConfigurationError,
    MailboxFullError,
    MessageValidationError,
    UnansweredError,
)
from support.agents import SOON, Scripted, runtime, until
from support.gates import Gates, asking, loops_of, send_all
from support.virtual_time import now, on_virtual_time

# --- order and number -----------------------------------------------------------------------------


async def test_as_many_as_it_says_are_in_hand_at_once_and_no_more() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=3)) as system:
        await send_all(system, 5)
        await gates.are(0, 1, 2)
        gates.open(1)
        await gates.are(0, 1, 2, 3)
        gates.open(*range(5))
        await until(lambda: len(gates.ended) == 5)
        assert gates.ended[0] == 1
        assert gates.entered == [0, 1, 2, 3, 4]


async def test_by_default_one_is_in_hand() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates)) as system:
        await send_all(system, 2)
        await gates.are(0)
        assert len(loops_of("a")) == 1
        gates.open(0, 1)
        await until(lambda: gates.ended == [0, 1])


async def test_no_task_is_made_for_a_message() -> None:
    async def note(agent: Scripted, message: Message) -> None:
        agent.state.setdefault("tasks", set()).add(asyncio.current_task())
        await asyncio.sleep(0)

    agent = Scripted("a", note, concurrency=4)
    async with runtime(agent) as system:
        await until(lambda: len(loops_of("a")) == 5)  # one of the hooks, four of the messages
        before = set(loops_of("a"))
        await send_all(system, 200)
        await until(lambda: len(agent.got) == 200)
        assert set(loops_of("a")) == before
        assert agent.state["tasks"] < before
        assert len(agent.state["tasks"]) == 4


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_begin_in_the_order_of_the_mailbox_while_senders_wait_for_room(size: int) -> None:
    gates = Gates()
    gates.open(*range(100))
    async with runtime(Scripted("a", gates, concurrency=4, mailbox_size=size)) as system:
        await send_all(system, 100)
        await until(lambda: len(gates.ended) == 100)
    assert gates.entered == list(range(100))


async def test_what_a_waiting_sender_puts_in_wakes_a_consumer_that_is_free() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=3, mailbox_size=1)) as system:
        await until(lambda: len(loops_of("a")) == 4)
        await asyncio.gather(*(system.send("a", {"n": n}) for n in range(3)))
        await gates.are(0, 1, 2)
        gates.open(0, 1, 2)


# --- whose message --------------------------------------------------------------------------------


async def test_each_message_has_its_own_answer_and_trace() -> None:
    async def answer(agent: Scripted, message: Message) -> Message:
        await asyncio.sleep(0.001 * (message.payload["n"] % 3))
        place, running = trace.current(), running_agent()
        assert place is not None
        assert running is not None
        assert running == ("a", True, message.trace_id)
        reply = await asyncio.to_thread(agent.reply, {"n": message.payload["n"]})
        assert place.span_id == message.span_id
        return reply

    async with runtime(Scripted("a", answer, concurrency=8)) as system:
        asks = [system.ask("a", {"n": n}, timeout=SOON) for n in range(50)]
        answers = await asyncio.gather(*asks)
    assert [each.payload["n"] for each in answers] == list(range(50))


async def test_what_is_sent_belongs_to_the_message_of_its_consumer() -> None:
    got = Scripted("b")

    async def pass_on(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0)
        await agent.send("b", message.payload)

    agent = Scripted("a", pass_on, concurrency=5)
    async with runtime(agent, got) as system:
        await send_all(system, 20)
        await until(lambda: len(got.got) == 20)
    traces = {each.payload["n"]: each.trace_id for each in agent.got}
    assert len(set(traces.values())) == 20
    assert {each.payload["n"]: each.trace_id for each in got.got} == traces


async def test_an_answer_is_deferred_for_the_message_of_its_consumer() -> None:
    kept: dict[int, Any] = {}

    async def put_off(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0)
        kept[message.payload["n"]] = agent.defer()
        with pytest.raises(RuntimeError, match="before"):
            agent.defer()
        await asyncio.sleep(0)

    async with runtime(Scripted("a", put_off, concurrency=4)) as system:
        asks = [asking(system, n) for n in range(8)]
        await until(lambda: len(kept) == 8)
        for n in reversed(range(8)):
            await kept[n].reply({"of": n})
        assert [each.payload["of"] for each in await asyncio.gather(*asks)] == list(range(8))


async def test_a_reply_to_a_message_that_is_over_is_refused_though_another_is_in_hand() -> None:
    late: list[asyncio.Task[Any]] = []
    gates = Gates()

    async def leave_a_task(agent: Scripted, message: Message) -> Message | None:
        if not late:

            async def answer() -> None:
                await until(lambda: bool(gates.entered))
                agent.reply({})

            late.append(asyncio.create_task(answer()))
            return None
        return await gates(agent, message)

    async with runtime(Scripted("a", leave_a_task, concurrency=2)) as system:
        await send_all(system, 3)
        await until(lambda: bool(late))
        with pytest.raises(RuntimeError, match="that of this task is over"):
            await late[0]
        gates.open(1, 2)


async def test_who_gets_no_answer_is_told_so_for_each_message() -> None:
    async def nothing(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(0)

    async with runtime(Scripted("a", nothing, concurrency=3)) as system:
        asks = [system.ask("a", {"n": n}, timeout=SOON) for n in range(6)]
        results = await asyncio.gather(*asks, return_exceptions=True)
    assert {type(each) for each in results} == {UnansweredError}


# --- to itself ------------------------------------------------------------------------------------


async def test_it_can_not_wait_for_room_in_its_own_mailbox() -> None:
    refused: list[BaseException] = []

    async def flood(agent: Scripted, message: Message) -> None:
        if message.payload["n"] == 0:
            try:
                for _ in range(5):
                    await agent.send("a", {"n": 1})
            except MailboxFullError as error:
                refused.append(error)

    async with runtime(Scripted("a", flood, concurrency=2, mailbox_size=2)) as system:
        await system.send("a", {"n": 0})
        await until(lambda: bool(refused))
    assert "sent to itself" in str(refused[0])


async def test_it_can_not_ask_itself() -> None:
    async def ask_itself(agent: Scripted, message: Message) -> None:
        await agent.ask("a", {})

    agent = Scripted("a", ask_itself, ErrorAction.SKIP, concurrency=2)
    async with runtime(agent) as system:
        with pytest.raises(AgentError, match="asked itself"):
            await system.ask("a", {}, timeout=SOON)


# --- what is seen ---------------------------------------------------------------------------------


async def test_stats_show_the_oldest_message_in_hand_and_how_many_there_are() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=3)) as system:
        for n in range(2):
            await system.send("a", {"n": n}, f"type {n}")
        await gates.are(0, 1)
        (stats,) = system.stats().agents
        assert (stats.in_hand, stats.in_hand_count, stats.concurrency) == ("type 0", 2, 3)
        assert stats.in_hand_for is not None
        gates.open(0)
        await until(lambda: gates.ended == [0])
        (stats,) = system.stats().agents
        assert (stats.in_hand, stats.in_hand_count) == ("type 1", 1)
        gates.open(1)
        await until(lambda: system.stats().agents[0].in_hand_count == 0)
        assert system.stats().agents[0].in_hand == ""


@on_virtual_time
async def test_it_is_busy_for_the_sum_of_what_its_consumers_are() -> None:
    gates = Gates()
    async with runtime(Scripted("a", gates, concurrency=4)) as system:
        began = now()
        await send_all(system, 2)
        await gates.are(0, 1)
        await asyncio.sleep(5)
        (stats,) = system.stats().agents
        assert stats.busy == pytest.approx(2 * (now() - began), abs=0.01)
        gates.open(0, 1)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "8", True, None, 1_001])
def test_a_wrong_concurrency_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="concurrency of agent 'a' is a whole number"):
        runtime(Scripted("a", concurrency=wrong))


async def test_an_object_may_choose_its_concurrency_in_on_start() -> None:
    gates = Gates()

    class Chooses(Scripted):
        async def on_start(self) -> None:
            self.concurrency = 2

    async with runtime(Chooses("a", gates)) as system:
        await send_all(system, 3)
        await gates.are(0, 1)
        gates.open(0, 1, 2)


async def test_a_restart_keeps_the_concurrency() -> None:
    class Plain(AgentProcess):
        async def handle(self, message: Message) -> Message | None:
            raise ValueError("no good")

    agent = Plain("a")
    agent.concurrency = 3
    async with runtime(agent) as system:
        await system.send("a", {})
        await until(lambda: system.get_agent("a") is not agent)
        assert system.get_agent("a").concurrency == 3


@dataclass
class Known:
    n: int


class Typed(AgentProcess):
    @on(Known)
    async def known(self, known: Known, message: Message) -> Known:
        await asyncio.sleep(0)
        return known


async def test_a_message_that_is_refused_settles_only_itself() -> None:
    async with runtime(Typed("a", concurrency=2)) as system:
        good = system.ask("a", Known(1), timeout=SOON)
        bad = system.ask("a", {}, "unknown", timeout=SOON)
        results = await asyncio.gather(good, bad, return_exceptions=True)
    assert isinstance(results[0], Message)
    assert results[0].payload == {"n": 1}
    assert isinstance(results[1], MessageValidationError)
