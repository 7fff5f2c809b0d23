"""Messages within one process: ours against asyncio and msgpack doing the same work by hand."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import msgpack

from benchmarks.harness import Row, paired
from civitas import AgentProcess, Message, Runtime, Supervisor

ONE_WAY = 20_000
ASKS = 2_000
MAILBOX = 1_000
TIMEOUT = 30.0
PAYLOAD = {"n": 1, "text": "hello"}


def _values() -> list[Any]:
    """Return what one of our messages packs."""
    message = Message(sender="source", recipient="sink", payload=PAYLOAD)
    return [1, *(getattr(message, field) for field in Message.__slots__)]


async def _floor_one_way() -> float:
    queue: asyncio.Queue[bytes] = asyncio.Queue(MAILBOX)
    values = _values()

    async def drain() -> None:
        for _ in range(ONE_WAY):
            msgpack.unpackb(await queue.get())

    began = perf_counter()
    consumer = asyncio.create_task(drain())
    for _ in range(ONE_WAY):
        await queue.put(msgpack.packb(values))
    await consumer
    return (perf_counter() - began) / ONE_WAY * 1e6


class Sink(AgentProcess):
    """Counts, and tells when it has counted enough."""

    async def on_start(self) -> None:
        self.left = ONE_WAY
        self.enough = asyncio.Event()

    async def handle(self, message: Message) -> None:
        self.left -= 1
        if not self.left:
            self.enough.set()


class Source(AgentProcess):
    """Sends as fast as `send` returns."""

    async def handle(self, message: Message) -> None:
        for _ in range(ONE_WAY):
            await self.send("sink", PAYLOAD)


async def _ours_one_way() -> float:
    sink = Sink("sink", mailbox_size=MAILBOX)
    async with Runtime(Supervisor("root", [sink, Source("source")])) as runtime:
        began = perf_counter()
        await runtime.send("source", {})
        await sink.enough.wait()
        return (perf_counter() - began) / ONE_WAY * 1e6


async def _floor_ask() -> float:
    """Each way: a queue hop, a future that is resolved, and a timer that is cancelled."""
    loop = asyncio.get_running_loop()
    there: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()
    back: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()
    values = _values()

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
        for _ in range(ASKS):
            await take(there)
            await hop(back)

    server = asyncio.create_task(serve())
    began = perf_counter()
    for _ in range(ASKS):
        await hop(there)
        await take(back)
    elapsed = perf_counter() - began
    await server
    return elapsed / ASKS * 1e6


class Echo(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        return self.reply(message.payload)


async def _ours_ask() -> float:
    async with Runtime(Supervisor("root", [Echo("echo")])) as runtime:
        began = perf_counter()
        for _ in range(ASKS):
            await runtime.ask("echo", PAYLOAD, timeout=TIMEOUT)
        return (perf_counter() - began) / ASKS * 1e6


def rows() -> list[Row]:
    """Measure one-way messages and asks."""
    return [
        paired(
            "one-way message, in_process",
            "us",
            lambda: asyncio.run(_floor_one_way()),
            lambda: asyncio.run(_ours_one_way()),
            2.5,
        ),
        paired(
            "ask round trip, in_process",
            "us",
            lambda: asyncio.run(_floor_ask()),
            lambda: asyncio.run(_ours_ask()),
            2.0,
        ),
    ]
