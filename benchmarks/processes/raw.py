"""Floor: bare pyzmq between two processes (`client` and `server`), through the same proxy.

It carries the frames of ours, packs and unpacks their bodies as ours does, and has the same
window. Both ends are drained by their descriptors, within asyncio.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Final

import zmq

from benchmarks.child import obey
from benchmarks.frames import Kinds
from civitas_zmq import Proxy, ProxySettings

WINDOW: Final = 256
GRANT_EVERY: Final = 64
CREDIT: Final = b"credit\0"


class Line:
    """A publisher and a subscriber at the proxy.

    Args:
        addresses: where the proxy listens, to publish and to subscribe.
        topics: what to subscribe.
        take: called with topic and frame of all that comes.
    """

    def __init__(
        self, addresses: tuple[str, str], topics: list[bytes], take: Callable[[bytes, bytes], None]
    ) -> None:
        self._take = take
        self._context = zmq.Context()
        self._publisher = self._context.socket(zmq.XPUB)
        self._subscriber = self._context.socket(zmq.SUB)
        for socket, address in zip((self._publisher, self._subscriber), addresses, strict=True):
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.SNDHWM, 50_000)
            socket.set(zmq.RCVHWM, 50_000)
            socket.connect(address)
        for topic in topics:
            self._subscriber.subscribe(topic)
        self._loop = asyncio.get_running_loop()
        descriptor = self._subscriber.get(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptor = descriptor
        self._loop.add_reader(descriptor, self._read)
        self._loop.call_soon(self._read)

    def send(self, topic: bytes, frame: bytes) -> None:
        """Send without waiting."""
        self._publisher.send(topic, zmq.SNDMORE | zmq.NOBLOCK)
        self._publisher.send(frame, zmq.NOBLOCK)

    def close(self) -> None:
        """End."""
        self._loop.remove_reader(self._descriptor)
        self._context.destroy(linger=0)

    def _read(self) -> None:
        receive, take = self._subscriber.recv, self._take
        for _ in range(256):
            try:
                topic = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            take(topic, receive(zmq.NOBLOCK))
        self._loop.call_soon(self._read)


class Client:
    """Asks, one request after the other, and streams."""

    def __init__(self, addresses: tuple[str, str], kinds: Kinds) -> None:
        self._kinds = kinds
        self._line = Line(addresses, [kinds.answer.topic, CREDIT], self._take)
        self._answer: asyncio.Future[bytes] | None = None
        self._credit: asyncio.Future[None] | None = None
        self._sent = self._credited = 0

    async def ask(self, count: int) -> float:
        """Ask; return the median in microseconds."""
        seconds = []
        for _ in range(count):
            began = perf_counter()
            self._kinds.answer.read(await self._request())
            seconds.append(perf_counter() - began)
        return statistics.median(seconds) * 1e6

    async def stream(self, count: int) -> float:
        """Send within the window; return the microseconds for each message."""
        message, send = self._kinds.message, self._line.send
        began = perf_counter()
        for _ in range(count):
            if self._sent - self._credited >= WINDOW:
                self._credit = asyncio.get_running_loop().create_future()
                await self._credit
            self._sent += 1
            send(message.topic, message.make())
        await self._request()
        return (perf_counter() - began) / count * 1e6

    async def wait_ready(self) -> None:
        """Return when both ways work."""
        while True:
            try:
                async with asyncio.timeout(0.1):
                    await self._request()
                    return
            except TimeoutError:
                continue

    def close(self) -> None:
        """End."""
        self._line.close()

    async def _request(self) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._line.send(self._kinds.question.topic, self._kinds.question.make())
        return await self._answer

    def _take(self, topic: bytes, frame: bytes) -> None:
        if topic == CREDIT:
            self._credited += GRANT_EVERY
            if self._credit is not None and not self._credit.done():
                self._credit.set_result(None)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(frame)


class Server:
    """Answers questions, and returns credit for the messages of a stream."""

    def __init__(self, addresses: tuple[str, str], kinds: Kinds) -> None:
        self._kinds = kinds
        self._taken = 0
        self._line = Line(addresses, [kinds.question.topic, kinds.message.topic], self._take)

    def close(self) -> None:
        """End."""
        self._line.close()

    def _take(self, topic: bytes, frame: bytes) -> None:
        if topic == self._kinds.question.topic:
            self._kinds.question.read(frame)
            self._line.send(self._kinds.answer.topic, self._kinds.answer.make())
            return
        self._kinds.message.read(frame)
        self._taken += 1
        if self._taken % GRANT_EVERY == 0:
            self._line.send(CREDIT, frame[:64])


async def _client(addresses: tuple[str, str], kinds: Kinds) -> None:
    proxy = Proxy(ProxySettings(*addresses), logging.getLogger("civitas.zmq.proxy"))
    proxy.start()
    client = Client(addresses, kinds)
    try:
        await client.wait_ready()
        await obey({"ask": client.ask, "stream": client.stream})
    finally:
        client.close()
        proxy.stop()


async def _server(addresses: tuple[str, str], kinds: Kinds) -> None:
    server = Server(addresses, kinds)
    try:
        await obey({})
    finally:
        server.close()


def main(role: str, pub_addr: str, sub_addr: str, kinds: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    run = _client if role == "client" else _server
    asyncio.run(run((pub_addr, sub_addr), Kinds.read(kinds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
