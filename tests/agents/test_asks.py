"""Asks: answers, timeouts, cancellation, and what is left of them. On every transport alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message
from civitas.errors import AgentError
from support.agents import BRIEFLY, SOON, Gate, Scripted, echo


async def test_ask_returns_the_reply_correlated_and_in_the_same_trace(system: Any) -> None:
    agent = Scripted("a", echo)
    async with system(agent) as s:
        reply = await s.ask("a", {"q": 1})
    question = agent.got[0]
    assert reply.payload == {"echo": {"q": 1}, "from": "a"}
    assert (reply.sender, reply.correlation_id) == ("a", question.id)
    assert reply.trace_id == question.trace_id
    assert reply.parent_span_id == question.span_id


async def test_a_hundred_asks_at_once_each_get_their_own_answer(system: Any) -> None:
    async with system(Scripted("a", echo), Scripted("b", echo), Scripted("c", echo)) as s:
        replies = await asyncio.gather(*(s.ask("abc"[n % 3], {"n": n}) for n in range(100)))
    assert [(m.payload["from"], m.payload["echo"]["n"]) for m in replies] == [
        ("abc"[n % 3], n) for n in range(100)
    ]


async def test_asks_go_through_a_chain_of_agents_and_back(system: Any) -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        to = {"a": "b", "b": "c", "c": "d"}.get(agent.name)
        answer = [] if to is None else (await agent.ask(to, {})).payload["path"]
        return agent.reply({"path": [agent.name, *answer]})

    async with system(*(Scripted(name, pass_on) for name in "abcd")) as s:
        assert (await s.ask("a", {})).payload == {"path": ["a", "b", "c", "d"]}


async def test_a_handler_may_answer_by_hand_at_the_reply_address(system: Any) -> None:
    async def by_hand(agent: Scripted, message: Message) -> None:
        assert message.reply_to is not None
        await agent.send(message.reply_to, {"by": "hand"})

    async with system(Scripted("a", by_hand)) as s:
        assert (await s.ask("a", {}, timeout=SOON)).payload == {"by": "hand"}
        assert s.dropped == {}


async def test_asks_give_up_after_their_timeout_and_a_late_answer_disturbs_nobody(
    system: Any,
) -> None:
    gate = Gate()
    async with system(Scripted("a", gate)) as s:
        with pytest.raises(TimeoutError, match=r"ask 'a'.*0\.\d+ s"):
            await s.ask("a", {}, timeout=BRIEFLY)
        await gate.entered.wait()
        gate.opened.set()
        assert (await s.ask("a", {})).payload == {}
        assert s.dropped == {"reply without a request": 1}


async def test_a_cancelled_ask_leaves_nothing_behind(system: Any) -> None:
    gate = Gate()
    async with system(Scripted("a", gate)) as s:
        asking = asyncio.create_task(s.ask("a", {}))
        await gate.entered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.opened.set()
        assert (await s.ask("a", {})).payload == {}
        assert s.dropped == {"reply without a request": 1}


async def test_a_question_that_expired_in_the_mailbox_is_not_handled(system: Any) -> None:
    gate = Gate()
    agent = Scripted("a", gate)
    async with system(agent) as s:
        first = asyncio.create_task(s.ask("a", {"n": 1}))
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await s.ask("a", {"n": 2}, timeout=BRIEFLY)
        await s.queued("a", 1)
        gate.opened.set()
        await first
        await s.ask("a", {"n": 3})
        assert [m.payload["n"] for m in agent.got] == [1, 3]
        assert s.dropped["expired before it was handled"] == 1


async def test_a_question_with_time_left_is_handled_though_it_waited(system: Any) -> None:
    gate = Gate()
    agent = Scripted("a", gate)
    async with system(agent) as s:
        asks = [asyncio.create_task(s.ask("a", {"n": n}, timeout=SOON)) for n in range(5)]
        await gate.entered.wait()
        await s.queued("a", 4)
        gate.opened.set()
        await asyncio.gather(*asks)
        assert s.dropped == {}


async def test_an_agent_that_asks_itself_is_told_at_once(system: Any) -> None:
    async def ask_self(agent: Scripted, message: Message) -> None:
        await agent.ask("a", {}, timeout=SOON)

    async with system(Scripted("a", ask_self)) as s:
        with pytest.raises(AgentError, match="AskDeadlockError.*asked itself"):
            await s.ask("a", {}, timeout=SOON)


async def test_an_ask_in_hand_when_the_agent_is_cancelled_fails_at_once(system: Any) -> None:
    gate = Gate()
    async with system(Scripted("a", gate, shutdown_timeout=0.05), Scripted("b", echo)) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        with pytest.raises(AgentError, match="CancelledError: it was stopped before it could"):
            await asking
