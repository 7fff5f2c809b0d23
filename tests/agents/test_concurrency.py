"""Several messages in hand of one agent, on every transport."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import ErrorAction, Message
from civitas.errors import AgentError
from support.agents import SOON, Scripted, echo, until
from support.gates import Gates, asking, send_all


async def test_several_are_in_hand_at_once_and_begun_in_their_order(system: Any) -> None:
    gates = Gates()
    async with system(Scripted("a", gates, concurrency=3)) as s:
        await send_all(s, 5)
        await gates.are(0, 1, 2)
        gates.open(1)
        await gates.are(0, 1, 2, 3)
        gates.open(0, 2, 3, 4)
        await until(lambda: len(gates.ended) == 5)
        assert gates.entered == [0, 1, 2, 3, 4]
        assert gates.ended[0] == 1


async def test_each_asker_gets_the_answer_to_its_own_message(system: Any) -> None:
    async def ask_on(agent: Scripted, message: Message) -> Message:
        answer = await agent.ask("b", message.payload, timeout=SOON)
        return agent.reply(answer.payload["echo"])

    agents = Scripted("a", ask_on, concurrency=4), Scripted("b", echo, concurrency=2)
    async with system(*agents) as s:
        asks = [s.ask("a", {"n": n}, timeout=SOON) for n in range(30)]
        assert [each.payload["n"] for each in await asyncio.gather(*asks)] == list(range(30))


async def test_an_error_is_that_of_its_own_message(system: Any) -> None:
    gates = Gates()
    gates.raises[1] = ValueError("no good")
    async with system(Scripted("a", gates, ErrorAction.SKIP, concurrency=3)) as s:
        asks = [asking(s, 0), asking(s, 1), asking(s, 2)]
        await until(lambda: len(gates.entered) == 3)
        gates.open(0, 1, 2)
        with pytest.raises(AgentError, match="no good"):
            await asks[1]
        assert [(await asks[n]).payload["n"] for n in (0, 2)] == [0, 2]


async def test_a_crash_lets_the_others_finish_and_then_the_agent_goes_on(system: Any) -> None:
    gates = Gates()
    gates.raises[1] = ValueError("no good")
    async with system(Scripted("a", gates, concurrency=2)) as s:
        first, second = asking(s, 0), asking(s, 1)
        await until(lambda: len(gates.entered) == 2)
        third = asking(s, 2)
        gates.open(1)
        with pytest.raises(AgentError, match="no good"):
            await second
        gates.open(0, 2)
        assert [(await each).payload["n"] for each in (first, third)] == [0, 2]
        await until(lambda: s.restarts == 1)


async def test_a_stop_in_order_drains_with_all_of_them(system: Any) -> None:
    gates = Gates()
    gates.open(*range(20))
    async with system(Scripted("a", gates, concurrency=3)) as s:
        await send_all(s, 20)
        if s.place.at_least_once:
            await until(lambda: len(gates.ended) == 20)
    assert gates.entered == list(range(20))
