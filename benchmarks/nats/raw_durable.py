"""Floor: bare nats-py between two processes (`client` and `server`), on JetStream.

The stream and its consumers are configured as ours are. Messages are packed, unpacked and
acknowledged as ours are, in the same window; they have no ids, which ours have so that the stream
stores each once.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter
from typing import Final

import nats
import nats.errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy

from benchmarks.child import obey
from benchmarks.frames import kinds_of
from benchmarks.payloads import SMALL
from benchmarks.timing import percentiles

STREAM: Final = "RAW"
SINK: Final = "raw.sink"
AWAY: Final = "raw.away"
DONE: Final = "done.raw"
WINDOW: Final = 256
TIMEOUT: Final = 30.0
PULL: Final = 1.0
"""Seconds that a pull waits for messages."""


class Client:
    """Sends, one after the other or several at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stream = connection.jetstream()
        self._make = kinds_of(SMALL).message.make
        self._sent = 0

    async def send(self, count: int) -> dict[str, float]:
        """Send one after the other what nobody reads; return p50 and p99 in microseconds."""
        seconds = []
        for _ in range(count):
            began = perf_counter()
            await self._stream.publish(AWAY, self._make())
            seconds.append(perf_counter() - began)
        return percentiles(seconds)

    async def stream(self, count: int, at_once: int) -> dict[str, float]:
        """Send, so many at a time, until all is handled; return the microseconds for each."""
        began = perf_counter()
        shares = [count // at_once + (number < count % at_once) for number in range(at_once)]
        await asyncio.gather(*map(self._send, shares))
        self._sent += count
        await self._connection.request(DONE, str(self._sent).encode(), TIMEOUT)
        return {"each": (perf_counter() - began) / count * 1e6}

    async def _send(self, count: int) -> None:
        for _ in range(count):
            await self._stream.publish(SINK, self._make())


class Server:
    """Pulls messages and acknowledges each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read = kinds_of(SMALL).message.read
        self._acknowledged = 0
        self._waiting: dict[int, Msg] = {}

    async def open(self) -> None:
        """Make the stream and its consumers, and pull from one of them from now on."""
        stream = self._connection.jetstream()
        await stream.add_stream(
            name=STREAM,
            subjects=[SINK, AWAY],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
        )
        config = ConsumerConfig(max_ack_pending=WINDOW)
        await stream.pull_subscribe(AWAY, "away", STREAM, config=config)
        self._pulled = await stream.pull_subscribe(SINK, "sink", STREAM, config=config)
        await self._connection.subscribe(DONE, cb=self._on_last)

    async def work(self) -> None:
        """Read and acknowledge message after message."""
        while True:
            try:
                messages = await self._pulled.fetch(WINDOW, timeout=PULL)
            except TimeoutError:  # nats-py 2.16 raises one of its own, and the built-in one
                continue
            for message in messages:
                self._read(message.data)
                await message.ack()
                self._acknowledged += 1
            await self._tell()

    async def _on_last(self, question: Msg) -> None:
        self._waiting[int(question.data)] = question
        await self._tell()

    async def _tell(self) -> None:
        """Tell who waits for so many messages that they are acknowledged."""
        for last in [last for last in self._waiting if last <= self._acknowledged]:
            await self._waiting.pop(last).respond(b"")


async def _run(role: str, url: str) -> None:
    connection = await nats.connect(url)
    try:
        if role == "client":
            client = Client(connection)
            await obey({"send": client.send, "stream": client.stream})
        else:
            server = Server(connection)
            await server.open()
            worker = asyncio.create_task(server.work())
            await obey({})
            worker.cancel()
            await asyncio.wait((worker,))
    finally:
        await connection.close()


def main(role: str, url: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    asyncio.run(_run(role, url))


if __name__ == "__main__":
    main(*sys.argv[1:])
