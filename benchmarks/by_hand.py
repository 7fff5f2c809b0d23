"""Messages within one process by hand: what asyncio and msgpack take for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final

import msgpack

from benchmarks.timing import timed

MAILBOX: Final = 1_000

_TIMEOUT: Final = 30.0


async def one_way(values: Sequence[Any], count: int) -> dict[str, float]:
    """Pack so many messages and unpack them behind a queue that holds as many as a mailbox."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(MAILBOX)

    async def drain() -> None:
        for _ in range(count):
            msgpack.unpackb(await queue.get())

    began = perf_counter()
    consumer = asyncio.create_task(drain())
    for _ in range(count):
        await queue.put(msgpack.packb(values))
    await consumer
    return {"each": (perf_counter() - began) / count * 1e6}


async def ask(values: Sequence[Any], count: int) -> dict[str, float]:
    """Each way: a queue hop, a future that is resolved, and a timer that is cancelled."""
    loop = asyncio.get_running_loop()
    there: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()
    back: asyncio.Queue[tuple[bytes, asyncio.Future[None]]] = asyncio.Queue()

    async def hop(queue: asyncio.Queue[tuple[bytes, asyncio.Future[None]]]) -> None:
        taken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(_TIMEOUT, taken.cancel)
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

    async def once() -> None:
        await hop(there)
        await take(back)

    server = asyncio.create_task(serve())
    result = await timed(count, once)
    await server
    return result
