"""The crew: agents of several processes that are measured, and what a parent has them do."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

from civitas import AgentProcess, Message, Runtime
from civitas.errors import MessageRoutingError, OutcomeUnknownError

TIMEOUT: Final = 30.0
PAYLOAD: Final = {"n": 1, "text": "hello"}


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


class Sink(AgentProcess):
    """Counts, and tells who asks how many came since it was last asked."""

    count = 0

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is None:
            self.count += 1
            return None
        count, self.count = self.count, 0
        return self.reply({"count": count})


class Asker(AgentProcess):
    """Asks another agent many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        agent, seconds = message.payload["agent"], []
        for _ in range(message.payload["count"]):
            began = perf_counter()
            await self.ask(agent, PAYLOAD, timeout=TIMEOUT)
            seconds.append(perf_counter() - began)
        return self.reply({"p50": statistics.median(seconds) * 1e6})


class Sender(AgentProcess):
    """Sends to another agent many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        agent, seconds = message.payload["agent"], []
        for _ in range(message.payload["count"]):
            began = perf_counter()
            await self.send(agent, PAYLOAD)
            seconds.append(perf_counter() - began)
        return self.reply({"p50": statistics.median(seconds) * 1e6})


class Source(AgentProcess):
    """Sends to the sink as fast as it can, and waits until all of it is handled."""

    async def handle(self, message: Message) -> Message:
        count, at_once = message.payload["count"], message.payload["at_once"]
        began = perf_counter()
        await asyncio.gather(*(self._send(count // at_once) for _ in range(at_once)))
        answer = await self.ask("sink", {}, timeout=TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        return self.reply({"each": each, "lost": count - answer.payload["count"]})

    async def _send(self, count: int) -> None:
        for _ in range(count):
            await self.send("sink", PAYLOAD)


class Bench:
    """What a parent has the agents of a runtime do: `asker`, `sender` and `source`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def commands(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """What `obey` needs."""
        return {
            "ask": self.ask,
            "stream": self.stream,
            "send": self.send,
            "answered": self.answered,
        }

    async def ask(self, agent: str, count: int) -> float:
        """Ask an agent; return the median in microseconds."""
        answer = await self._runtime.ask("asker", {"agent": agent, "count": count})
        return float(answer.payload["p50"])

    async def send(self, agent: str, count: int) -> float:
        """Send to an agent, one after the other; return the median in microseconds."""
        answer = await self._runtime.ask("sender", {"agent": agent, "count": count})
        return float(answer.payload["p50"])

    async def stream(self, count: int, at_once: int = 1) -> float:
        """Send, so many at a time, until all is handled; return the microseconds for each.

        Nothing may be lost, and nothing come twice.
        """
        order = {"count": count, "at_once": at_once}
        answer = await self._runtime.ask("source", order, timeout=TIMEOUT)
        if answer.payload["lost"]:
            raise RuntimeError(f"{answer.payload['lost']} messages of {count} were lost")
        return float(answer.payload["each"])

    async def answered(self, agent: str) -> None:
        """Return as soon as an agent that is about to start has answered."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    await self._runtime.ask(agent, PAYLOAD)
                except (MessageRoutingError, OutcomeUnknownError):
                    # The one before it is gone, and it is not there yet.
                    await asyncio.sleep(0.001)
                else:
                    return
