"""Full mailboxes: senders wait, in order and not for ever, wherever the slow agent lives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message
from civitas._bus.windows import WINDOW
from civitas.errors import AgentError, MailboxFullError
from support.agents import SOON, Gate, Scripted, echo, until
from support.system import PLENTY


async def test_a_full_agent_is_an_error_after_send_timeout_and_what_was_accepted_arrives(
    system: Any,
) -> None:
    gate = Gate()
    agent = Scripted("a", gate, mailbox_size=10)
    async with system(agent, send_timeout=0.2) as s:
        accepted = await s.fill("a")
        assert accepted <= 10 + 1 + WINDOW
        with s.finding_no_room(match=r"'a'.*0\.2 s"):
            await s.send("a", {"n": accepted})
            accepted += 1
        gate.opened.set()
        await s.ask("a", {"n": accepted})
        assert s.lost == 0
        assert s.dropped == {}
    assert [m.payload["n"] for m in agent.got] == list(range(accepted + 1))


async def test_senders_that_wait_get_in_when_there_is_room(system: Any) -> None:
    gate = Gate()
    agent = Scripted("a", gate, mailbox_size=1)
    async with system(agent) as s:
        sends = [asyncio.create_task(s.send("a", {"n": n})) for n in range(2 * WINDOW)]
        await gate.entered.wait()
        await asyncio.sleep(0)
        if s.place.at_least_once:
            await asyncio.gather(*sends)
        else:
            assert not all(send.done() for send in sends)
        gate.opened.set()
        await asyncio.gather(*sends)
        await s.ask("a", {"n": 2 * WINDOW})
    assert [m.payload["n"] for m in agent.got] == list(range(2 * WINDOW + 1))


async def test_the_timeout_of_ask_covers_the_wait_for_room(system: Any) -> None:
    gate = Gate()
    async with system(Scripted("a", gate, mailbox_size=1), send_timeout=0.1) as s:
        await s.fill("a")
        with pytest.raises(TimeoutError, match=r"'a'.*0\.\d+ s") as caught:
            await s.ask("a", {}, timeout=0.05)
        assert isinstance(caught.value, MailboxFullError) is not s.place.at_least_once
        gate.opened.set()
        await s.ask("a", {}, timeout=SOON)


async def test_an_ask_that_waits_for_room_is_answered_once_there_is(system: Any) -> None:
    gate = Gate()
    async with system(Scripted("a", gate, mailbox_size=1), send_timeout=0.1) as s:
        await s.fill("a")
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await asyncio.sleep(0)
        gate.opened.set()
        assert (await asking).payload == {}


async def test_a_cancelled_sender_does_not_hold_up_those_behind_it(system: Any) -> None:
    gate = Gate()
    agent = Scripted("a", gate, mailbox_size=1)
    async with system(agent, send_timeout=0.1) as s:
        accepted = await s.fill("a")
        for node in s.nodes:
            node.components.bus.send_timeout = SOON
        first = asyncio.create_task(s.send("a", {"n": "cancelled"}))
        second = asyncio.create_task(s.send("a", {"n": "second"}))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.wait((first,))
        gate.opened.set()
        await asyncio.wait_for(second, SOON)
        await s.ask("a", {"n": "last"})
        assert s.lost == 0
    got = [m.payload["n"] for m in agent.got]
    if s.place.at_least_once and "cancelled" in got:
        got.remove("cancelled")  # it did not have to wait
    assert got == [*range(accepted), "second", "last"]


async def test_a_send_to_oneself_on_a_full_mailbox_fails_at_once(system: Any) -> None:
    async def flood(agent: Scripted, message: Message) -> Message | None:
        if message.reply_to is None:
            return None
        for n in range(PLENTY):
            await agent.send("a", {"n": n})
        return agent.reply({})

    agent = Scripted("a", flood, mailbox_size=3)
    async with system(agent) as s:
        if s.place.at_least_once:
            await s.ask("a", {}, timeout=SOON)
            await until(lambda: len(agent.got) == PLENTY + 1)
            return
        with pytest.raises(AgentError, match="MailboxFullError.*only it can make room"):
            await s.ask("a", {}, timeout=SOON)


async def test_a_cycle_of_full_mailboxes_ends_in_an_error_not_in_a_deadlock(system: Any) -> None:
    failed = asyncio.Event()

    async def push(agent: Scripted, message: Message) -> None:
        other = "b" if agent.name == "a" else "a"
        try:
            for _ in range(message.payload.get("times", 0)):
                if not failed.is_set():
                    await agent.send(other, {})
        except MailboxFullError:
            failed.set()

    a, b = (Scripted(name, push, mailbox_size=1) for name in "ab")
    async with system(a, b, send_timeout=0.1) as s:
        times = PLENTY if s.place.at_least_once else 4 * WINDOW  # there it never comes to it
        await s.send("a", {"times": times})
        await s.send("b", {"times": times})
        if not s.place.at_least_once:
            await asyncio.wait_for(failed.wait(), SOON)
        a.script = b.script = echo
        for name in ("a", "b"):
            assert (await s.ask(name, {}, timeout=SOON)).payload["from"] == name


async def test_one_slow_agent_delays_no_other_of_its_process(system: Any) -> None:
    gate = Gate()
    slow, quick = Scripted("slow", gate, mailbox_size=1), Scripted("quick", echo)
    others = [Scripted(f"other_{n}") for n in range(2)]  # so that quick is where slow is
    async with system(slow, *others, quick, send_timeout=0.1) as s:
        await s.fill("slow")
        for n in range(100):
            assert (await s.ask("quick", {"n": n}, timeout=SOON)).payload["echo"] == {"n": n}
        gate.opened.set()


async def test_a_backed_up_agent_can_still_ask_and_is_answered(system: Any) -> None:
    entered, opened = asyncio.Event(), asyncio.Event()

    async def consult(agent: Scripted, message: Message) -> Message | None:
        entered.set()
        await opened.wait()
        answer = await agent.ask("oracle", {}, timeout=SOON)
        agent.state.setdefault("answers", []).append(answer.payload["from"])
        return agent.reply({}) if message.reply_to else None

    agent = Scripted("a", consult, mailbox_size=3)
    async with system(agent, Scripted("oracle", echo), send_timeout=0.1) as s:
        accepted = await s.fill("a")
        opened.set()
        await until(lambda: s.stats("a").handled == accepted)
    assert agent.state["answers"] == ["oracle"] * accepted


async def test_an_agent_that_feeds_itself_does_not_starve_the_others(system: Any) -> None:
    async def again(agent: Scripted, message: Message) -> None:
        if message.payload["left"]:
            await agent.send("a", {"left": message.payload["left"] - 1})

    async with system(Scripted("a", again), Scripted("x"), Scripted("y"), Scripted("b", echo)) as s:
        await s.send("a", {"left": 200_000})
        await s.ask("b", {}, timeout=SOON)
        assert s.stats("a").handled < 200_000
        s.agent("a").script = None
