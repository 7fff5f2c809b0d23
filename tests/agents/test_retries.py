"""Retries that wait: with the message in hand, in its place, until a stop interrupts them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from civitas import AgentProcess, ErrorAction, Message
from civitas.errors import AgentError, MessageValidationError
from civitas.process import Retry
from support.agents import BRIEFLY, SOON, Scripted, until


class Again(Scripted):
    """Fails the first times, and is to handle the message again after a while."""

    def __init__(self, name: str, failures: int, after: float | None = 0.01, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.failures = failures
        self.after_seconds = after

    async def handle(self, message: Message) -> Message:
        self.got.append(message)
        if message.type != "good" and message.attempt < self.failures:
            raise ValueError("no good")
        return self.reply({"attempt": message.attempt})

    async def on_error(self, error: Exception, message: Message) -> ErrorAction | Retry:
        if self.after_seconds is None:
            return ErrorAction.RETRY
        return self.retry(after=self.after_seconds)


@pytest.mark.parametrize("settings", [{}, {"after": None, "retry_delay": 0.01}])
async def test_a_message_is_handled_again_after_the_delay(system: Any, settings: Any) -> None:
    async with system(Again("a", 2, **settings)) as s:
        began = asyncio.get_running_loop().time()
        reply = await s.ask("a", {}, timeout=SOON)
        assert asyncio.get_running_loop().time() - began >= 0.02 - 0.001
        assert reply.payload["attempt"] >= 2
        assert s.stats("a").retries == 2
        assert s.restarts == 0


async def test_it_keeps_its_place(system: Any) -> None:
    async with system(Again("a", 2), Scripted("b")) as s:
        await s.send("a", {"n": 0}, "bad")
        for n in (1, 2):
            await s.send("a", {"n": n}, "good")
        await until(lambda: len(s.agent("a").got) == 5)
        assert [each.payload["n"] for each in s.agent("a").got] == [0, 0, 0, 1, 2]
        assert s.dropped == {}


async def test_more_than_max_retries_escalate(system: Any) -> None:
    async with system(Again("a", 99, max_retries=2), max_restarts=9) as s:
        agent = s.agent("a")
        with pytest.raises(AgentError, match="ValueError: no good"):
            await s.ask("a", {}, timeout=SOON)
        assert len(agent.got) == 3
        await until(lambda: s.restarts == 1)


async def test_a_stop_interrupts_the_wait_and_who_asked_gets_the_error(system: Any) -> None:
    async with system(Again("a", 99, after=3600), Scripted("b")) as s:
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await until(lambda: len(s.agent("a").got) == 1)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        with pytest.raises(AgentError, match="ValueError: no good"):
            await asking
        assert s.dropped == {"its agent stopped before it was retried": 1}


async def test_a_stop_gives_back_what_nobody_asked(system: Any) -> None:
    async with system(Again("a", 99, after=3600), Scripted("b")) as s:
        await s.send("a", {})
        await until(lambda: len(s.agent("a").got) == 1)
        await asyncio.wait_for(s.node_of("a").stop(), SOON)
        expected = {} if s.place.at_least_once else {"its agent stopped before it was retried": 1}
        assert s.dropped == expected


async def test_an_agent_that_says_that_it_is_done_waits_for_no_retry(system: Any) -> None:
    async with system(Again("a", 99, after=3600), Scripted("b")) as s:
        agent = s.agent("a")
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await until(lambda: len(agent.got) == 1)
        agent.stop()
        with pytest.raises(AgentError, match="ValueError: no good"):
            await asking
        await until(lambda: agent.status.value == "STOPPED")


async def test_a_background_task_that_raises_interrupts_it_too(system: Any) -> None:
    async def raises() -> None:
        raise KeyError("k")

    async with system(Again("a", 99, after=3600), Scripted("b")) as s:
        agent = s.agent("a")
        asking = asyncio.create_task(s.ask("a", {}, timeout=SOON))
        await until(lambda: len(agent.got) == 1)
        agent.background(raises(), name="poll")
        with pytest.raises(AgentError, match="background task poll"):
            await asking
        await until(lambda: s.restarts == 1)


async def test_what_expires_meanwhile_is_not_handled_again(system: Any) -> None:
    async with system(Again("a", 1, after=2 * BRIEFLY), Scripted("b")) as s:
        with pytest.raises(TimeoutError):
            await s.ask("a", {}, "bad", timeout=BRIEFLY)
        await s.send("a", {}, "good")
        await until(lambda: s.agent("a").got[-1].type == "good")
        assert [each.type for each in s.agent("a").got].count("bad") == 1
        assert s.dropped.get("expired before it was retried") == 1


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, True, "5", None])
def test_a_delay_is_a_finite_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(MessageValidationError, match="retry.. takes a finite number of seconds"):
        AgentProcess("a").retry(after=wrong)


async def test_a_retry_made_by_hand_is_checked_too(system: Any) -> None:
    class ByHand(Again):
        async def on_error(self, error: Exception, message: Message) -> Retry:
            return Retry(math.nan)

    async with system(ByHand("a", 1), max_restarts=9) as s:
        with pytest.raises(AgentError, match="Retry takes a finite number of seconds"):
            await s.ask("a", {}, timeout=SOON)
