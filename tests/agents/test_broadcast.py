"""Broadcast: to every agent whose name matches, whichever node hosts it."""

from __future__ import annotations

import asyncio
from typing import Any

from civitas import Message
from support.agents import SOON, Gate, Scripted, echo


async def test_it_reaches_every_agent_that_matches_and_no_other(system: Any) -> None:
    agents = [Scripted(name, echo) for name in ("worker_1", "worker_2", "lead", "worker_3")]
    async with system(*agents) as s:
        await s.broadcast("worker_*", {"go": True})
        for agent in agents:
            await s.ask(agent.name, {})
    assert [len(agent.got) for agent in agents] == [2, 2, 1, 2]


async def test_names_with_dots_are_asked_and_broadcast_to_and_taken_for_no_others(
    system: Any,
) -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message | None:
        if "broadcast" in message.payload:
            await agent.broadcast(message.payload["broadcast"], {"from": agent.name})
        if "ask" not in message.payload:
            return await echo(agent, message) if message.reply_to else None
        return agent.reply((await agent.ask(message.payload["ask"], {})).payload)

    names = ["workers.eu.1", "workers.eu.2", "workers", "workers_eu_1"]
    agents = [Scripted(name, pass_on) for name in names]
    async with system(*agents) as s:
        for name in names:
            assert (await s.ask(name, {}, timeout=SOON)).payload["from"] == name
            for other in set(names) - {name}:
                reply = await s.ask(name, {"ask": other}, timeout=SOON)
                assert (reply.sender, reply.payload["from"]) == (name, other)
        await s.broadcast("workers.*", {"from": "outside"})
        await s.ask("workers", {"broadcast": "*.eu.*"}, timeout=SOON)
        for name in names:
            await s.ask(name, {}, timeout=SOON)
    for agent in agents:
        heard = [m.payload["from"] for m in agent.got if "from" in m.payload]
        assert heard == (["outside", "workers"] if agent.name in names[:2] else [])


async def test_an_agent_reaches_the_others_and_itself(system: Any) -> None:
    async def spread_word(agent: Scripted, message: Message) -> Message | None:
        if message.payload.get("begin"):
            await agent.broadcast("*", {"from": agent.name})
        return agent.reply({}) if message.reply_to else None

    agents = [Scripted(name, spread_word) for name in ("a", "b", "c")]
    async with system(*agents) as s:
        await s.ask("b", {"begin": True}, timeout=SOON)
        for agent in agents:
            await s.ask(agent.name, {})
    for agent in agents:
        assert sum(m.payload == {"from": "b"} for m in agent.got) == 1


async def test_nobody_that_matches_is_no_error(system: Any) -> None:
    agent = Scripted("a", echo)
    async with system(agent) as s:
        await s.broadcast("nobody_*", {"to": "nobody"})
        await s.ask("a", {"to": "a"})
    assert [message.payload["to"] for message in agent.got] == ["a"]


async def test_it_reaches_the_others_when_one_has_no_room(system: Any) -> None:
    gate = Gate()
    full, other = Scripted("w_full", gate, mailbox_size=1), Scripted("w_other", echo)
    async with system(full, other, send_timeout=0.1) as s:
        await s.fill("w_full")
        with s.finding_no_room():
            await s.broadcast("w_*", {})
        await s.ask("w_other", {})
        gate.opened.set()
        await asyncio.wait_for(s.ask("w_full", {}), SOON)
    assert len(other.got) == 2


async def test_an_agent_that_has_ended_is_not_among_those_who_match(system: Any) -> None:
    async def leave(agent: Scripted, message: Message) -> Message:
        agent.stop()
        return agent.reply({})

    b = Scripted("b", echo)
    async with system(Scripted("a", leave), b, Scripted("c", echo)) as s:
        await s.ask("a", {})
        registries = [node.components.registry for node in s.nodes]
        async with asyncio.timeout(SOON):
            while any(registry.has("a") for registry in registries):
                await asyncio.sleep(0.005)
        await s.broadcast("*", {})
        await s.ask("b", {})
    assert len(b.got) == 2
