"""What can't be sent, read or answered is an error to the sender at once."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import ErrorAction, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import (
    AgentError,
    DeserializationError,
    MessageRoutingError,
    MessageValidationError,
    NotConnectedError,
    SerializationError,
)
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, echo, fail, runtime

# --- errors to the sender -------------------------------------------------------------------------


async def test_asking_an_agent_that_raises_is_an_agent_error_at_once() -> None:
    async with runtime(Scripted("a", fail)) as r:
        with pytest.raises(AgentError, match="agent 'a'.*ValueError: no good") as caught:
            await r.ask("a", {}, timeout=SOON)
    assert (caught.value.agent, caught.value.error_type, caught.value.error_text) == (
        "a",
        "ValueError",
        "no good",
    )


@pytest.mark.parametrize("action", [ErrorAction.SKIP, ErrorAction.STOP, ErrorAction.RETRY])
async def test_so_it_is_whatever_on_error_decides(action: ErrorAction) -> None:
    async with runtime(Scripted("a", fail, action), Scripted("b")) as r:
        with pytest.raises(AgentError):
            await r.ask("a", {}, timeout=SOON)


async def test_an_unknown_name_is_a_routing_error_with_a_suggestion() -> None:
    async with runtime(Scripted("researcher")) as r:
        for attempt in (r.send("reseacher", {}), r.ask("reseacher", {})):
            with pytest.raises(MessageRoutingError, match="did you mean 'researcher'"):
                await attempt


async def test_a_payload_that_can_not_be_sent_names_the_value_and_nothing_arrives() -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for attempt in (
            r.send("a", {"a": {"b": object()}}),
            r.ask("a", {"a": {"b": object()}}),
        ):
            with pytest.raises(SerializationError, match=r"payload\.a\.b"):
                await attempt
        await r.ask("a", {})
    assert len(agent.got) == 1


async def test_a_reply_that_can_not_be_sent_is_an_error_to_who_asked() -> None:
    async def bad(agent: Scripted, message: Message) -> Message:
        return agent.reply({"x": object()})

    agent = Scripted("a", bad)
    async with runtime(agent) as r:
        with pytest.raises(AgentError, match=r"payload\.x"):
            await r.ask("a", {}, timeout=SOON)
        assert agent.status is ProcessStatus.RUNNING


async def test_reserved_types_are_refused() -> None:
    async with runtime(Scripted("a")) as r:
        for attempt in (r.send("a", {}, "_agency.restart"), r.ask("a", {}, "_agency.x")):
            with pytest.raises(MessageValidationError, match="reserved"):
                await attempt


async def test_an_agent_that_asks_itself_is_told_at_once() -> None:
    async def ask_self(agent: Scripted, message: Message) -> None:
        await agent.ask("a", {}, timeout=SOON)

    async with runtime(Scripted("a", ask_self)) as r:
        with pytest.raises(AgentError, match="MessageValidationError.*asked itself"):
            await r.ask("a", {}, timeout=SOON)


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


async def test_a_frame_that_is_garbage_is_counted_and_the_next_message_arrives() -> None:
    agent = Scripted("a", echo)
    dead: list[tuple[object, str]] = []
    async with runtime(agent) as r:
        r.on_dead_letter(lambda item, reason: dead.append((item, reason)))
        for garbage in (b"", b"\xc1", b"GET / HTTP/1.1\r\n", b"\x93\x01\x02\x03"):
            await r.components.transport.publish("a", garbage)
        await r.ask("a", {})
        assert len(agent.got) == 1
        assert sum(r.stats().dropped.values()) == 4
    assert [item for item, _ in dead] == [b"", b"\xc1", b"GET / HTTP/1.1\r\n", b"\x93\x01\x02\x03"]


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


# --- what is no message ---------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [[1], "text", None, 7])
async def test_a_payload_that_is_no_dict_is_refused_before_it_is_sent(payload: Any) -> None:
    agent = Scripted("a", echo)
    async with runtime(agent) as r:
        for verb in (r.send, r.ask, r.broadcast):
            with pytest.raises(MessageValidationError, match="payload.*is a dict, not"):
                await verb("a", payload)
        await r.ask("a", {})
    assert len(agent.got) == 1


async def test_a_handler_that_returns_no_message_is_told_so_and_so_is_who_asked() -> None:
    async def plain(agent: Scripted, message: Message) -> Any:
        return {"n": 1}

    async with runtime(Scripted("a", plain)) as r:
        with pytest.raises(AgentError, match=r"returned a dict.*self\.reply"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_handler_may_return_a_message_of_its_own_making() -> None:
    async def own(agent: Scripted, message: Message) -> Message:
        return Message(type="reply", payload={"own": True})

    async with runtime(Scripted("a", own)) as r:
        reply = await r.ask("a", {}, timeout=SOON)
    assert reply.payload == {"own": True}
    assert reply.sender == "a"
    assert reply.correlation_id is not None
