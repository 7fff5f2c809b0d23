"""Frames that somebody else made: an answer goes to who asked, and nothing is handled twice.

Whoever may publish to an agent's address can say anything there. Here it is a node of the system
that does, so that it is tried on each transport, over the wire where there is one.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from civitas import Message, envelope
from civitas._bus.codec import FrameCodec
from civitas._bus.windows import WINDOW
from civitas.envelope import KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM, Origin
from civitas.errors import AgentError
from civitas.serializer import MsgpackSerializer
from civitas.transport import published_at
from support.agents import SOON, Gate, Scripted, echo, until
from support.system import PLACES, SPREAD, System

NO_REPLY_ADDRESS = "an answer is expected where no answers go"
REPEATED = "a message that had come before"
BEYOND = "numbered beyond its sender's window"

NUMBERED = [name for name in SPREAD if PLACES[name][0] and not name.startswith("jetstream")]
"""The places where frames for the first agent have numbers."""


class Forger:
    """Publishes, by the transport of the first node, in the name of any node."""

    def __init__(self, system: System, origin: Origin | None = None) -> None:
        self.origin = origin or Origin(os.urandom(8), 1)
        self.transport = system.runtime.components.transport
        self.codec = FrameCodec(MsgpackSerializer(), (), self.origin)

    def frame(
        self, *, kind: int = KIND_MESSAGE, number: int = 0, reply_to: str = "", **fields: Any
    ) -> bytes:
        body = MsgpackSerializer().serialize(Message(**fields))
        return envelope.seal(
            body, "msgpack", self.origin, kind=kind, number=number, reply_to=reply_to
        )

    async def publish(self, address: str, frame: bytes) -> None:
        await self.transport.publish(address, frame)


async def later(agent: Scripted, message: Message) -> None:
    await agent.defer().reply({"deferred": True})


@pytest.mark.parametrize("answering", [echo, later], ids=["at once", "later"])
async def test_an_answer_goes_to_no_address_but_one_for_answers(
    system: Any, answering: Any
) -> None:
    a, b = Scripted("a", answering), Scripted("b", echo)
    others = ("b", "a", "_agency.nodes", "_reply", "_reply.b", "_reply.0123456789abcdef")
    async with system(a, b) as s:
        forger = Forger(s)
        for reply_to in others:
            await forger.publish("a", forger.frame(reply_to=reply_to))
        await until(lambda: len(a.got) == len(others))
        assert [each.reply_to for each in a.got] == [None] * len(others)
        assert s.dropped == {NO_REPLY_ADDRESS: len(others)}
        assert (await s.ask("b", {}, timeout=SOON)).payload["from"] == "b"
        assert len(a.got) == len(others)
        assert len(b.got) == 1


async def test_an_address_in_the_body_is_none(system: Any) -> None:
    a, b = Scripted("a", echo), Scripted("b", echo)
    async with system(a, b) as s:
        forger = Forger(s)
        body = MsgpackSerializer().serialize(Message(reply_to="b"))
        for address in ("", "b"):
            await forger.publish(
                "a", envelope.seal(body, "msgpack", forger.origin, reply_to=address)
            )
        await forger.publish("a", forger.codec.numbered(0, body))
        await until(lambda: len(a.got) == 3)
        assert [each.reply_to for each in a.got] == [None] * 3
        assert s.dropped == {NO_REPLY_ADDRESS: 3}
        await s.ask("b", {}, timeout=SOON)
        assert len(b.got) == 1


async def test_what_can_not_be_read_is_refused_to_nobody_but_who_asked(system: Any) -> None:
    a, b = Scripted("a", echo), Scripted("b", echo)
    async with system(a, b) as s:
        forger = Forger(s)
        for reply_to in ("b", "_agency.nodes", "_reply.b"):
            frame = envelope.seal(b"junk", "msgpack", forger.origin, reply_to=reply_to)
            await forger.publish("a", frame)
        await until(lambda: sum(s.dropped.values()) >= 3)
        await s.ask("b", {}, timeout=SOON)
        assert len(b.got) == 1
        assert a.got == []


async def test_an_agent_takes_no_replies_and_answers_none(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:
        forger = Forger(s)
        inbox = "_reply.0123456789abcdef.1"
        await forger.publish("a", forger.frame(kind=KIND_REPLY, reply_to=inbox))
        await s.ask("a", {}, timeout=SOON)
        assert len(a.got) == 1
        assert sum(s.dropped.values()) == 1


async def test_an_answer_of_another_node_is_dropped_and_that_of_the_asked_one_counts(
    system: Any,
) -> None:
    gate = Gate()
    a = Scripted("a", gate)
    async with system(a) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        [request] = a.got
        assert request.reply_to is not None
        where = published_at(request.reply_to)
        forger, asked = Forger(s), Forger(s, s.node_of("a").components.origin)
        forged = {"type": "reply", "payload": {"forged": True}}
        reply_to = request.reply_to
        await forger.publish(where, forger.frame(kind=KIND_REPLY, reply_to=reply_to, **forged))
        for kind in (KIND_MESSAGE, KIND_SYSTEM):
            await asked.publish(where, asked.frame(kind=kind, reply_to=reply_to, **forged))
        await until(lambda: sum(s.dropped.values()) == 3)
        assert s.dropped == {
            "reply from another node than the asked one": 1,
            "no reply, at a reply address": 2,
        }
        gate.opened.set()
        assert (await asking).payload == {}


async def test_an_error_of_another_node_fails_no_ask(system: Any) -> None:
    gate = Gate()
    a = Scripted("a", gate)
    async with system(a) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await gate.entered.wait()
        reply_to = a.got[0].reply_to
        assert reply_to is not None
        forger = Forger(s)
        error = {"kind": "agent", "agent": "a", "error_type": "E", "error_text": "forged"}
        frame = forger.frame(
            kind=KIND_REPLY, reply_to=reply_to, type="_agency.error", payload=error
        )
        await forger.publish(published_at(reply_to), frame)
        await until(lambda: sum(s.dropped.values()) == 1)
        gate.opened.set()
        assert (await asking).payload == {}


async def test_an_agent_that_answers_in_another_agents_node_says_so_to_nobody(system: Any) -> None:
    """Who was asked answers: passed on to another node, a reply address is worth nothing."""

    async def pass_on(agent: Scripted, message: Message) -> Message | None:
        if agent.name == "a":
            await agent.send("b", {"reply_to": message.reply_to})
            agent.kept = agent.defer()  # type: ignore[attr-defined]
            return None
        await agent.send(message.payload["reply_to"], {"by": "b"})
        return None

    a, b = Scripted("a", pass_on), Scripted("b", pass_on)
    async with system(a, b) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await until(lambda: len(b.got) == 1)
        if s.node_of("a") is not s.node_of("b"):
            await until(lambda: sum(s.dropped.values()) == 1)
            await a.kept.fail("over")  # type: ignore[attr-defined]
            with pytest.raises(AgentError, match="over"):
                await asking
        else:
            assert (await asking).payload == {"by": "b"}
            await a.kept.fail("over")  # type: ignore[attr-defined] # a stop waits for it


@pytest.mark.parametrize("place", NUMBERED, indirect=True)
async def test_a_frame_that_comes_again_is_handled_once(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:
        forger = Forger(s, s.runtime.components.origin)
        for number in (1, 1, 2, 1, 2, 3):
            await forger.publish("a", forger.frame(number=number, payload={"n": number}))
        for number in (2**60, 4 + WINDOW):
            await forger.publish("a", forger.frame(number=number, payload={"n": number}))
        await forger.publish("a", forger.frame(number=4, payload={"n": 4}))
        await until(lambda: len(a.got) == 4)
        assert [each.payload["n"] for each in a.got] == [1, 2, 3, 4]
        assert s.dropped == {REPEATED: 3, BEYOND: 2}
        assert s.lost == 0


@pytest.mark.parametrize("place", NUMBERED, indirect=True)
async def test_forged_last_numbers_end_no_stream(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:
        forger = Forger(s, s.runtime.components.origin)
        for number in (2**60, WINDOW, 1):
            last = envelope.header("msgpack", forger.origin, kind=KIND_SYSTEM, number=number)
            await forger.publish("a", last)
        async with asyncio.timeout(SOON):
            for n in range(3 * WINDOW):
                await s.send("a", {"n": n})
            await s.ask("a", {}, timeout=SOON)
        assert [each.payload.get("n") for each in a.got] == [*range(3 * WINDOW), None]
        assert sum(s.dropped.values()) == 1
        assert s.lost == 0


async def test_a_malformed_batch_is_refused_and_the_next_message_arrives(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:
        forger = Forger(s)
        frame = forger.frame(payload={"n": 1})
        whole = envelope.batch([frame])
        broken = (envelope.BATCH, whole[:-1], envelope.batch([whole]), envelope.batch([b"", frame]))
        for each in broken:
            await forger.publish("a", each)
        await until(lambda: sum(s.dropped.values()) == len(broken))
        await s.ask("a", {}, timeout=SOON)
        assert len(a.got) == 1


@pytest.mark.parametrize("place", NUMBERED, indirect=True)
async def test_each_frame_of_a_forged_batch_is_judged_by_itself(system: Any) -> None:
    a = Scripted("a", echo)
    async with system(a) as s:
        forger = Forger(s, s.runtime.components.origin)
        numbers = (1, 1, 2, 2**60, 3)
        frames = [forger.frame(number=number, payload={"n": number}) for number in numbers]
        await forger.publish("a", envelope.batch(frames))
        await until(lambda: len(a.got) == 3)
        assert [each.payload["n"] for each in a.got] == [1, 2, 3]
        assert s.dropped == {REPEATED: 1, BEYOND: 1}
        assert s.lost == 0
