"""Crashes: whatever a handler raises is a crash, and who asked hears of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from civitas import Message
from civitas.errors import AgentError, UnansweredError
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, until
from support.raising import RAISED


async def raise_it(agent: Scripted, message: Message) -> Message:
    kind = message.payload.get("raise")
    if kind is not None:
        raise RAISED[kind][0]()
    return agent.reply({})


async def test_whatever_a_handler_raises_is_a_crash_and_who_asked_hears_of_it(system: Any) -> None:
    crashed: list[str] = []
    async with system(Scripted("a", raise_it), max_restarts=1000) as s:
        s.on_crash(lambda name, error: crashed.append(name))
        for number, (kind, (_, said)) in enumerate(RAISED.items(), start=1):
            with pytest.raises(AgentError) as caught:
                await s.ask("a", {"raise": kind}, timeout=SOON)
            text = f"{caught.value.error_type}: {caught.value.error_text}"
            assert text.startswith(said.format(hook="handle")), kind
            assert (await s.ask("a", {}, timeout=SOON)).payload == {}, kind
            assert s.agent("a").status is ProcessStatus.RUNNING
            assert s.restarts == number
        await until(lambda: len(crashed) == len(RAISED))
        assert s.dropped == {}


async def test_whatever_a_handler_raises_a_message_that_nobody_asked_holds_nobody_up(
    system: Any,
) -> None:
    async with system(Scripted("a", raise_it), max_restarts=1000) as s:
        for kind in RAISED:
            await s.send("a", {"raise": kind})
            assert (await s.ask("a", {}, timeout=SOON)).payload == {}, kind
        await until(lambda: s.restarts == len(RAISED) * s.place.deliveries)
        assert (await s.ask("a", {}, timeout=SOON)).payload == {}


async def test_a_name_that_the_asked_agent_could_not_find_is_not_that_of_the_asked_agent(
    system: Any,
) -> None:
    async def ask_nobody(agent: Scripted, message: Message) -> Message:
        if message.payload["ask"]:
            return await agent.ask("nobody", {}, timeout=SOON)
        await agent.send("nobody", {})
        return agent.reply({})

    agent = Scripted("a", ask_nobody)
    async with system(agent, max_restarts=1000) as s:
        for ask in (True, False):
            with pytest.raises(AgentError, match=r"'a'.*MessageRoutingError: .*'nobody'"):
                await s.ask("a", {"ask": ask}, timeout=SOON)


async def test_who_asks_and_gets_nothing_hears_so_at_once(system: Any, caplog: Any) -> None:
    async def say_nothing(agent: Scripted, message: Message) -> None:
        return None

    agent = Scripted("a", say_nothing)
    async with system(agent) as s:
        for kind in ("first", "first", "second"):
            with pytest.raises(
                UnansweredError, match=rf"'a'.*'{kind}'.*self\.reply.*self\.defer"
            ) as caught:
                await s.ask("a", {}, kind, timeout=SOON)
            assert (caught.value.agent, caught.value.code) == ("a", "unanswered")
        assert agent.status is ProcessStatus.RUNNING
        assert s.restarts == 0
    warned = [r.message for r in caplog.records if "handle returned nothing" in r.message]
    assert len(warned) == 2  # one for each type
