"""HubTransport: a small correct transport between "processes" that are objects in one process.

It queues each frame and delivers it from a task, as a transport with a network would.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from civitas.envelope import ORIGIN_AT
from civitas.errors import MessageTooLargeError, NotConnectedError, TransportError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import ReplyInbox

log = logging.getLogger("civitas.hub")


class Hub:
    """The network: who listens at which address."""

    def __init__(self):
        self.listeners = {}

    def send(self, address, data):
        for lane in self.listeners.get(address, ()):
            lane.put(data)


class Lane:
    """The frames that wait for one handler, and the task that gives them to it."""

    def __init__(self, handler, context):
        self.handler = handler
        self.context = context
        self.queue = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.task = self.loop.create_task(self.run())

    def put(self, data):
        self.loop.call_soon_threadsafe(self.queue.put_nowait, data)

    async def run(self):
        while True:
            data = await self.queue.get()
            if data[ORIGIN_AT] in self.context.fenced:
                self.context.dropped("from a fenced node", data)
                continue
            try:
                await self.handler(data)
            except Exception:
                log.exception("a handler raised")

    async def stop(self):
        self.task.cancel()
        await asyncio.wait([self.task])


class HubTransport:
    capabilities = Capabilities(cross_process=True, max_message_bytes=64 * 1024)

    def __init__(self, hub, context=None):
        self.hub = hub
        self.context = context or TransportContext()
        node = None if context is None else context.node
        self.inbox = ReplyInbox(node, self.context.dropped)
        self.lanes = {}
        self.started = False

    async def start(self):
        self.started = True
        await self.subscribe(self.inbox.address, self.inbox.deliver)

    async def stop(self):
        self.started = False
        self.inbox.close()
        for address in list(self.lanes):
            await self.unsubscribe(address)

    async def subscribe(self, address, handler):
        mine = self.lanes.setdefault(address, [])
        if mine and not address.startswith(RESERVED_PREFIX):
            raise TransportError(f"address {address!r} has an owner already")
        lane = Lane(handler, self.context)
        mine.append(lane)
        self.hub.listeners.setdefault(address, []).append(lane)

    async def unsubscribe(self, address):
        for lane in self.lanes.pop(address, ()):
            self.hub.listeners[address].remove(lane)
            await lane.stop()

    async def publish(self, address, data):
        if not self.started:
            raise NotConnectedError("the hub transport is not started")
        limit = self.capabilities.max_message_bytes
        if len(data) > limit:
            raise MessageTooLargeError(f"{len(data)} bytes are more than {limit}")
        self.hub.send(address, data)

    async def request(self, address, data, timeout):
        return await self.inbox.request(data, timeout, partial(self.publish, address))

    async def wait_ready(self):
        """Nothing to wait for: the hub knows a listener from the moment it subscribes."""

    def has_reply_address(self, address):
        return self.inbox.has(address)
