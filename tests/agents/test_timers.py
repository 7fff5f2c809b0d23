"""Timers: messages of an agent to itself, on a fixed grid, which never come beside a handler."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from civitas import AgentProcess, Message
from civitas.errors import (
    MailboxFullError,
    MessageValidationError,
    NotConnectedError,
    SerializationError,
)
from support.agents import SOON, Gate, Scripted, fail, until


@dataclass
class Flush:
    reason: str


class Ticking(Scripted):
    """Starts its timers in `on_start`, and counts how many messages it handles at once."""

    def __init__(self, name: str, *periods: float, script: Any = None, **kw: Any) -> None:
        super().__init__(name, script, **kw)
        self.periods = periods
        self.timers: list[Any] = []
        self.beside = self.most_beside = 0

    async def on_start(self) -> None:
        self.timers = [self.every(each, {"every": each}, "tick") for each in self.periods]

    async def handle(self, message: Message) -> Message | None:
        self.beside += 1
        self.most_beside = max(self.most_beside, self.beside)
        try:
            return await super().handle(message)
        finally:
            self.beside -= 1

    @property
    def ticks(self) -> list[Message]:
        return [each for each in self.got if each.type == "tick"]


async def test_a_tick_is_a_message_to_oneself(system: Any) -> None:
    async with system(Ticking("a"), Scripted("b")) as s:
        agent = s.agent("a")
        payload = {"n": 1, "list": [1]}
        timer = agent.after(0.01, payload, "tick")
        assert timer.active
        payload["n"] = 2  # it was packed when the timer was made
        await until(lambda: bool(agent.ticks))
        (tick,) = agent.got
        assert tick.payload == {"n": 1, "list": [1]}
        assert (tick.sender, tick.recipient, tick.reply_to) == ("a", "a", None)
        assert not timer.active
        assert s.stats("a").ticks == 1
        assert s.dropped == {}


async def test_a_repeated_timer_ticks_until_it_is_cancelled(system: Any) -> None:
    async with system(Ticking("a", 0.005)) as s:
        agent = s.agent("a")
        await until(lambda: len(agent.ticks) >= 3)
        assert s.stats("a").timers == 1
        agent.timers[0].cancel()
        agent.timers[0].cancel()
        seen = len(agent.ticks)
        done = agent.after(0.02, {}, "end")  # later than some ticks that would have come
        await until(lambda: agent.got[-1].type == "end")
        assert (len(agent.ticks), done.active, s.stats("a").timers) == (seen, False, 0)
        first, second = agent.ticks[0], agent.ticks[1]
        assert len({first.trace_id, second.trace_id}) == len({first.id, second.id}) == 2
        assert first.parent_span_id is second.parent_span_id is None


async def test_a_tick_never_comes_beside_a_handler(system: Any) -> None:
    gate = Gate()

    async def script(agent: Scripted, message: Message) -> Message | None:
        return await gate(agent, message) if message.type == "hold" else None

    async with system(Ticking("a", 0.002, script=script), Scripted("b")) as s:
        agent = s.agent("a")
        await s.send("a", {}, "hold")
        await gate.entered.wait()
        ticks, swallowed = len(agent.ticks), s.stats("a").ticks_swallowed
        await until(lambda: s.stats("a").ticks_swallowed >= swallowed + 3)
        assert len(agent.ticks) == ticks
        assert s.stats("a").mailbox_depth == 1  # one stands for all
        gate.opened.set()
        await until(lambda: len(agent.ticks) > ticks)
        assert agent.most_beside == 1


async def test_a_full_mailbox_refuses_no_tick(system: Any) -> None:
    gate = Gate()
    async with system(
        Ticking("a", script=gate, mailbox_size=2), Scripted("b"), send_timeout=0.05
    ) as s:
        agent = s.agent("a")
        await s.send("a", {}, "hold")
        await gate.entered.wait()
        agent.after(0.001, {}, "tick")
        filled = asyncio.create_task(s.fill("a"))
        accepted = await filled
        await until(lambda: s.stats("a").ticks == 1)
        gate.opened.set()
        await until(lambda: bool(agent.ticks) and len(agent.got) == accepted + 2)
        assert s.dropped == {}


async def test_what_is_wrong_with_a_timer_is_said_at_once(system: Any) -> None:
    async with system(Ticking("a", mailbox_size=2)) as s:
        agent = s.agent("a")
        for wrong in (-1, math.nan, math.inf, True, "5", None, timedelta(seconds=1)):
            for verb in (agent.after, agent.every):
                with pytest.raises(MessageValidationError, match="a finite number of seconds"):
                    verb(wrong, {})
        with pytest.raises(MessageValidationError, match=r"did you mean its total_seconds\(\)"):
            agent.after(timedelta(seconds=1), {})
        with pytest.raises(MessageValidationError, match="every.. takes .* above 0"):
            agent.every(0, {})
        with pytest.raises(MessageValidationError, match="the payload of after"):
            agent.after(1, "text")
        with pytest.raises(MessageValidationError, match="a message_type is text, not dict"):
            agent.after(1, "tick", {})
        with pytest.raises(MessageValidationError, match="reserved"):
            agent.after(1, {}, "_agency.x")
        with pytest.raises(SerializationError, match=r"payload\.x"):
            agent.every(1, {"x": object()})
        for _ in range(2):
            agent.after(60, {})
        with pytest.raises(MailboxFullError, match="has 2 timers, and may have no more"):
            agent.after(60, {})
        assert s.stats("a").timers == 2


def test_an_agent_that_no_runtime_has_started_has_no_timers() -> None:
    for verb in (AgentProcess("a").after, AgentProcess("a").every):
        with pytest.raises(NotConnectedError, match="'a' is not running in a runtime yet"):
            verb(1, {})


async def test_a_tick_may_carry_a_model(system: Any) -> None:
    async with system(Ticking("a")) as s:
        agent = s.agent("a")
        agent.after(0, Flush("now"))
        agent.after(0, Flush("now"), "tick")
        await until(lambda: len(agent.got) == 2)
        assert [(each.type, each.payload) for each in agent.got] == [
            ("Flush", {"reason": "now"}),
            ("tick", {"reason": "now"}),
        ]


async def test_timers_die_with_their_object(system: Any) -> None:
    gate = Gate()

    async def script(agent: Scripted, message: Message) -> None:
        if message.type == "crash" and agent is first:
            await gate(agent, message)
            raise ValueError("no good")

    async with system(Ticking("a", script=script), Scripted("b"), max_restarts=9) as s:
        first = s.agent("a")
        await s.send("a", {}, "crash")
        await gate.entered.wait()
        once, often = first.after(0.001, {}, "tick"), first.every(60, {}, "tick")
        other = first.after(0.001, {}, "tick")
        await until(lambda: s.stats("a").mailbox_depth >= 2)
        gate.opened.set()
        await until(lambda: s.restarts >= 1)
        again = s.agent("a")
        assert again is not first
        assert (once.active, often.active, other.active) == (False, False, False)
        await s.send("a", {}, "end")
        await until(lambda: any(each.type == "end" for each in again.got))
        assert again.ticks == []
        assert s.stats("a").timers == 0
        with pytest.raises(RuntimeError, match="this object has ended"):
            first.after(1, {})
        once.cancel()
        assert "the recipient has stopped" not in s.dropped


async def test_a_cancelled_timer_takes_its_queued_tick_back(system: Any) -> None:
    gate = Gate()
    async with system(Ticking("a", script=gate), Scripted("b")) as s:
        agent = s.agent("a")
        await s.send("a", {}, "hold")
        await gate.entered.wait()
        timer, other = agent.after(0, {}, "tick"), agent.after(0, {}, "other")
        await until(lambda: s.stats("a").mailbox_depth == 2)
        timer.cancel()
        assert s.stats("a").mailbox_depth == 1
        gate.opened.set()
        await until(lambda: agent.got[-1].type == "other")
        assert agent.ticks == []
        assert not other.active


async def test_a_stop_handles_the_ticks_that_are_queued_and_takes_no_more(system: Any) -> None:
    gate = Gate()

    async def script(agent: Scripted, message: Message) -> Message | None:
        return await gate(agent, message) if message.type == "hold" else None

    async with system(Ticking("a", 0.002, script=script), Scripted("b")) as s:
        agent = s.agent("a")
        await s.send("a", {}, "hold")
        await gate.entered.wait()
        await until(lambda: s.stats("a").mailbox_depth == 1)
        node = s.node_of("a")
        stopping = asyncio.create_task(node.stop())
        await until(lambda: node.components.bus.closing)
        ticks = s.stats("a").ticks
        agent.every(0.001, {}, "tick")
        gate.opened.set()
        await asyncio.wait_for(stopping, SOON)
        assert len(agent.ticks) == ticks
        assert s.dropped == {}


async def test_a_tick_whose_handling_fails_is_judged_as_any_message(system: Any) -> None:
    async def script(agent: Scripted, message: Message) -> None:
        await fail(agent, message)

    async with system(Ticking("a", script=script), max_restarts=9) as s:
        s.agent("a").after(0, {}, "tick")
        await until(lambda: s.restarts == 1)
        assert s.stats("a").errors == 1
        assert s.agent("a").got == []


async def test_a_tick_settles_no_other_message(system: Any) -> None:
    """A durable transport keeps a deferred message while ticks are handled."""

    class Later(Ticking):
        async def handle(self, message: Message) -> Message | None:
            if message.type == "tick":
                return await super().handle(message)
            self.later = self.defer()
            return None

    async with system(Later("a"), Scripted("b")) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        agent = s.agent("a")
        await until(lambda: hasattr(agent, "later"))
        agent.after(0, {}, "tick")
        await until(lambda: bool(agent.ticks))
        assert not agent.later.done
        await agent.later.reply({"yes": 1})
        assert (await asking).payload == {"yes": 1}
        assert s.dropped == {}
