"""Messages within one process: ours against asyncio and msgpack doing the same work by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, Final

import msgpack

from benchmarks.crew import Echo
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.payloads import SMALL, fewer, payload
from benchmarks.timing import percentiles
from civitas import AgentProcess, Message, Runtime, Supervisor

ONE_WAY: Final = 20_000
ASKS: Final = 2_000
MAILBOX: Final = 1_000
TIMEOUT: Final = 30.0

FLOOR: Final = "asyncio.Queue and msgpack"
NOTE: Final = "the floor packs and unpacks all 14 fields of a message"

ONE_WAY_TARGETS: Final = {"100 B": 1.7}
ASK_TARGETS: Final = {"100 B": 1.3, "1 MiB": 1.5}


def _values(size: int) -> list[Any]:
    """Return what one of our messages packs."""
    message = Message(sender="source", recipient="sink", payload=payload(size))
    return [1, *(getattr(message, field) for field in Message.__slots__)]


async def _floor_one_way(count: int, size: int) -> dict[str, float]:
    queue: asyncio.Queue[bytes] = asyncio.Queue(MAILBOX)
    values = _values(size)

    async def drain() -> None:
        for _ in range(count):
            msgpack.unpackb(await queue.get())

    began = perf_counter()
    consumer = asyncio.create_task(drain())
    for _ in range(count):
        await queue.put(msgpack.packb(values))
    await consumer
    return {"each": (perf_counter() - began) / count * 1e6}


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


async def _floor_ask(count: int, size: int) -> dict[str, float]:
    """Each way: a queue hop, a future that is resolved, and a timer that is cancelled."""
    loop = asyncio.get_running_loop()
    there: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()
    back: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()
    values, seconds = _values(size), []

    async def hop(queue: asyncio.Queue[tuple[bytes, asyncio.Future[None]]]) -> None:
        taken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(TIMEOUT, taken.cancel)
        await queue.put((msgpack.packb(values), taken))
        await taken
        timer.cancel()

    async def take(queue: asyncio.Queue[tuple[bytes, asyncio.Future[None]]]) -> None:
        data, taken = await queue.get()
        msgpack.unpackb(data)
        taken.set_result(None)

    async def serve() -> None:
        for _ in range(count):
            await take(there)
            await hop(back)

    server = asyncio.create_task(serve())
    for _ in range(count):
        began = perf_counter()
        await hop(there)
        await take(back)
        seconds.append(perf_counter() - began)
    await server
    return percentiles(seconds)


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
            {FLOOR: lambda c=count, s=size: asyncio.run(_floor_one_way(c, s))},
            lambda c=count, s=size: asyncio.run(_ours_one_way(c, s)),
            [Work("each", f"one-way message, {name}", ONE_WAY_TARGETS.get(name))],
            note=NOTE,
            key="one-way",
            at=size,
        ).rows(effort)
    for name, size in effort.sizes().items():
        count = effort.count(fewer(ASKS, size))
        yield from Pairing(
            {FLOOR: lambda c=count, s=size: asyncio.run(_floor_ask(c, s))},
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
