"""autogen-core in one process: agents of its runtime; an ask is an rpc, one way is an event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any

from autogen_core import (
    AgentId,
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    default_subscription,
    event,
    rpc,
)

from benchmarks.child import obey
from benchmarks.peers.work import PAYLOAD, check_none_lost
from benchmarks.timing import timed


@dataclass
class Payload:
    """What is asked, answered and sent."""

    n: int
    text: str


@dataclass
class Order:
    """How often to ask, or to send."""

    count: int


@dataclass
class Result:
    """What was measured."""

    times: dict[str, float]


@dataclass
class Counted:
    """Asks the sink how many came; it says when all did."""

    expected: int


class Echo(RoutedAgent):
    """Answers with what it was asked."""

    @rpc
    async def on_payload(self, message: Payload, ctx: MessageContext) -> Payload:
        return message


class Asker(RoutedAgent):
    """Asks the echo many times, one after the other."""

    @rpc
    async def on_order(self, message: Order, ctx: MessageContext) -> Result:
        echo, payload = AgentId("echo", "default"), Payload(**PAYLOAD)
        return Result(await timed(message.count, lambda: self.send_message(payload, echo)))


@default_subscription
class Sink(RoutedAgent):
    """Counts, and tells who asks when all have come."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self._count = self._expected = 0
        self._all = asyncio.Event()

    @event
    async def on_payload(self, message: Payload, ctx: MessageContext) -> None:
        self._count += 1
        if self._count == self._expected:
            self._all.set()

    @rpc
    async def on_counted(self, message: Counted, ctx: MessageContext) -> Order:
        self._expected = message.expected
        if self._count < self._expected:
            await self._all.wait()
        self._all.clear()
        count, self._count = self._count, 0
        return Order(count)


class Source(RoutedAgent):
    """Sends to the sink as fast as it can, and waits until all of it is handled."""

    @rpc
    async def on_order(self, message: Order, ctx: MessageContext) -> Result:
        payload, topic = Payload(**PAYLOAD), DefaultTopicId()
        began = perf_counter()
        for _ in range(message.count):
            await self.publish_message(payload, topic)
        came = await self.send_message(Counted(message.count), AgentId("sink", "default"))
        each = (perf_counter() - began) / message.count * 1e6
        check_none_lost(message.count, came.count)
        return Result({"each": each})


async def _main() -> None:
    runtime = SingleThreadedAgentRuntime()
    for kind in (Echo, Asker, Sink, Source):
        name = kind.__name__.lower()
        await kind.register(runtime, name, lambda kind=kind, name=name: kind(name))
    runtime.start()

    async def command(agent: str, count: int) -> Any:
        return (await runtime.send_message(Order(count), AgentId(agent, "default"))).times

    try:
        await obey(
            {
                "ask": lambda count: command("asker", count),
                "one_way": lambda count: command("source", count),
            },
            {"version": version("autogen-core")},
        )
    finally:
        await runtime.stop()


if __name__ == "__main__":
    asyncio.run(_main())
