"""The crew: agents of several processes that are measured, and what a parent has them do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Final

from benchmarks.payloads import SMALL, payload
from benchmarks.timing import percentiles
from civitas import AgentProcess, Message, Runtime
from civitas.errors import MessageRoutingError, OutcomeUnknownError

TIMEOUT: Final = 60.0


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


class Sink(AgentProcess):
    """Counts, and reports to who asks how many came since it was last asked."""

    count = 0

    async def handle(self, message: Message) -> Message | None:
        if message.reply_to is None:
            self.count += 1
            return None
        count, self.count = self.count, 0
        return self.reply({"count": count})


class Asker(AgentProcess):
    """Asks other agents many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        agents, seconds = message.payload["agents"], []
        asked = payload(message.payload["size"])
        for number in range(message.payload["count"]):
            agent = agents[number % len(agents)]
            began = perf_counter()
            await self.ask(agent, asked, timeout=TIMEOUT)
            seconds.append(perf_counter() - began)
        return self.reply(percentiles(seconds))


class Sender(AgentProcess):
    """Sends to another agent many times, one after the other."""

    async def handle(self, message: Message) -> Message:
        agent, seconds = message.payload["agent"], []
        for _ in range(message.payload["count"]):
            began = perf_counter()
            await self.send(agent, payload(SMALL))
            seconds.append(perf_counter() - began)
        return self.reply(percentiles(seconds))


class Source(AgentProcess):
    """Sends to the sink as fast as it can, and waits until all of it is handled."""

    async def handle(self, message: Message) -> Message:
        count, at_once = message.payload["count"], message.payload["at_once"]
        sent = payload(message.payload["size"])
        began = perf_counter()
        shares = [count // at_once + (number < count % at_once) for number in range(at_once)]
        await asyncio.gather(*(self._send(share, sent) for share in shares))
        answer = await self.ask("sink", {}, timeout=TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        return self.reply({"each": each, "lost": count - answer.payload["count"]})

    async def _send(self, count: int, sent: dict[str, Any]) -> None:
        for _ in range(count):
            await self.send("sink", sent)


CREW: Final = {each.__name__: each for each in (Echo, Sink, Asker, Sender, Source)}


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
            "many": self.many,
            "answered": self.answered,
        }

    async def ask(
        self, count: int, agents: Sequence[str] = ("far",), size: int = SMALL
    ) -> dict[str, float]:
        """Ask agents in turn; return p50 and p99 in microseconds."""
        order = {"agents": list(agents), "count": count, "size": size}
        return dict((await self._runtime.ask("asker", order, timeout=None)).payload)

    async def send(self, agent: str, count: int) -> dict[str, float]:
        """Send to an agent, one after the other; return p50 and p99 in microseconds."""
        order = {"agent": agent, "count": count}
        return dict((await self._runtime.ask("sender", order, timeout=None)).payload)

    async def stream(self, count: int, at_once: int = 1, size: int = SMALL) -> dict[str, float]:
        """Send, so many at a time, until all is handled; return the microseconds for each.

        Nothing may be lost, and nothing come twice.
        """
        order = {"count": count, "at_once": at_once, "size": size}
        answer = (await self._runtime.ask("source", order, timeout=None)).payload
        if answer["lost"]:
            raise RuntimeError(f"{answer['lost']} messages of {count} were lost")
        return {"each": answer["each"]}

    async def many(self, count: int, askers: int, agents: Sequence[str]) -> dict[str, float]:
        """Have so many ask agents, each one after the other; return thousands of asks a second."""

        async def ask(asker: int) -> None:
            agent = agents[asker % len(agents)]
            for _ in range(count // askers):
                await self._runtime.ask(agent, payload(SMALL), timeout=TIMEOUT)

        began = perf_counter()
        await asyncio.gather(*map(ask, range(askers)))
        return {"rate": count // askers * askers / (perf_counter() - began) / 1e3}

    async def answered(self, agents: Sequence[str]) -> None:
        """Return as soon as agents that are about to start have answered."""
        async with asyncio.timeout(TIMEOUT):
            for agent in agents:
                await self._answered(agent)

    async def _answered(self, agent: str) -> None:
        while True:
            try:
                await self._runtime.ask(agent, payload(SMALL))
            except (MessageRoutingError, OutcomeUnknownError):
                # The one before it is gone, and it is not there yet.
                await asyncio.sleep(0.001)
            else:
                return
