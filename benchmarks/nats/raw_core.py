"""Floor: bare nats-py between two processes (`client` and `server`), on core NATS.

A question and its answer are the very frames of ours. A message of a stream is packed and unpacked
as ours is, and the stream has the window of ours: 256 messages under way, and credit is returned
after every 64. Without one a sender runs away from its receiver, which drops what it can't keep.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from time import perf_counter
from typing import Final

import nats
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from benchmarks.child import obey
from benchmarks.frames import Kinds

WINDOW: Final = 256
GRANT_EVERY: Final = 64
TIMEOUT: Final = 30.0


class Client:
    """Asks, one request after the other, and streams."""

    def __init__(self, connection: Connection, kinds: Kinds) -> None:
        self._connection = connection
        self._kinds = kinds
        self._far, self._sink = _subjects(kinds)
        self._credit: asyncio.Future[None] | None = None
        self._sent = self._credited = 0

    async def open(self) -> None:
        """Hear of credit."""
        await self._connection.subscribe(_credit_of(self._sink), cb=self._on_credit)

    async def ask(self, count: int) -> float:
        """Ask; return the median in microseconds."""
        question, seconds = self._kinds.question.bytes, []
        for _ in range(count):
            began = perf_counter()
            await self._connection.request(self._far, question, TIMEOUT)
            seconds.append(perf_counter() - began)
        return statistics.median(seconds) * 1e6

    async def stream(self, count: int) -> float:
        """Send within the window until all is handled; return the microseconds for each."""
        make, publish, sink = self._kinds.message.make, self._connection.publish, self._sink
        began = perf_counter()
        for _ in range(count):
            if self._sent - self._credited >= WINDOW:
                self._credit = asyncio.get_running_loop().create_future()
                await self._credit
            self._sent += 1
            await publish(sink, make())
        answer = await self._connection.request(sink, b"", TIMEOUT)
        each = (perf_counter() - began) / count * 1e6
        if int(answer.data) != self._sent:
            raise RuntimeError(f"{self._sent - int(answer.data)} messages were lost")
        return each

    async def _on_credit(self, _: Msg) -> None:
        self._credited += GRANT_EVERY
        if self._credit is not None and not self._credit.done():
            self._credit.set_result(None)


class Server:
    """Answers questions, and returns credit for the messages of a stream."""

    def __init__(self, connection: Connection, kinds: Kinds) -> None:
        self._connection = connection
        self._read = kinds.message.read
        self._answer = kinds.answer.bytes
        self._far, self._sink = _subjects(kinds)
        self._grant_at = _credit_of(self._sink)
        self._taken = 0

    async def open(self) -> None:
        """Listen from now on."""
        await self._connection.subscribe(self._far, cb=self._on_question)
        await self._connection.subscribe(self._sink, cb=self._on_message)
        await self._connection.flush()

    async def _on_question(self, question: Msg) -> None:
        await question.respond(self._answer)

    async def _on_message(self, message: Msg) -> None:
        if message.reply:
            await message.respond(str(self._taken).encode())
            return
        self._read(message.data)
        self._taken += 1
        if self._taken % GRANT_EVERY == 0:
            await self._connection.publish(self._grant_at, message.data[:64])


def _subjects(kinds: Kinds) -> tuple[str, str]:
    return kinds.question.topic.decode(), kinds.message.topic.decode()


def _credit_of(subject: str) -> str:
    return f"{subject}.credit"


async def _run(role: str, url: str, kinds: Kinds) -> None:
    connection = await nats.connect(url)
    try:
        if role == "client":
            client = Client(connection, kinds)
            await client.open()
            await obey({"ask": client.ask, "stream": client.stream})
        else:
            await Server(connection, kinds).open()
            await obey({})
    finally:
        await connection.close()


def main(role: str, url: str, captured: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    asyncio.run(_run(role, url, Kinds.read(captured)))


if __name__ == "__main__":
    main(*sys.argv[1:])
