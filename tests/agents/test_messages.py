"""Messages: what arrives, in which order, and what is no message. On every transport alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message
from civitas.errors import MessageValidationError
from support.agents import SOON, Scripted, echo, until
from support.system import SPREAD


async def flood(agent: Scripted, message: Message) -> Message:
    for n in range(message.payload["count"]):
        await agent.send(message.payload["to"], {"n": n})
    await agent.ask(message.payload["to"], {"n": message.payload["count"]})
    return agent.reply({})


async def test_a_message_arrives_with_sender_type_and_payload(system: Any) -> None:
    agent = Scripted("a", echo)
    async with system(agent) as s:
        await s.send("a", {"n": [1, {"x": None}]}, message_type="greeting")
        await s.ask("a", {})
    first = agent.got[0]
    assert (first.type, first.sender, first.recipient) == ("greeting", "_runtime", "a")
    assert first.payload == {"n": [1, {"x": None}]}
    assert first.reply_to is None


@pytest.mark.parametrize("to", ["b", "c"])
async def test_messages_between_agents_arrive_in_order(system: Any, to: str) -> None:
    agents = [Scripted("a", flood), Scripted("b", echo), Scripted("c", echo)]
    async with system(*agents) as s:
        await s.ask("a", {"count": 500, "to": to})
    got = next(agent for agent in agents if agent.name == to).got
    assert [m.payload["n"] for m in got] == list(range(501))
    assert {m.sender for m in got} == {"a"}


async def test_messages_from_two_senders_arrive_in_the_order_of_each(system: Any) -> None:
    sink = Scripted("sink", echo)
    async with system(Scripted("a", flood), sink, Scripted("c", flood)) as s:
        asks = (s.ask(name, {"count": 300, "to": "sink"}) for name in ("a", "c"))
        await asyncio.gather(*asks)
    for sender in ("a", "c"):
        from_it = [m.payload["n"] for m in sink.got if m.sender == sender]
        assert from_it == list(range(301))


async def test_what_a_handler_sends_belongs_to_the_trace_of_what_it_handles(system: Any) -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("b", {})).payload)

    a, b = Scripted("a", pass_on), Scripted("b", echo)
    async with system(a, b) as s:
        await s.ask("a", {})
    assert b.got[0].trace_id == a.got[0].trace_id
    assert b.got[0].parent_span_id == a.got[0].span_id
    assert b.got[0].sender == "a"


async def test_an_agent_can_send_to_a_later_one_while_it_starts(system: Any) -> None:
    class Eager(Scripted):
        async def on_start(self) -> None:
            await self.send("late", {"early": True})

    late = Scripted("late", echo)
    async with system(Eager("a"), late):
        await until(lambda: late.got)
    assert [m.payload for m in late.got] == [{"early": True}]


@pytest.mark.parametrize("place", SPREAD, indirect=True)
async def test_an_agent_can_ask_a_later_one_of_another_process_while_it_starts(
    system: Any,
) -> None:
    class Eager(Scripted):
        async def on_start(self) -> None:
            self.state["answer"] = (await self.ask("late", {})).payload["from"]

    async with system(Eager("a"), Scripted("late", echo)) as s:
        assert s.agent("a").state["answer"] == "late"


async def test_large_and_empty_payloads_arrive_as_they_are(system: Any) -> None:
    agent = Scripted("a", echo)
    payloads: list[dict[str, Any]] = [{}, {"text": "x" * 500_000}, {"ü": ["\0", "\n", "日本"]}]
    async with system(Scripted("other"), agent) as s:
        for payload in payloads:
            assert (await s.ask("a", payload)).payload["echo"] == payload


@pytest.mark.parametrize("payload", [[1], "text", None, 7])
async def test_a_payload_that_is_no_dict_is_refused_before_it_is_sent(
    system: Any, payload: Any
) -> None:
    agent = Scripted("a", echo)
    async with system(agent) as s:
        for verb in (s.send, s.ask, s.broadcast):
            with pytest.raises(
                MessageValidationError,
                match="payload.*is a dict or another mapping, or an object of a model, not",
            ):
                await verb("a", payload)
        await s.ask("a", {})
    assert len(agent.got) == 1


async def test_reserved_types_are_refused(system: Any) -> None:
    async with system(Scripted("a")) as s:
        for attempt in (s.send("a", {}, "_agency.restart"), s.ask("a", {}, "_agency.x")):
            with pytest.raises(MessageValidationError, match="reserved"):
                await attempt


async def test_a_recipient_that_is_no_name_is_refused(system: Any) -> None:
    async with system(Scripted("a")) as s:
        with pytest.raises(MessageValidationError, match="name, a text, not 5"):
            await s.send(5, {})


async def test_a_frame_that_is_garbage_is_counted_and_the_next_message_arrives(
    system: Any,
) -> None:
    agent = Scripted("a", echo)
    dead: list[object] = []
    garbage = [b"", b"\xc1", b"GET / HTTP/1.1\r\n", b"\x93\x01\x02\x03", b"\xc1\x01\x00" * 20]
    async with system(agent) as s:
        s.on_dead_letter(lambda item, reason: dead.append(item))
        for frame in garbage:
            await s.runtime.components.transport.publish("a", frame)
        await s.ask("a", {})
        assert len(agent.got) == 1
        assert sum(s.dropped.values()) == len(garbage)
        assert s.lost == 0
    assert dead == garbage


async def test_the_counters_tell_what_was_sent_delivered_and_handled(system: Any) -> None:
    async with system(Scripted("a", echo), Scripted("b", echo)) as s:
        await s.send("a", {})
        for name in ("a", "b", "a"):
            await s.ask(name, {})
        stats = [node.stats() for node in s.nodes]
        assert s.sent == sum(each.delivered for each in stats) == 4
        assert s.dropped == {}
        a, b = s.stats("a"), s.stats("b")
    assert (a.handled, a.errors, a.restarts, a.mailbox_depth) == (3, 0, 0, 0)
    assert (b.handled, b.errors, b.restarts, b.mailbox_depth) == (1, 0, 0, 0)
    assert stats[0].process == "supervisor"
    assert {len(each.node) for each in stats} == {16}


async def test_many_messages_and_questions_of_one_turn_arrive_in_their_order(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:

        async def send(by: int) -> None:
            for n in range(100):
                await s.send("a", {"by": by, "n": n})
                if n % 10 == by:
                    await s.ask("a", {"by": by, "n": -1}, timeout=SOON)

        async with asyncio.timeout(3 * SOON):
            await asyncio.gather(*map(send, range(4)))
            await s.ask("a", {"by": 4}, timeout=SOON)  # behind all of them
        for by in range(4):
            mine = [each.payload["n"] for each in a.got[:-1] if each.payload["by"] == by]
            assert [n for n in mine if n >= 0] == list(range(100))
            assert mine.count(-1) == 10
        assert s.dropped == {}
        assert s.lost == 0
