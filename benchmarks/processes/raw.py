"""Floor: bare pyzmq between two processes (`client` and `server`), through a proxy of pyzmq's own.

It packs and unpacks the values of ours, and a stream has the window of ours. Both ends are drained
by their descriptors, within asyncio. The client runs the proxy in a thread and reaches it over tcp,
or over inproc; servers are always connected over tcp. Server `n` is asked at a topic of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Final

import zmq

from benchmarks.child import obey
from benchmarks.frames import data_size, kinds_of
from benchmarks.payloads import SMALL
from benchmarks.timing import percentiles

WINDOW: Final = 256
GRANT_EVERY: Final = 64
MARK: Final = 50_000

QUESTION: Final = b"far"
ANSWER: Final = b"_reply"
MESSAGE: Final = b"sink\0"
CREDIT: Final = b"credit\0"
INPROC: Final = ("inproc://front", "inproc://back")


class Proxy:
    """Forwards everything from who publishes to who has subscribed, in a thread of its own."""

    def __init__(self, addresses: tuple[str, str]) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front, self._back = self.context.socket(zmq.XSUB), self.context.socket(zmq.XPUB)
        pairs = zip((self._front, self._back), addresses, INPROC, strict=True)
        for socket, *listens in pairs:
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.SNDHWM, MARK)
            socket.set(zmq.RCVHWM, MARK)
            for each in listens:
                socket.bind(each)
        self._front.send(b"\x01")  # publishers send all, and lose nothing to who has just come
        self._thread = threading.Thread(target=self._forward)
        self._thread.start()

    def stop(self) -> None:
        """End, once all other sockets of the context are closed."""
        self.context.term()
        self._thread.join()

    def _forward(self) -> None:
        try:
            zmq.proxy(self._front, self._back)
        except zmq.ContextTerminated:
            self._front.close()
            self._back.close()


class Line:
    """A publisher and a subscriber at the proxy.

    Args:
        context: that of the proxy for inproc; another one else.
        addresses: where the proxy listens, to publish and to subscribe.
        topics: what to subscribe.
        take: called with topic and frame of all that comes.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        addresses: tuple[str, str],
        topics: list[bytes],
        take: Callable[[bytes, bytes], None],
    ) -> None:
        self._take = take
        self._publisher = context.socket(zmq.XPUB)
        self._subscriber = context.socket(zmq.SUB)
        for socket, address in zip((self._publisher, self._subscriber), addresses, strict=True):
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.SNDHWM, MARK)
            socket.set(zmq.RCVHWM, MARK)
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
        self._publisher.close()
        self._subscriber.close()

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
    """Asks servers and streams to the first one."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        addresses: tuple[str, str],
        servers: int,
    ) -> None:
        self._servers = servers
        self._asked: list[deque[asyncio.Future[bytes]]] = [deque() for _ in range(servers)]
        topics = [_topic(ANSWER, number) for number in range(servers)]
        self._numbers = {topic: number for number, topic in enumerate(topics)}
        self._line = Line(context, addresses, [*topics, CREDIT], self._take)
        self._credit: asyncio.Future[None] | None = None
        self._sent = self._credited = 0

    async def ask(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Ask one after the other; return p50 and p99 in microseconds."""
        seconds = []
        for _ in range(count):
            began = perf_counter()
            await self._ask(0, size)
            seconds.append(perf_counter() - began)
        return percentiles(seconds)

    async def stream(self, count: int, size: int = SMALL) -> dict[str, float]:
        """Send within the window; return the microseconds for each message."""
        message, send = kinds_of(size).message, self._line.send
        began = perf_counter()
        for _ in range(count):
            if self._sent - self._credited >= WINDOW:
                self._credit = asyncio.get_running_loop().create_future()
                await self._credit
            self._sent += 1
            send(MESSAGE, message.make())
        await self._ask(0, SMALL)
        return {"each": (perf_counter() - began) / count * 1e6}

    async def many(self, count: int, askers: int, servers: int) -> dict[str, float]:
        """Have so many ask, each one after the other; return thousands of asks a second."""

        async def ask(asker: int) -> None:
            for _ in range(count // askers):
                await self._ask(asker % servers, SMALL)

        began = perf_counter()
        await asyncio.gather(*map(ask, range(askers)))
        return {"rate": count // askers * askers / (perf_counter() - began) / 1e3}

    async def wait_ready(self) -> None:
        """Return when both ways to each server work."""
        for number in range(self._servers):
            await self._prove(number)

    def close(self) -> None:
        """End."""
        self._line.close()

    async def _prove(self, number: int) -> None:
        """Ask until an answer has the size of its question: those to earlier ones came before."""
        for size in itertools.count(1):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    answered = await self._ask(number, size)
                    while answered != size:
                        answered = await self._answer(number)
                    return
            self._asked[number].clear()

    async def _ask(self, number: int, size: int) -> int:
        """Ask, and return the size of the answer's data."""
        self._line.send(_topic(QUESTION, number), kinds_of(size).question.make())
        return await self._answer(number)

    async def _answer(self, number: int) -> int:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number].append(answer)
        return data_size(kinds_of(SMALL).answer.read(await answer))

    def _take(self, topic: bytes, frame: bytes) -> None:
        if topic == CREDIT:
            self._credited += GRANT_EVERY
            if self._credit is not None and not self._credit.done():
                self._credit.set_result(None)
            return
        asked = self._asked[self._numbers[topic]]
        if asked:  # else it was given up while nothing was ready
            answer = asked.popleft()
            if not answer.done():
                answer.set_result(frame)


class Server:
    """Answers questions, and returns credit for the messages of a stream."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], addresses: tuple[str, str], number: int
    ) -> None:
        self._question, self._answer = _topic(QUESTION, number), _topic(ANSWER, number)
        self._taken = 0
        topics = [self._question] if number else [self._question, MESSAGE]
        self._line = Line(context, addresses, topics, self._take)

    def close(self) -> None:
        """End."""
        self._line.close()

    def _take(self, topic: bytes, frame: bytes) -> None:
        if topic == self._question:
            size = data_size(kinds_of(SMALL).question.read(frame))
            self._line.send(self._answer, kinds_of(size).answer.make())
            return
        kinds_of(SMALL).message.read(frame)
        self._taken += 1
        if self._taken % GRANT_EVERY == 0:
            self._line.send(CREDIT, frame[:64])


def _topic(kind: bytes, number: int) -> bytes:
    return b"%s%d\0" % (kind, number)


async def _client(addresses: tuple[str, str], hop: str, servers: int) -> None:
    proxy = Proxy(addresses)
    shares = hop == "inproc"
    context = proxy.context if shares else zmq.Context()
    client = Client(context, INPROC if shares else addresses, servers)
    try:
        await client.wait_ready()
        await obey({"ask": client.ask, "stream": client.stream, "many": client.many})
    finally:
        client.close()
        proxy.stop()


async def _server(addresses: tuple[str, str], number: int) -> None:
    server = Server(zmq.Context(), addresses, number)
    try:
        await obey({})
    finally:
        server.close()


def main(role: str, pub_addr: str, sub_addr: str, *more: str) -> None:
    """Be one of the processes until the parent closes the pipe."""
    addresses = (pub_addr, sub_addr)
    if role == "client":
        hop, servers = more
        asyncio.run(_client(addresses, hop, int(servers)))
    else:
        asyncio.run(_server(addresses, int(more[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
