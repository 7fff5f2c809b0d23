"""Floor: bare redis-py between two processes (`client` and `server`), on pub/sub.

Questions, answers and messages are packed and unpacked as ours are, and a stream has the window of
ours: 256 messages under way, and credit is returned after every 64. Each PUBLISH is awaited.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.child import obey
from benchmarks.frames import data_size, kinds_of
from benchmarks.payloads import SMALL
from benchmarks.timing import percentiles

WINDOW: Final = 256
GRANT_EVERY: Final = 64

QUESTION: Final = b"raw:far"
ANSWER: Final = b"raw:answer"
SINK: Final = b"raw:sink"
CREDIT: Final = b"raw:credit"


class Client:
    """Asks, one after the other, and streams."""

    def __init__(self, connection: Redis) -> None:
        self._publish = connection.publish
        self._answer: asyncio.Future[bytes] | None = None
        self._credit: asyncio.Future[None] | None = None
        self._sent = self._credited = 0

    async def ask(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Ask; return p50 and p99 in microseconds."""
        seconds = []
        for _ in range(count):
            began = perf_counter()
            await self._ask(size)
            seconds.append(perf_counter() - began)
        return percentiles(seconds)

    async def stream(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Send within the window until all is handled; return the microseconds for each."""
        make = kinds_of(size).message.make
        began = perf_counter()
        for _ in range(count):
            if self._sent - self._credited >= WINDOW:
                self._credit = asyncio.get_running_loop().create_future()
                await self._credit
            self._sent += 1
            await self._publish(SINK, make())
        await self._ask(SMALL)
        return {"each": (perf_counter() - began) / count * 1e6}

    def take(self, channel: bytes, data: bytes) -> None:
        """Take what came."""
        if channel == CREDIT:
            self._credited += GRANT_EVERY
            if self._credit is not None and not self._credit.done():
                self._credit.set_result(None)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    async def _ask(self, size: int) -> None:
        kinds = kinds_of(size)
        self._answer = asyncio.get_running_loop().create_future()
        await self._publish(QUESTION, kinds.question.make())
        kinds.answer.read(await self._answer)


class Server:
    """Answers questions, and returns credit for the messages of a stream."""

    def __init__(self, connection: Redis) -> None:
        self._publish = connection.publish
        self._taken = 0

    async def take(self, channel: bytes, data: bytes) -> None:
        """Take what came."""
        if channel == QUESTION:
            size = data_size(kinds_of(SMALL).question.read(data))
            await self._publish(ANSWER, kinds_of(size).answer.make())
            return
        kinds_of(SMALL).message.read(data)
        self._taken += 1
        if self._taken % GRANT_EVERY == 0:
            await self._publish(CREDIT, data[:64])


async def _read(subscriber: Any, take: Callable[[bytes, bytes], Any]) -> None:
    while True:
        message = await subscriber.get_message(ignore_subscribe_messages=True, timeout=None)
        if message is not None:
            taken = take(message["channel"], message["data"])
            if taken is not None:
                await taken


async def _run(role: str, url: str) -> None:
    connection = Redis.from_url(url)
    try:
        subscriber = connection.pubsub()
        side = Client(connection) if role == "client" else Server(connection)
        channels = (ANSWER, CREDIT) if role == "client" else (QUESTION, SINK)
        await subscriber.subscribe(*channels)
        for _ in channels:  # the server has confirmed each
            await subscriber.get_message(timeout=None)
        reading = asyncio.create_task(_read(subscriber, side.take))
        asks = isinstance(side, Client)
        await obey({"ask": side.ask, "stream": side.stream} if asks else {})
        reading.cancel()
        await asyncio.wait((reading,))
        await subscriber.aclose()
    finally:
        await connection.aclose()


def main(role: str, url: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    asyncio.run(_run(role, url))


if __name__ == "__main__":
    main(*sys.argv[1:])
