"""Floors: the libraries alone, which pack and unpack what a message of ours has.

Roles: `alone` is asyncio and msgpack in one process; `zmq-client` and `zmq-server` are two
processes on bare pyzmq, through the same proxy as ours; `nats-client` and `nats-server` on bare
nats-py.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import msgpack
import nats
import zmq

from benchmarks.by_hand import ask, one_way
from benchmarks.child import obey
from benchmarks.peers.work import PAYLOAD, TIMEOUT
from benchmarks.timing import timed
from civitas_zmq import Proxy, ProxySettings

VALUES: Final = [
    *(1, str(uuid.uuid4()), "message", "asker", "echo", None, None, PAYLOAD, time.time()),
    *(uuid.uuid4().hex, uuid.uuid4().hex[:16], None, 0, 0, TIMEOUT),
]
"""What one of our messages packs."""


class _Line:
    """A publisher and a subscriber at the proxy, read by its descriptor within asyncio."""

    def __init__(self, pub: str, sub: str, topic: bytes, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._context = zmq.Context()
        self._publisher = self._context.socket(zmq.XPUB)
        self._subscriber = self._context.socket(zmq.SUB)
        self._publisher.connect(pub)
        self._subscriber.connect(sub)
        self._subscriber.subscribe(topic)
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(self._subscriber.get(zmq.FD))
        self._loop.add_reader(self._descriptor, self._read)
        self._loop.call_soon(self._read)

    def send(self, topic: bytes, values: list[Any]) -> None:
        """Pack and send."""
        self._publisher.send(topic, zmq.SNDMORE | zmq.NOBLOCK)
        self._publisher.send(msgpack.packb(values), zmq.NOBLOCK)

    def close(self) -> None:
        """End."""
        self._loop.remove_reader(self._descriptor)
        self._context.destroy(linger=0)

    def _read(self) -> None:
        with suppress(zmq.Again):
            while True:
                self._subscriber.recv(zmq.NOBLOCK)
                self._take(self._subscriber.recv(zmq.NOBLOCK))


async def _zmq_client(pub: str, sub: str) -> None:
    proxy = Proxy(ProxySettings(pub, sub), logging.getLogger("proxy"))
    proxy.start()
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    line = _Line(pub, sub, b"asker\0", answers.put_nowait)
    numbers = itertools.count()

    async def ask() -> None:
        number = next(numbers)
        line.send(b"echo\0", [VALUES[0], number, *VALUES[2:]])
        # Not the answer to an earlier one, which was given up: each would come one ask too early.
        while msgpack.unpackb(await answers.get())[1] != number:
            pass

    async def ready() -> None:
        async with asyncio.timeout(TIMEOUT):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        return await ask()

    try:
        facts = {"version": f"pyzmq {zmq.pyzmq_version()}"}
        await obey({"ready": ready, "ask": lambda count: timed(count, ask)}, facts)
    finally:
        line.close()
        proxy.stop()


async def _zmq_server(pub: str, sub: str) -> None:
    def take(frame: bytes) -> None:
        line.send(b"asker\0", msgpack.unpackb(frame))

    line = _Line(pub, sub, b"echo\0", take)
    try:
        await obey({})
    finally:
        line.close()


async def _nats_client(url: str) -> None:
    async with await nats.connect(url) as client:

        async def ask() -> None:
            answer = await client.request("echo", msgpack.packb(VALUES), TIMEOUT)
            msgpack.unpackb(answer.data)

        async def ready() -> None:
            async with asyncio.timeout(TIMEOUT):
                while True:
                    with suppress(nats.errors.Error):
                        return await ask()
                    await asyncio.sleep(0.05)

        facts = {"version": f"nats-py {version('nats-py')}"}
        await obey({"ready": ready, "ask": lambda count: timed(count, ask)}, facts)


async def _nats_server(url: str) -> None:
    async with await nats.connect(url) as client:

        async def answer(message: Any) -> None:
            msgpack.unpackb(message.data)
            await message.respond(msgpack.packb(VALUES))

        await client.subscribe("echo", cb=answer)
        await client.flush()
        await obey({})


async def _alone() -> None:
    facts = {"version": f"msgpack {version('msgpack')}"}
    await obey({"ask": partial(ask, VALUES), "one_way": partial(one_way, VALUES)}, facts)


ROLES: Final[dict[str, Callable[..., Any]]] = {
    "alone": _alone,
    "zmq-client": _zmq_client,
    "zmq-server": _zmq_server,
    "nats-client": _nats_client,
    "nats-server": _nats_server,
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
