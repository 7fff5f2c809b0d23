"""Full mailboxes: senders wait, in order and not for ever, and a crash loses nobody."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Message
from civitas.errors import (
    MailboxFullError,
)
from support.agents import Gate, Scripted, runtime


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
