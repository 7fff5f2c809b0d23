"""The time to live and the priority that a sender gives. On every transport alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import Message
from civitas.errors import MessageValidationError
from support.agents import SOON, Gate, Scripted, until


async def test_what_has_expired_in_the_mailbox_is_a_dead_letter_and_is_not_handled(
    system: Any,
) -> None:
    gate = Gate()
    agent = Scripted("a", gate)
    async with system(agent) as s:
        await s.send("a", {"n": 1})
        await gate.entered.wait()
        await s.send("a", {"n": 2}, ttl=0.01)
        await s.send("a", {"n": 3}, ttl=SOON, priority=-7)
        await asyncio.sleep(0.05)  # the time itself is what this is about
        gate.opened.set()
        await until(lambda: len(agent.got) == 2)
        assert [(m.payload["n"], m.priority) for m in agent.got] == [(1, 0), (3, -7)]
        assert s.dropped == {"expired before it was handled": 1}


async def test_an_agent_gives_a_time_to_live_and_a_priority(system: Any) -> None:
    async def pass_on(agent: Scripted, message: Message) -> Message:
        await agent.send("b", {}, ttl=SOON, priority=2**31 - 1)
        return agent.reply({})

    end = Scripted("b")
    async with system(Scripted("a", pass_on), end) as s:
        await s.ask("a", {}, timeout=SOON)
        await until(lambda: len(end.got) == 1)
    assert (end.got[0].ttl, end.got[0].priority) == (SOON, 2**31 - 1)


@pytest.mark.parametrize(
    "wrong", [{"ttl": 0}, {"ttl": -1.0}, {"ttl": "1"}, {"ttl": True}, {"ttl": float("nan")},
              {"priority": 1.0}, {"priority": 2**31}, {"priority": True}, {"priority": "high"}],
    ids=str,
)  # fmt: skip
async def test_other_limits_are_refused(system: Any, wrong: dict[str, Any]) -> None:
    async with system(Scripted("a")) as s:
        with pytest.raises(MessageValidationError, match=next(iter(wrong))):
            await s.send("a", {}, **wrong)
