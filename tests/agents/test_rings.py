"""Rings of asks: an error at once within a node, and a word in the timeout between nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from civitas import Message
from civitas.errors import AskDeadlockError
from support.agents import SOON, Scripted, echo, until
from support.system import Place

SHORT = 0.2
"""Seconds of an ask that is to time out."""


def one_node(place: Place, names: Sequence[str]) -> bool:
    """Return whether these agents, named by their places in the alphabet, share a node."""
    return len({place.of("abc".index(name)) for name in names}) == 1


async def pass_on(agent: Scripted, message: Message) -> Message:
    """Ask the next one of `way`, and return by name what each has met."""
    way, met = message.payload["way"], {}
    if way:
        try:
            met = (await agent.ask(way[0], {"way": way[1:]}, timeout=SHORT)).payload
        except (AskDeadlockError, TimeoutError) as error:
            met = {agent.name: [type(error).__name__, str(error)]}
    return agent.reply(met)


@pytest.mark.parametrize("way", [["b", "a"], ["b", "c", "a"], ["b", "c", "b"], ["a"]], ids="".join)
async def test_the_last_one_of_a_ring_is_told_at_once_or_all_time_out(
    place: Place, system: Any, way: list[str]
) -> None:
    async with system(*(Scripted(name, pass_on) for name in "abc")) as s:
        met = (await s.ask("a", {"way": way}, timeout=SOON)).payload
    closes = ("a", *way)[-2]
    begin = ("a", *way).index(way[-1])
    ring = ("a", *way)[begin:-1]
    if one_node(place, ring):
        kind, text = met[closes]
        assert kind == "AskDeadlockError"
        named = " -> ".join(repr(each) for each in (closes, *ring))
        assert named in text if len(ring) > 1 else "asked itself" in text
    else:
        assert {kind for kind, _ in met.values()} == {"TimeoutError"}


async def test_of_two_that_ask_each_other_with_other_messages_in_hand_one_is_told(
    place: Place, system: Any
) -> None:
    both = asyncio.Barrier(2)
    met: dict[str, str] = {}

    async def ask_the_other(agent: Scripted, message: Message) -> Message:
        if "begin" in message.payload:
            await both.wait()
            try:
                await agent.ask("ba"["ab".index(agent.name)], {}, timeout=SHORT)
            except (AskDeadlockError, TimeoutError) as error:
                met[agent.name] = type(error).__name__
        return agent.reply({})

    async with system(*(Scripted(name, ask_the_other) for name in "ab")) as s:
        await asyncio.gather(*(s.ask(name, {"begin": 1}, timeout=SOON) for name in "ab"))
        if one_node(place, "ab"):
            assert list(met.values()) == ["AskDeadlockError"]
        else:
            assert set(met.values()) == {"TimeoutError"}
        for name in "ab":
            await s.ask(name, {}, timeout=SOON)


async def test_who_deferred_its_answer_may_ask_who_waits_for_it(system: Any) -> None:
    async def defer_and_ask(agent: Scripted, message: Message) -> None:
        later = agent.defer()
        tasks.append(asyncio.create_task(later.reply({"answer": 1})))
        assert (await agent.ask("a", {"way": []}, timeout=SOON)).payload == {}

    tasks: list[asyncio.Task[None]] = []
    async with system(Scripted("a", pass_on), Scripted("b", defer_and_ask)) as s:
        assert (await s.ask("a", {"way": ["b"]}, timeout=SOON)).payload == {"answer": 1}
        await asyncio.gather(*tasks)
        await s.ask("b", {}, timeout=SOON)


async def test_who_has_answered_may_ask_who_had_asked_it(system: Any) -> None:
    async def answer_by_hand(agent: Scripted, message: Message) -> None:
        assert message.reply_to is not None
        await agent.send(message.reply_to, {"answer": 1})
        assert (await agent.ask("a", {"way": []}, timeout=SOON)).payload == {}
        answered.append(message)

    answered: list[Message] = []
    async with system(Scripted("a", pass_on), Scripted("b", answer_by_hand)) as s:
        for number in range(1, 4):
            answer = await s.ask("a", {"way": ["b"]}, timeout=SOON)
            assert answer.payload == {"answer": 1}
            # Else "a" may ask it once more before it has asked "a".
            await until(lambda number=number: len(answered) == number)


async def test_tasks_of_a_handler_and_others_close_no_ring(system: Any) -> None:
    async def ask_in_a_task(agent: Scripted, message: Message) -> Message:
        tasks.append(asyncio.create_task(agent.ask("a", {"way": []}, timeout=SOON)))
        return agent.reply({})

    tasks: list[asyncio.Task[Message]] = []
    async with system(Scripted("a", pass_on), Scripted("b", ask_in_a_task)) as s:
        asks = (s.ask("a", {"way": ["b"]}, timeout=SOON) for _ in range(20))
        assert [each.payload for each in await asyncio.gather(*asks)] == [{}] * 20
        assert [each.payload for each in await asyncio.gather(*tasks)] == [{}] * 20


async def test_an_agent_asked_twice_at_once_by_another_is_no_ring(system: Any) -> None:
    async def ask_both(agent: Scripted, message: Message) -> Message:
        answers = await asyncio.gather(agent.ask("b", {}), agent.ask("b", {}), agent.ask("c", {}))
        return agent.reply({"answers": len(answers)})

    async with system(Scripted("a", ask_both), Scripted("b", echo), Scripted("c", echo)) as s:
        assert (await s.ask("a", {}, timeout=SOON)).payload == {"answers": 3}


async def test_a_timeout_says_whom_the_asked_agent_itself_waits_for(
    place: Place, system: Any
) -> None:
    silent = asyncio.Event()

    async def keep(agent: Scripted, message: Message) -> Message:
        await silent.wait()
        return agent.reply({})

    async def ask_c(agent: Scripted, message: Message) -> Message:
        return agent.reply((await agent.ask("c", {}, timeout=SOON)).payload)

    async with system(Scripted("a", echo), Scripted("b", ask_c), Scripted("c", keep)) as s:
        first = asyncio.create_task(s.node_of("b").ask("b", {}, timeout=SOON))
        with pytest.raises(TimeoutError) as caught:
            await s.node_of("b").ask("b", {}, timeout=SHORT)
        silent.set()
        await first
    if one_node(place, "bc"):
        assert "'b' itself has waited 0." in str(caught.value)
        assert "s for an answer of 'c'" in str(caught.value)
