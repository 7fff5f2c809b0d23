"""Agents on an at-least-once transport: what is acknowledged, what is given back, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import ErrorAction, Message, envelope
from civitas.messages import REPLY_PREFIX
from civitas.process import ProcessStatus
from support.agents import BRIEFLY, SOON, Gate, Scripted, echo, fail, until
from support.ledger import Ledger, LedgerTransport, attempts, running


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


# --- acknowledged ---------------------------------------------------------------------------------


async def test_a_message_is_kept_until_the_agent_has_processed_it(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        assert len(ledger.kept("a")) == 1
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))
        stats = runtime.stats()
    assert (stats.sent, stats.delivered, stats.dropped) == (1, 1, {})


async def test_frames_are_not_numbered_and_wait_for_no_credit(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        for n in range(1_000):
            await runtime.send("a", {"n": n})
        assert {envelope.open(frame).number for frame in ledger.kept("a")} == {0}
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))


async def test_a_message_that_is_skipped_is_done_with(ledger: Ledger) -> None:
    agent = Scripted("a", fail, ErrorAction.SKIP)
    async with running(ledger, agent) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
        assert attempts(agent) == [(1, 0)]
        assert ledger.dead_letters == []


async def test_a_message_that_has_expired_is_done_with_and_counted(ledger: Ledger) -> None:
    gate = Gate()
    async with running(ledger, Scripted("a", gate)) as runtime:
        await runtime.send("a", {})
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await runtime.ask("a", {}, timeout=BRIEFLY)
        assert len(ledger.kept("a")) == 2
        gate.opened.set()
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().dropped == {"expired before it was handled": 1}


async def test_an_answer_is_sent_before_its_question_is_done_with(ledger: Ledger) -> None:
    kept: list[int] = []

    class Watched(LedgerTransport):
        async def publish(self, address: str, data: bytes) -> None:
            if address.startswith(REPLY_PREFIX):
                kept.append(len(ledger.kept("a")))
            await super().publish(address, data)

    async with running(ledger, Scripted("a", echo), transport=Watched(ledger)) as runtime:
        await runtime.ask("a", {}, timeout=SOON)
    assert kept == [1]


# --- given back -----------------------------------------------------------------------------------


async def test_a_message_that_crashes_its_agent_is_given_again_and_then_no_more(
    ledger: Ledger,
) -> None:
    seen: list[tuple[int, int]] = []

    async def fail_on_one(agent: Scripted, message: Message) -> None:
        seen.append((message.payload["n"], message.attempt))
        if message.payload["n"] == 1:
            raise ValueError("no good")

    async with running(ledger, Scripted("a", fail_on_one)) as runtime:
        for n in range(3):
            await runtime.send("a", {"n": n})
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().restarts == 2
        assert runtime.stats().delivered == 4
    assert seen == [(0, 0), (1, 0), (1, 1), (2, 0)]
    [dead] = ledger.dead_letters
    assert dead.reason == "agent 'a' failed to process it: ValueError: no good"


async def test_retries_of_the_agent_are_attempts_of_one_delivery(ledger: Ledger) -> None:
    made: list[Scripted] = []

    class Kept(Scripted):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            made.append(self)

    agent = Kept("a", fail, ErrorAction.RETRY, max_retries=2)
    async with running(ledger, agent) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
    first, again = (each.got for each in made[:2])  # the third got nothing
    assert len(first) == len(again) == 3
    assert (first[0].attempt, again[0].attempt) == (2, 3)  # each object's last, of one message


async def test_a_message_that_stops_its_agent_is_left_for_the_next_one(ledger: Ledger) -> None:
    first, second = Scripted("a", fail, ErrorAction.STOP), Scripted("a")
    async with running(ledger, first, Scripted("b")) as runtime:
        await runtime.send("a", {"n": 1})
        await until(lambda: not runtime.components.registry.has("a"))
        assert len(ledger.kept("a")) == 1
        assert runtime.stats().dropped == {}
    async with running(ledger, second):
        await until(lambda: not ledger.kept("a"))
    assert attempts(second) == [(1, 1)]


async def test_what_can_not_be_read_is_a_dead_letter_at_once_and_counted_once(
    ledger: Ledger,
) -> None:
    agent = Scripted("a")
    async with running(ledger, agent) as runtime:
        transport, origin = runtime.components.transport, runtime.components.origin
        junk = [b"hello", b"\xc1" * 40, envelope.seal(b"{", "json", origin)]
        for frame in (*junk, envelope.seal(b"", "unheard-of", origin)):
            await transport.publish("a", frame)
        await runtime.send("a", {"n": 1})
        await until(lambda: not ledger.kept("a"))
        assert runtime.stats().dropped == {"unreadable frame": 2, "unreadable deserialization": 2}
    assert [dead.frame for dead in ledger.dead_letters[:3]] == junk
    assert len(ledger.dead_letters) == 4
    assert attempts(agent) == [(1, 0)]


async def test_earlier_deliveries_of_this_nodes_own_frames_count_as_attempts(
    ledger: Ledger,
) -> None:
    async with running(ledger, Scripted("a")) as runtime:
        bus = runtime.components.bus
        body = runtime.components.serializer.serialize(Message())
        for reply_to in ("", "_reply.x.1"):
            frame = envelope.seal(body, "msgpack", bus.origin, reply_to=reply_to)
            assert bus.read(envelope.with_attempt(frame, 0)).attempt == 0
            assert bus.read(envelope.with_attempt(frame, 3)).attempt == 3


async def test_a_restart_keeps_the_message_that_waits_for_the_fresh_object(
    ledger: Ledger,
) -> None:
    seen: list[int] = []

    async def script(agent: Scripted, message: Message) -> None:
        seen.append(message.payload["n"])
        if message.payload["n"] == 0 and not message.attempt:
            raise ValueError("crash")

    async with running(ledger, Scripted("a", script), backoff_base=0.1) as runtime:
        for n in range(3):
            await runtime.send("a", {"n": n})
        await until(lambda: runtime.stats().agents[0].mailbox_depth == 1)
        assert runtime.stats().agents[0].status is ProcessStatus.CRASHED
        await until(lambda: not ledger.kept("a"))
    assert seen == [0, 0, 1, 2]


async def test_a_task_of_an_agent_that_somebody_cancels_has_failed(ledger: Ledger) -> None:
    async def cancel_itself(agent: Scripted, message: Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with running(ledger, Scripted("a", cancel_itself)) as runtime:
        await runtime.send("a", {})
        await until(lambda: not ledger.kept("a"))
        assert len(ledger.dead_letters) == 1
