"""What the counters of a node tell of its agents."""

from __future__ import annotations

import asyncio

import pytest

from civitas import ErrorAction, Message
from civitas._node.crashes import Crashes
from civitas.errors import (
    AgentError,
    MailboxFullError,
)
from support.agents import Gate, Scripted, echo, fail, runtime, until
from support.virtual_time import on_virtual_time


async def test_the_counters_tell_what_happened() -> None:
    skipping = Scripted("a", fail, ErrorAction.SKIP)
    async with runtime(skipping, Scripted("b", echo)) as r:
        await r.send("a", {})
        with pytest.raises(AgentError):
            await r.ask("a", {})
        await r.ask("b", {})
        stats = r.stats()
    a, b = stats.agents
    assert (stats.sent, stats.delivered, stats.dropped) == (3, 3, {})
    assert (a.handled, a.errors, a.restarts) == (2, 2, 0)
    assert (b.handled, b.errors, b.mailbox_depth) == (1, 0, 0)
    assert stats.process == "supervisor"
    assert len(stats.node) == 16


@on_virtual_time
async def test_an_ask_counts_as_sent_when_it_was_handed_over_though_no_answer_came() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate, mailbox_size=1)) as r:
        with pytest.raises(TimeoutError):
            await r.ask("a", {}, timeout=0.01)
        await r.send("a", {})
        with pytest.raises(MailboxFullError):
            await r.ask("a", {}, timeout=0.01)
        assert r.stats().sent == 2
        gate.opened.set()


async def test_a_message_in_hand_is_told_with_its_time_where_that_is_known() -> None:
    gate = Gate()
    async with runtime(Scripted("a", gate)) as r:
        assert r.stats().agents[0].in_hand == ""
        await r.send("a", {}, message_type="order")
        await r.send("a", {}, message_type="bill")
        await gate.entered.wait()
        first = r.stats().agents[0]
        gate.entered.clear()
        gate.opened.set()
        gate.opened = asyncio.Event()
        await gate.entered.wait()
        second = r.stats().agents[0]
        gate.opened.set()
        await until(lambda: r.stats().agents[0].handled == 2)
        idle = r.stats().agents[0]
    assert (first.in_hand, first.mailbox_depth) == ("order", 1)
    assert first.in_hand_for is not None
    assert 0 <= first.in_hand_for <= first.busy
    assert (second.in_hand, second.in_hand_for) == ("bill", None)
    assert second.in_hand_id != first.in_hand_id
    assert (idle.in_hand, idle.in_hand_id, idle.in_hand_for) == ("", "", None)


@on_virtual_time
async def test_busy_is_the_time_with_something_to_do_over_all_objects() -> None:
    async def work(agent: Scripted, message: Message) -> None:
        await asyncio.sleep(message.payload["seconds"])
        if message.type == "crash":
            raise ValueError("no good")

    async with runtime(Scripted("a", work), Scripted("b")) as r:
        await r.send("a", {"seconds": 0.02})
        await until(lambda: r.stats().agents[0].handled == 1)
        await until(lambda: r.stats().agents[0].in_hand == "")
        first = r.stats().agents[0].busy
        await r.send("a", {"seconds": 0.02}, message_type="crash")
        await until(lambda: r.stats().restarts == 1)
        second = r.stats().agents[0].busy
        idle = r.stats().agents[1].busy
    assert (first, second, idle) == pytest.approx((0.02, 0.04, 0.0))


async def test_the_last_crash_of_an_agent_is_told_though_it_runs_again() -> None:
    async with runtime(Scripted("a", fail), Scripted("b")) as r:
        assert r.stats().crashes == ()
        await r.send("a", {})
        await until(lambda: r.stats().restarts == 1 and r.stats().agents[0].state == "running")
        [crash] = r.stats().crashes
    assert (crash.agent, crash.text) == ("a", "ValueError: no good")
    assert 0 <= crash.seconds < 10


def test_the_crashes_of_the_agents_that_crashed_last_are_kept() -> None:
    crashes = Crashes()
    for number in range(250):
        crashes.add(f"agent_{number}", ValueError("x" * 10_000))
    crashes.add("agent_60", ValueError("once more"))
    kept = crashes.stats()
    assert (len(kept), kept[0].agent, kept[-1].agent) == (200, "agent_50", "agent_60")
    assert max(len(each.text.encode()) for each in kept) == 1_000
