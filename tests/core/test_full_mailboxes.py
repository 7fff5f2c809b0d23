"""Full mailboxes: senders wait, in order and not for ever, and a crash loses nobody."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Message
from civitas.errors import (
    AgentError,
    MailboxFullError,
)
from support.agents import SOON, Gate, Scripted, echo, runtime

# --- full mailboxes -------------------------------------------------------------------------------


async def test_a_full_mailbox_makes_a_sender_wait_until_there_is_room() -> None:
    gate = Gate()
    agent = Scripted("a", gate, mailbox_size=1)
    async with runtime(agent) as r:
        await r.send("a", {"n": 0})
        await gate.entered.wait()
        await r.send("a", {"n": 1})
        third = asyncio.create_task(r.send("a", {"n": 2}))
        while r.stats().agents[0].mailbox_depth < 2:
            await asyncio.sleep(0)
        assert not third.done()
        gate.opened.set()
        await third
        await r.ask("a", {"n": 3})
    assert [m.payload["n"] for m in agent.got] == [0, 1, 2, 3]


async def test_a_full_mailbox_is_an_error_after_send_timeout() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1), send_timeout=0.02) as r:
        await r.send("a", {})
        await gate.entered.wait()
        await r.send("a", {})
        with pytest.raises(MailboxFullError, match=r"'a'.*0\.02 s"):
            await r.send("a", {})
        gate.opened.set()


async def test_the_timeout_of_ask_covers_the_wait_for_room() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        await r.send("a", {})
        await gate.entered.wait()
        await r.send("a", {})
        with pytest.raises(MailboxFullError, match=r"0\.02 s") as caught:
            await r.ask("a", {}, timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        gate.opened.set()


async def test_a_send_to_oneself_on_a_full_mailbox_fails_at_once() -> None:
    async def flood(agent: Scripted, message: Message) -> Message | None:
        if message.reply_to is None:
            return None
        for n in range(100):
            await agent.send("a", {"n": n})
        return None

    async with runtime(Scripted("a", flood, mailbox_size=3)) as r:
        with pytest.raises(AgentError, match="MailboxFullError.*only it can make room"):
            await r.ask("a", {}, timeout=SOON)


async def test_a_cycle_of_full_mailboxes_ends_in_errors_not_in_a_deadlock() -> None:
    ended = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def push(agent: Scripted, message: Message) -> None:
        other = "b" if agent.name == "a" else "a"
        try:
            while message.payload.get("push"):
                await agent.send(other, {})
        except MailboxFullError:
            ended[agent.name].set()

    a = Scripted("a", push, mailbox_size=1)
    b = Scripted("b", push, mailbox_size=1)
    async with runtime(a, b, send_timeout=0.05) as r:
        await r.send("a", {"push": True})
        await r.send("b", {"push": True})
        for event in ended.values():
            await asyncio.wait_for(event.wait(), SOON)
        a.script = b.script = echo
        for name in ("a", "b"):
            assert (await r.ask(name, {}, timeout=SOON)).payload["from"] == name


async def test_after_a_crash_everything_queued_is_handled_in_order_and_waiters_get_in() -> None:
    gate = Gate()
    seen: list[int] = []

    async def script(agent: Scripted, message: Message) -> Message | None:
        n = message.payload["n"]
        if n == 0:
            await gate(agent, message)
            raise ValueError("crash")
        seen.append(n)
        return agent.reply({}) if message.reply_to else None

    async with runtime(Scripted("a", script, mailbox_size=2)) as r:
        await r.send("a", {"n": 0})
        await gate.entered.wait()
        await r.send("a", {"n": 1})
        await r.send("a", {"n": 2})
        waiters = []
        for n in (3, 4, 5):
            waiters.append(asyncio.create_task(r.send("a", {"n": n})))
            while r.stats().agents[0].mailbox_depth < n:
                await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(*waiters)
        await r.ask("a", {"n": 6})
        assert r.stats().restarts == 1
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_an_agent_that_feeds_itself_does_not_starve_the_others() -> None:
    async def again(agent: Scripted, message: Message) -> None:
        if message.payload["left"]:
            await agent.send("a", {"left": message.payload["left"] - 1})

    async with runtime(Scripted("a", again), Scripted("b", echo)) as r:
        await r.send("a", {"left": 20_000})
        await r.ask("b", {}, timeout=SOON)
        handled = next(a.handled for a in r.stats().agents if a.name == "a")
        assert handled < 20_000
