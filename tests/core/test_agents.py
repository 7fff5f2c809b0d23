"""Agents talking to each other: send, ask, broadcast, and what the counters tell of it."""

from __future__ import annotations

import asyncio

import pytest

from civitas import ErrorAction, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import (
    AgentError,
    MailboxFullError,
    MessageValidationError,
)
from civitas.serializer import JsonSerializer
from support.agents import SOON, Gate, Scripted, echo, fail, runtime

# --- send and ask ---------------------------------------------------------------------------------


async def test_a_message_arrives_with_sender_type_and_payload() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        await r.send("a", {"n": [1, {"x": None}]}, message_type="greeting")
        await r.ask("a", {})
    first = agent.got[0]
    assert (first.type, first.recipient) == ("greeting", "a")
    assert first.payload == {"n": [1, {"x": None}]}
    assert first.reply_to is None


async def test_messages_of_one_sender_arrive_in_order() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for n in range(500):
            await r.send("a", {"n": n})
        await r.ask("a", {"n": 500})
    assert [m.payload["n"] for m in agent.got] == list(range(501))


async def test_ask_returns_the_reply_correlated_and_in_the_same_trace() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        reply = await r.ask("a", {"q": 1})
    question = agent.got[0]
    assert reply.payload == {"echo": {"q": 1}, "from": "a"}
    assert (reply.sender, reply.correlation_id) == ("a", question.id)
    assert reply.trace_id == question.trace_id
    assert reply.parent_span_id == question.span_id


async def test_what_a_handler_sends_belongs_to_the_trace_of_what_it_handles() -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("b", {})).payload)

    b = Scripted("b", echo)
    a = Scripted("a", pass_on)
    async with runtime(a, b) as r:
        await r.ask("a", {})
    assert b.got[0].trace_id == a.got[0].trace_id
    assert b.got[0].parent_span_id == a.got[0].span_id
    assert b.got[0].sender == "a"


async def test_a_hundred_asks_at_once_each_get_their_own_answer() -> None:
    async with runtime(Scripted("a", echo), Scripted("b", echo)) as r:
        replies = await asyncio.gather(*(r.ask("ab"[n % 2], {"n": n}) for n in range(100)))
    assert [(m.payload["from"], m.payload["echo"]["n"]) for m in replies] == [
        ("ab"[n % 2], n) for n in range(100)
    ]


async def test_a_handler_can_answer_later_at_the_reply_address() -> None:
    async def later(agent: Scripted, message: Message) -> None:
        if message.reply_to is not None:
            agent.state["asked"] = message
            await agent.send("a", {})  # handled after this message
        else:
            await agent.send(agent.state["asked"].reply_to, {"late": True})

    async with runtime(Scripted("a", later)) as r:
        assert (await r.ask("a", {})).payload == {"late": True}


async def test_asks_give_up_after_their_timeout_and_a_late_answer_disturbs_nobody() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate)) as r:
        with pytest.raises(TimeoutError, match=r"ask 'a'.*0\.02 s"):
            await r.ask("a", {}, timeout=0.02)
        gate.opened.set()
        assert (await r.ask("a", {})).payload == {}
        assert r.stats().dropped == {"reply without a request": 1}


async def test_a_cancelled_ask_leaves_nothing_behind() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate)) as r:
        asking = asyncio.create_task(r.ask("a", {}))
        await gate.entered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.opened.set()
        await r.ask("a", {})
        assert not any(r.components.transport.has_reply_address(f"_reply.{n}") for n in range(9))


async def test_a_question_that_expired_in_the_mailbox_is_not_handled() -> None:
    gate = Gate()
    agent = Scripted("a", gate)
    async with runtime(agent) as r:
        first = asyncio.create_task(r.ask("a", {"n": 1}))
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await r.ask("a", {"n": 2}, timeout=0.01)
        gate.opened.set()
        await first
        await r.ask("a", {"n": 3})
        assert [m.payload["n"] for m in agent.got] == [1, 3]
        assert r.stats().dropped["expired before it was handled"] == 1


# --- broadcast ------------------------------------------------------------------------------------


async def test_broadcast_reaches_every_agent_that_matches_and_no_other() -> None:
    agents = [Scripted(name, echo) for name in ("worker_1", "worker_2", "lead")]
    async with runtime(*agents) as r:
        await r.broadcast("worker_*", {"go": True})
        for agent in agents:
            await r.ask(agent.name, {})
    assert [len(agent.got) for agent in agents] == [2, 2, 1]


async def test_broadcast_reaches_the_others_when_one_has_no_room() -> None:
    gate = Gate()
    full, other = Scripted("w_full", gate, mailbox_size=1), Scripted("w_other", echo)
    async with runtime(full, other, send_timeout=0.02) as r:
        await r.send("w_full", {})
        await gate.entered.wait()
        await r.send("w_full", {})
        with pytest.raises(MailboxFullError):
            await r.broadcast("w_*", {})
        await r.ask("w_other", {})
        gate.opened.set()
    assert len(other.got) == 2


# --- counters -------------------------------------------------------------------------------------


async def test_the_counters_tell_what_happened() -> None:
    skipping = Scripted("a", fail, ErrorAction.SKIP)
    async with runtime(skipping, Scripted("b", echo)) as r:
        await r.send("a", {})
        with pytest.raises(AgentError):
            await r.ask("a", {})
        await r.ask("b", {})
        stats = r.stats()
    a, b = stats.agents
    assert (stats.sent, stats.delivered, stats.dropped) == (3, 3, {})
    assert (a.handled, a.errors, a.restarts) == (2, 2, 0)
    assert (b.handled, b.errors, b.mailbox_depth) == (1, 0, 0)
    assert stats.process == "supervisor"
    assert len(stats.node) == 16


async def test_asking_with_what_the_other_can_not_read_is_an_error_at_once() -> None:
    class Garbled(JsonSerializer):
        def serialize(self, message: Message) -> bytes:
            body = super().serialize(message)
            return b"?" if message.type == "garble" else body

    components = build_component_set(serializer=Garbled())
    root = Supervisor("root", [Scripted("a", echo)])
    async with Runtime(root, components=components) as r:
        with pytest.raises(AgentError, match="agent 'a'.*DeserializationError"):
            await r.ask("a", {}, "garble", timeout=SOON)
        assert (await r.ask("a", {"n": 1}, timeout=SOON)).payload["echo"] == {"n": 1}
        assert r.stats().dropped == {"unreadable deserialization": 1}


async def test_an_ask_counts_as_sent_when_it_was_handed_over_though_no_answer_came() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        with pytest.raises(TimeoutError):
            await r.ask("a", {}, timeout=0.01)
        await r.send("a", {})
        with pytest.raises(MailboxFullError):
            await r.ask("a", {}, timeout=0.01)
        assert r.stats().sent == 2
        gate.opened.set()


async def test_a_recipient_that_is_no_name_is_refused() -> None:
    async with runtime(Scripted("a")) as r:
        with pytest.raises(MessageValidationError, match="a name, not a int"):
            await r.send(5, {})  # type: ignore[arg-type]
