"""Messages within one process: ours against asyncio and msgpack doing the same work by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, Final

import msgpack

from benchmarks.by_hand import MAILBOX, ask, one_way
from benchmarks.crew import Echo
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.payloads import SMALL, fewer, payload
from benchmarks.timing import percentiles
from civitas import AgentProcess, Message, Runtime, Supervisor
from civitas.serializer import MsgpackSerializer

ONE_WAY: Final = 20_000
ASKS: Final = 2_000
TIMEOUT: Final = 30.0

FLOOR: Final = "asyncio.Queue and msgpack"
NOTE: Final = "the floor packs and unpacks all 14 fields of a message"

ONE_WAY_TARGETS: Final = {"100 B": 1.7}
ASK_TARGETS: Final = {"100 B": 1.3, "1 MiB": 1.5}


def _values(size: int) -> list[Any]:
    """Return what one of our messages packs."""
    message = Message(sender="source", recipient="sink", payload=payload(size))
    values: list[Any] = msgpack.unpackb(MsgpackSerializer().serialize(message))
    return values


class CountingSink(AgentProcess):
    """Counts down, and sets an event when it has counted enough."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, mailbox_size=MAILBOX)
        self.left = count
        self.enough = asyncio.Event()

    async def handle(self, message: Message) -> None:
        self.left -= 1
        if not self.left:
            self.enough.set()


class FastSource(AgentProcess):
    """Sends as fast as `send` returns."""

    async def handle(self, message: Message) -> None:
        sent = payload(message.payload["size"])
        for _ in range(message.payload["count"]):
            await self.send("sink", sent)


async def _ours_one_way(count: int, size: int) -> dict[str, float]:
    sink = CountingSink("sink", count)
    async with Runtime(Supervisor("root", [sink, FastSource("source")])) as runtime:
        began = perf_counter()
        await runtime.send("source", {"count": count, "size": size})
        await sink.enough.wait()
        return {"each": (perf_counter() - began) / count * 1e6}


async def _ours_ask(count: int, size: int, agents: Sequence[str] = ("echo",)) -> dict[str, float]:
    asked, seconds = payload(size), []
    async with Runtime(Supervisor("root", [Echo(name) for name in agents])) as runtime:
        for number in range(count):
            agent = agents[number % len(agents)]
            began = perf_counter()
            await runtime.ask(agent, asked, timeout=TIMEOUT)
            seconds.append(perf_counter() - began)
    return percentiles(seconds)


def rows(effort: Effort) -> Iterator[Row]:
    """Measure one-way messages and asks, by the size of their payload, and among many agents."""
    for name, size in effort.sizes().items():
        count = effort.count(fewer(ONE_WAY, size))
        yield from Pairing(
            {FLOOR: lambda c=count, s=size: asyncio.run(one_way(_values(s), c))},
            lambda c=count, s=size: asyncio.run(_ours_one_way(c, s)),
            [Work("each", f"one-way message, {name}", ONE_WAY_TARGETS.get(name))],
            note=NOTE,
            key="one-way",
            at=size,
        ).rows(effort)
    for name, size in effort.sizes().items():
        count = effort.count(fewer(ASKS, size))
        yield from Pairing(
            {FLOOR: lambda c=count, s=size: asyncio.run(ask(_values(s), c))},
            lambda c=count, s=size: asyncio.run(_ours_ask(c, s)),
            [
                Work("p50", f"ask, {name} (p50)", ASK_TARGETS.get(name)),
                Work("p99", f"ask, {name} (p99)"),
            ],
            note=NOTE,
            key="ask",
            at=size,
        ).rows(effort)
    yield from _among_many(effort)


def _among_many(effort: Effort) -> Iterator[Row]:
    count = effort.count(ASKS)
    for agents in (100, 10_000):
        names = [f"echo_{number}" for number in range(effort.count(agents))]
        yield from Pairing(
            {"ours with one agent": lambda: asyncio.run(_ours_ask(count, SMALL))},
            lambda names=names: asyncio.run(_ours_ask(count, SMALL, names)),
            [Work("p50", f"ask to {agents:,} agents in turn (p50)")],
            key="agents",
            at=agents,
        ).rows(effort)
