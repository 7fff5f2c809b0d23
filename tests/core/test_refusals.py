"""What can't be sent, read or answered is an error to the sender at once."""

from __future__ import annotations

import pytest

from civitas import Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import (
    DeserializationError,
    NotConnectedError,
)
from support.agents import Scripted, echo, runtime


async def test_verbs_outside_a_runtime_say_so() -> None:
    agent = Scripted("a")
    with pytest.raises(NotConnectedError, match="'a'.*not running"):
        await agent.send("b", {})
    with pytest.raises(NotConnectedError, match="not started"):
        await Runtime(Supervisor("root", [agent])).send("a", {})


async def test_reply_outside_of_a_message_says_so() -> None:
    async with runtime(Scripted("a", echo)) as r:
        agent = r.get_agent("a")
        assert agent is not None
        with pytest.raises(RuntimeError, match="there is none now"):
            agent.reply({})


async def test_a_serializer_that_this_node_does_not_read_is_named() -> None:
    sender = build_component_set(serializer="json")
    receiver = build_component_set(serializer="msgpack")
    body = sender.serializer.serialize(Message(payload={"n": 1}))
    from civitas import envelope

    frame = envelope.seal(body, "json", sender.origin)
    with pytest.raises(DeserializationError, match="'json'.*accept_serializers"):
        receiver.bus.read(frame)
    accepting = build_component_set(serializer="msgpack", accept_serializers=["json"])
    assert accepting.bus.read(frame).payload == {"n": 1}
