"""A bare class of the seven methods over Redis pub/sub, and a worker process that has one.

It knows nothing of frames but that a serializer reads them, has no helper of ours, declares
nothing, and awaits each handler in its only reader: the least that anybody would write.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid

from redis.asyncio import Redis

from civitas import AgentProcess, Message, Worker
from civitas.components import ComponentSet, build_component_set
from civitas.serializer import MsgpackSerializer


class BareRedis:
    """Carries messages by a channel for each address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._serializer = MsgpackSerializer()
        self._handlers = {}
        self._reply_queues = {}

    async def start(self) -> None:
        self._redis = Redis.from_url(self._url)
        self._channels = self._redis.pubsub(ignore_subscribe_messages=True)
        await self._channels.subscribe("civitas:nothing")  # listen() ends where nothing is
        self._reader = asyncio.create_task(self._read())

    async def stop(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._channels.aclose()
        await self._redis.aclose()

    async def subscribe(self, address, handler) -> None:
        self._handlers[address] = handler
        await self._channels.subscribe(f"civitas:{address}")

    async def publish(self, address, data) -> None:
        await self._redis.publish(f"civitas:{address}", data)

    async def request(self, address, data, timeout):
        reply_address = f"_reply.{uuid.uuid4().hex}"
        queue = self._reply_queues[reply_address] = asyncio.Queue(1)
        message = self._serializer.deserialize(data)
        message.reply_to = reply_address
        try:
            await self.subscribe(reply_address, queue.put)
            await self.publish(address, self._serializer.serialize(message))
            return await asyncio.wait_for(queue.get(), timeout)
        finally:
            del self._reply_queues[reply_address], self._handlers[reply_address]
            await self._channels.unsubscribe(f"civitas:{reply_address}")

    def has_reply_address(self, address):
        return address in self._reply_queues

    async def wait_ready(self) -> None:
        pass  # its connection is there at once

    async def _read(self) -> None:
        async for message in self._channels.listen():
            handler = self._handlers.get(message["channel"].decode().removeprefix("civitas:"))
            if handler is not None:
                await handler(message["data"])


class Scribe(AgentProcess):
    """Keeps numbers; tells them, asks others, and crashes, as it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.numbers: list[int] = []

    async def handle(self, message: Message) -> Message | None:
        match message.payload:
            case {"number": number}:
                self.numbers.append(number)
                return None
            case {"ask": other}:
                return self.reply((await self.ask(other, {})).payload)
            case {"crash": True}:
                raise ValueError("crash")
        return self.reply({"name": self.name, "numbers": self.numbers})


def components(url: str) -> ComponentSet:
    """Wire one by hand."""
    return build_component_set(transport=BareRedis(url), serializer=MsgpackSerializer())


async def main(url: str) -> None:
    """Be a worker with one agent until SIGTERM."""
    worker = Worker([Scribe("far")], components=components(url), process="far away")
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with worker:
        await told.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
