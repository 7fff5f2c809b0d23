"""Errors: what can't be sent, read, handled or answered is an error to the sender at once."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import ErrorAction, Message
from civitas.errors import AgentError, MessageRoutingError, SerializationError
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, echo, fail


async def test_asking_an_agent_that_raises_is_an_agent_error_at_once(system: Any) -> None:
    async with system(Scripted("a", fail)) as s:
        with pytest.raises(AgentError, match="agent 'a'.*ValueError: no good") as caught:
            await s.ask("a", {}, timeout=SOON)
    assert (caught.value.agent, caught.value.error_type, caught.value.error_text) == (
        "a",
        "ValueError",
        "no good",
    )


@pytest.mark.parametrize("action", [ErrorAction.SKIP, ErrorAction.STOP, ErrorAction.RETRY])
async def test_so_it_is_whatever_on_error_decides(system: Any, action: ErrorAction) -> None:
    async with system(Scripted("a", fail, action), Scripted("b")) as s:
        with pytest.raises(AgentError):
            await s.ask("a", {}, timeout=SOON)


async def test_an_error_comes_through_the_agents_between(system: Any) -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        try:
            return await agent.ask("b", {}, timeout=SOON)
        except AgentError as error:
            return agent.reply({"caught": error.error_text, "of": error.agent})

    async with system(Scripted("a", pass_on), Scripted("b", fail)) as s:
        reply = await s.ask("a", {}, timeout=SOON)
    assert reply.payload == {"caught": "no good", "of": "b"}


async def test_an_unknown_name_is_a_routing_error_with_a_suggestion(system: Any) -> None:
    async def misspell(agent: Scripted, message: Message) -> Message:
        try:
            await agent.send("reseacher", {})
        except MessageRoutingError as error:
            return agent.reply({"error": str(error)})
        return agent.reply({})

    agents = [Scripted("b", misspell), Scripted("researcher"), Scripted("c", misspell)]
    async with system(*agents) as s:
        for attempt in (s.send("reseacher", {}), s.ask("reseacher", {})):
            with pytest.raises(MessageRoutingError, match="did you mean 'researcher'"):
                await attempt
        for name in ("b", "c"):
            reply = await s.ask(name, {}, timeout=SOON)
            assert "did you mean 'researcher'" in reply.payload["error"]


async def test_a_payload_that_can_not_be_sent_names_the_value_and_nothing_arrives(
    system: Any,
) -> None:
    agent = Scripted("a", echo)
    async with system(agent) as s:
        for attempt in (s.send("a", {"a": {"b": object()}}), s.ask("a", {"a": {"b": object()}})):
            with pytest.raises(SerializationError, match=r"payload\.a\.b"):
                await attempt
        await s.ask("a", {})
        assert s.lost == 0
    assert len(agent.got) == 1


async def test_a_reply_that_can_not_be_sent_is_an_error_to_who_asked(system: Any) -> None:
    async def bad(agent: Scripted, message: Message) -> Message:
        return agent.reply({"x": object()})

    agent = Scripted("a", bad)
    async with system(agent) as s:
        with pytest.raises(AgentError, match=r"payload\.x"):
            await s.ask("a", {}, timeout=SOON)
        assert agent.status is ProcessStatus.RUNNING


async def test_a_handler_that_returns_no_message_is_told_so_and_so_is_who_asked(
    system: Any,
) -> None:
    async def plain(agent: Scripted, message: Message) -> Any:
        return {"n": 1}

    async with system(Scripted("a", plain)) as s:
        with pytest.raises(AgentError, match=r"returned an object of type dict.*self\.reply"):
            await s.ask("a", {}, timeout=SOON)


async def test_a_handler_may_return_a_message_of_its_own_making(system: Any) -> None:
    async def own(agent: Scripted, message: Message) -> Message:
        return Message(type="reply", payload={"own": True})

    async with system(Scripted("a", own)) as s:
        reply = await s.ask("a", {}, timeout=SOON)
    assert reply.payload == {"own": True}
    assert reply.sender == "a"
    assert reply.correlation_id is not None
