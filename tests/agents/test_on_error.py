"""on_error: what an agent decides about a message that it failed to handle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import ErrorAction, Message
from civitas.errors import AgentError, MessageRoutingError, OutcomeUnknownError
from civitas.process import ProcessStatus
from support.agents import SOON, until
from support.lives import Log, Mortal, count, mortals


async def test_retry_runs_the_same_message_again_with_its_attempts_counted(system: Any) -> None:
    log = Log()
    async with system(Mortal("w", log, ErrorAction.RETRY)) as s:
        reply = await s.ask("w", {"do": "fail until", "attempt": 2}, timeout=SOON)
        assert reply.payload["attempts"] == [0, 1, 2]
        assert log.take() == ["start w"]


async def test_retry_escalates_after_max_retries(system: Any) -> None:
    log = Log()
    worker = Mortal("w", log, ErrorAction.RETRY, max_retries=2)
    async with system(worker) as s:
        with pytest.raises(AgentError):
            await s.ask("w", {"do": "crash"}, timeout=SOON)
        await log.until("start w", 2)
        assert worker.attempts == [0, 1, 2]


async def test_skip_gives_the_message_up_and_goes_on_with_the_same_object(system: Any) -> None:
    log = Log()
    async with system(Mortal("w", log, ErrorAction.SKIP)) as s:
        await s.send("w", {"do": "crash"})
        assert await count(s, "w") == 2
        assert log.take() == ["start w"]


async def test_stop_ends_the_agent_for_good_and_what_is_queued_is_accounted_for(
    system: Any,
) -> None:
    log = Log()
    worker = Mortal("w", log, ErrorAction.STOP)
    async with system(worker, *mortals(log, 1, 2)) as s:
        await s.send("w", {"do": "crash"})
        with pytest.raises((MessageRoutingError, OutcomeUnknownError)):
            await s.ask("w", {}, timeout=SOON)
        await until(lambda: not s.runtime.components.registry.has("w"))
        assert worker.status is ProcessStatus.STOPPED
        with pytest.raises(MessageRoutingError, match="'w'"):
            await s.send("w", {})
        for name in ("w1", "w2"):
            await count(s, name)
        assert log.take().count("start w") == 1


async def test_an_on_error_that_raises_is_a_crash(system: Any) -> None:
    class Hopeless(Mortal):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            raise LookupError("worse") from error

    log = Log()
    async with system(Hopeless("w", log)) as s:
        with pytest.raises(AgentError, match="ValueError: crash"):
            await s.ask("w", {"do": "crash"}, timeout=SOON)
        await log.until("start w", 2)


async def test_an_on_error_that_returns_no_action_is_a_crash_that_says_so(system: Any) -> None:
    class Vague(Mortal):
        async def on_error(self, error: Exception, message: Message) -> ErrorAction:
            return "RETRY"  # type: ignore[return-value]

    log = Log()
    heard: list[Exception] = []
    async with system(Vague("w", log)) as s:
        s.on_crash(lambda name, error: heard.append(error))
        await s.send("w", {"do": "crash"})
        await log.until("start w", 2)
    assert "not an ErrorAction" in str(heard[0])


async def test_a_handler_that_takes_too_long_is_cancelled_with_a_timeout_error(
    system: Any,
) -> None:
    class Slow(Mortal):
        async def handle(self, message: Message) -> Message | None:
            if message.payload:
                await asyncio.Event().wait()
            return await super().handle(message)

    async with system(Slow("w", Log(), ErrorAction.SKIP, handle_timeout=0.01)) as s:
        with pytest.raises(AgentError, match="longer than handle_timeout, 0.01 s"):
            await s.ask("w", {"wait": True}, timeout=SOON)
        assert await count(s, "w") == 1


async def test_a_handler_that_awaits_something_cancelled_crashes_and_is_restarted(
    system: Any,
) -> None:
    class Misled(Mortal):
        async def handle(self, message: Message) -> Message | None:
            if message.payload:
                cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                cancelled.cancel()
                await cancelled
            return await super().handle(message)

    async with system(Misled("w", Log())) as s:
        with pytest.raises(AgentError, match="was cancelled"):
            await s.ask("w", {"x": 1}, timeout=SOON)
        assert await count(s, "w") == 1
