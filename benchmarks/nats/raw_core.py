"""Floor: bare nats-py between two processes (`client` and `server`), on core NATS.

Questions, answers and messages are packed and unpacked as ours are, and a stream has the window of
ours: 256 messages under way, and credit is returned after every 64. Without one a sender runs away
from its receiver, which drops what it can't keep.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter
from typing import Final

import nats
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from benchmarks.child import obey
from benchmarks.frames import data_size, kinds_of
from benchmarks.payloads import SMALL
from benchmarks.timing import percentiles

WINDOW: Final = 256
GRANT_EVERY: Final = 64
TIMEOUT: Final = 30.0

FAR: Final = "raw.far"
SINK: Final = "raw.sink"
CREDIT: Final = "raw.credit"


class Client:
    """Asks, one request after the other, and streams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._credit: asyncio.Future[None] | None = None
        self._sent = self._credited = 0

    async def open(self) -> None:
        """Hear of credit."""
        await self._connection.subscribe(CREDIT, cb=self._on_credit)

    async def ask(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Ask; return p50 and p99 in microseconds."""
        kinds, seconds = kinds_of(size), []
        for _ in range(count):
            began = perf_counter()
            answer = await self._connection.request(FAR, kinds.question.make(), TIMEOUT)
            kinds.answer.read(answer.data)
            seconds.append(perf_counter() - began)
        return percentiles(seconds)

    async def stream(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Send within the window until all is handled; return the microseconds for each."""
        make, publish = kinds_of(size).message.make, self._connection.publish
        began = perf_counter()
        for _ in range(count):
            if self._sent - self._credited >= WINDOW:
                self._credit = asyncio.get_running_loop().create_future()
                await self._credit
            self._sent += 1
            await publish(SINK, make())
        answer = await self._connection.request(SINK, b"", TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        if int(answer.data) != self._sent:
            raise RuntimeError(f"{self._sent - int(answer.data)} messages were lost")
        return {"each": each}

    async def _on_credit(self, _: Msg) -> None:
        self._credited += GRANT_EVERY
        if self._credit is not None and not self._credit.done():
            self._credit.set_result(None)


class Server:
    """Answers questions, and returns credit for the messages of a stream."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._taken = 0

    async def open(self) -> None:
        """Listen from now on."""
        await self._connection.subscribe(FAR, cb=self._on_question)
        await self._connection.subscribe(SINK, cb=self._on_message)
        await self._connection.flush()

    async def _on_question(self, question: Msg) -> None:
        size = data_size(kinds_of(SMALL).question.read(question.data))
        await question.respond(kinds_of(size).answer.make())

    async def _on_message(self, message: Msg) -> None:
        if message.reply:
            await message.respond(str(self._taken).encode())
            return
        kinds_of(SMALL).message.read(message.data)
        self._taken += 1
        if self._taken % GRANT_EVERY == 0:
            await self._connection.publish(CREDIT, message.data[:64])


async def _run(role: str, url: str) -> None:
    connection = await nats.connect(url)
    try:
        if role == "client":
            client = Client(connection)
            await client.open()
            await obey({"ask": client.ask, "stream": client.stream})
        else:
            await Server(connection).open()
            await obey({})
    finally:
        await connection.close()


def main(role: str, url: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    asyncio.run(_run(role, url))


if __name__ == "__main__":
    main(*sys.argv[1:])
