"""LocalDelivery: what stays within the process is no frame, and who has it can't tell."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from civitas import Message, Runtime, Supervisor, envelope
from civitas.components import build_component_set
from civitas.envelope import KIND_MESSAGE
from civitas.errors import AgentError, NotConnectedError
from civitas.serializer import MsgpackSerializer
from civitas.transport import InProcessTransport, is_reply_address
from support.agents import SOON, Gate, Scripted, echo, until
from support.alone import Alone, Crossing, Framed, FramedAlone


def test_a_message_made_by_hand_may_be_sent_twice_and_is_the_senders_own() -> None:
    async def scenario() -> None:
        agent = Scripted("a")
        async with Runtime(Supervisor("root", [agent])) as runtime:
            message = Message(recipient="a", payload={"n": [1]})
            kept = replace(message, payload={"n": [1]})
            for _ in range(2):
                await runtime.components.bus.send(message)
            await runtime.stop()
        assert agent.got == [kept, kept]
        assert message == kept
        assert agent.got[0].payload["n"] is not agent.got[1].payload["n"]

    asyncio.run(scenario())


async def test_a_receiver_has_a_copy_made_when_it_was_sent() -> None:
    gate, agent = Gate(), Scripted("a")
    agent.script = gate
    async with Runtime(Supervisor("root", [agent])) as runtime:
        payload = {"n": [1], "pair": (1, 2)}
        await runtime.send("a", payload)
        await gate.entered.wait()
        await runtime.send("a", payload)  # waits in the mailbox
        payload["n"] = 2
        gate.opened.set()
        await until(lambda: len(agent.got) == 2)
    first, second = (message.payload for message in agent.got)
    assert first == second == {"n": [1], "pair": [1, 2]}
    assert first["n"] is not second["n"]


async def test_an_answer_is_a_copy_of_what_the_handler_returned() -> None:
    kept: list[Message] = []

    async def answer(agent: Scripted, message: Message) -> Message:
        kept.append(agent.reply(payload))
        return kept[-1]

    payload: dict[str, Any] = {"n": [1]}
    async with Runtime(Supervisor("root", [Scripted("a", answer)])) as runtime:
        said = await runtime.ask("a", {}, timeout=SOON)
        kept[0].payload["n"].append(2)
        kept[0].type = "another"
        assert (said.type, said.payload) == ("reply", {"n": [1]})
        assert said is not kept[0]


async def test_an_answer_that_is_returned_twice_answers_the_second_with_a_copy_of_its_own() -> None:
    replies: list[Message] = []

    async def answer(agent: Scripted, message: Message) -> Message:
        replies.append(replies[0] if replies else agent.reply({"n": 1}))
        return replies[-1]

    async with Runtime(Supervisor("root", [Scripted("a", answer)])) as runtime:
        first = await runtime.ask("a", {}, timeout=SOON)
        second = await runtime.ask("a", {}, timeout=SOON)
    assert first.payload == second.payload == {"n": 1}
    assert first.correlation_id != second.correlation_id


async def test_what_goes_as_a_frame_and_what_does_not_keep_their_order() -> None:
    agent, types = Scripted("a"), ["message", "größe"] * 5
    async with Runtime(Supervisor("root", [agent])) as runtime:
        for number, kind in enumerate(types):
            await runtime.send("a", {"n": number}, kind)
        await runtime.stop()
    assert [(m.payload["n"], m.type) for m in agent.got] == list(enumerate(types))


class Packed:
    """The types of the messages that were packed with all their fields."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.types: list[str] = []
        serialize = MsgpackSerializer.serialize

        def noted(serializer: MsgpackSerializer, message: Message) -> bytes:
            self.types.append(message.type)
            return serialize(serializer, message)

        monkeypatch.setattr(MsgpackSerializer, "serialize", noted)


KEY = {"cluster_key": "a-key-of-a-cluster"}


@pytest.mark.parametrize(
    ("transport", "options"),
    [
        (InProcessTransport, {}),
        (Alone, {}),
        (Crossing, {}),
        (Crossing, KEY),
        (Crossing, {**KEY, "signed_frames": "all"}),
    ],
    ids=["in_process", "network", "several processes", "signed", "all signed"],
)
async def test_only_the_payload_of_what_stays_within_the_process_is_packed(
    transport: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = Packed(monkeypatch)
    components = build_component_set(transport=transport(), **options)
    async with Runtime(Supervisor("root", [Scripted("a", echo)]), components=components) as runtime:
        await runtime.send("a", {})
        assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"
    assert {"message", "reply"}.isdisjoint(packed.types)


@pytest.mark.parametrize("transport", [Framed, FramedAlone])
async def test_a_subclass_that_wants_to_see_each_frame_sees_each(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = Packed(monkeypatch)
    root = Supervisor("root", [Scripted("a", echo)])
    async with Runtime(root, transport=transport()) as runtime:
        await runtime.ask("a", {}, timeout=SOON)
    assert packed.types == ["message", "reply"]


@pytest.mark.parametrize("transport", [InProcessTransport, Alone])
async def test_nothing_is_handed_over_once_the_transport_has_stopped(transport: Any) -> None:
    agent = Scripted("a", echo)
    async with Runtime(Supervisor("root", [agent]), transport=transport()) as runtime:
        await runtime.components.transport.stop()
        for verb in (runtime.send, runtime.ask):
            with pytest.raises(NotConnectedError, match="not started"):
                await verb("a", {})
    assert agent.got == []


async def test_what_can_not_be_read_is_a_dead_letter_as_the_frame_that_it_would_have_been() -> None:
    dead: list[Any] = []
    payload = {"x": msgpack.ExtType(1, b"")}
    async with Runtime(Supervisor("root", [Scripted("a")])) as runtime:
        runtime.on_dead_letter(lambda item, reason: dead.append((item, reason)))
        await runtime.send("a", payload, "odd")
        with pytest.raises(AgentError, match="DeserializationError"):
            await runtime.ask("a", payload, "odd", timeout=SOON)
        assert runtime.stats().dropped == {"unreadable deserialization": 2}
    sent, asked = (envelope.open(item) for item, _ in dead)
    assert (sent.kind, sent.serializer, sent.reply_to) == (KIND_MESSAGE, "msgpack", "")
    assert is_reply_address(asked.reply_to)
    body = msgpack.unpackb(sent.body)
    assert [body[at] for at in (0, 2, 3, 4, 6, 7)] == [
        1, "odd", "_runtime", "a", None, payload,
    ]  # fmt: skip
    assert len(body) == len(Message.__slots__)  # with the schema, without headers
