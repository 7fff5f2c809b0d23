"""ZMQTransport: carries frames through a proxy between the processes of one machine."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from civitas.errors import MessageTooLargeError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import Dispatcher, Handler, InProcessTransport
from civitas_zmq.connections import Connections
from civitas_zmq.options import ZMQOptions, capabilities_of
from civitas_zmq.proxy import Proxy, ProxySettings
from civitas_zmq.sockets import own_pair, topic_of


class ZMQTransport:
    """Carries frames between the processes that are connected to one proxy.

    Frames for an agent of this process go to its handler at once. All others go through the proxy,
    and so do those for system addresses, which may have subscribers here and elsewhere.

    Args:
        options: what the topology says.
        context: what the node gives; a transport that is used without a node needs none.
    """

    def __init__(
        self, options: ZMQOptions | None = None, context: TransportContext | None = None
    ) -> None:
        self._options = options or ZMQOptions()
        self._context = context or TransportContext()
        self.capabilities: Final[Capabilities] = capabilities_of(self._options)
        self._largest = self._options.max_message_bytes
        self._local = InProcessTransport(context)
        self._dispatcher = Dispatcher(self._context)
        self._subscriptions: dict[bytes, str] = {}
        self._proxy: Proxy | None = None
        self._connections: Connections | None = None
        self._stopping = asyncio.Lock()

    async def start(self) -> None:
        """Start the proxy if this process runs it, and begin to connect, without waiting for it.

        Raises:
            ConfigurationError: the keys don't belong together.
            TransportError: the proxy's address is taken, or can't be bound.
        """
        if self._connections is not None:
            return
        own_pair(self._options)  # raises before anything is opened
        if self._options.start_proxy and self._context.is_primary and self._proxy is None:
            proxy = Proxy(
                ProxySettings.from_options(self._options),
                self._context.logger,
                self._context.failed,
            )
            proxy.start()
            self._proxy = proxy
        await self._local.start()
        inbox = self._local.inbox
        self._subscriptions[topic_of(inbox.address)] = inbox.address
        if inbox.address not in self._dispatcher:
            self._dispatcher.subscribe(inbox.address, inbox)
        self._connections = Connections(
            self._options, self._context, self._subscriptions, self._dispatcher.deliver
        )

    async def stop(self) -> None:
        """Wait for handlers, send what was accepted, and close what was opened."""
        async with self._stopping:
            await self._local.stop()
            await self._dispatcher.close(self._options.linger)
            self._subscriptions.clear()
            connections, self._connections = self._connections, None
            proxy, self._proxy = self._proxy, None
            try:
                if connections is not None:
                    await connections.close()
            finally:
                if proxy is not None:
                    await _stop_in_thread(proxy)

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`."""
        if not address.startswith(RESERVED_PREFIX):
            await self._local.subscribe(address, handler)
        if self._dispatcher.subscribe(address, handler):
            topic = topic_of(address)
            self._subscriptions[topic] = address
            if self._connections is not None:
                self._connections.subscribe(topic)

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to its handlers."""
        if self._subscriptions.pop(topic_of(address), None) is None:
            return
        if self._connections is not None:
            self._connections.unsubscribe(topic_of(address))
        await self._local.unsubscribe(address)
        await self._dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address.

        Raises:
            MessageTooLargeError: the frame is larger than `max_message_bytes`.
            NotConnectedError: not started, stopped, or the proxy is known to be away.
            TransportError: the proxy took nothing for `send_timeout` seconds.
        """
        if len(data) > self._largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r} is more than max_message_bytes"
                f" ({self._largest}): send less, or raise that option in every process"
            )
        if address in self._local:
            await self._local.publish(address, data)
        elif self._connections is None:
            raise NotConnectedError("the zmq transport is not started")
        elif not self._connections.offer(address, data):
            await self._connections.publish(address, data)

    async def request(self, address: str, data: bytes, timeout: float | None) -> bytes:
        """Send a frame and return the frame that answers it."""
        if self._connections is None or self._stopping.locked():
            raise NotConnectedError("the zmq transport is not started")
        send = partial(self.publish, address)
        return await self._local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive.

        Raises:
            NotConnectedError: not started, no proxy within `connect_timeout`, or it refuses us.
        """
        if self._connections is None:
            raise NotConnectedError("the zmq transport is not started")
        await self._connections.wait_ready()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._local.inbox.has(address)


async def _stop_in_thread(proxy: Proxy) -> None:
    """Stop the proxy, which blocks for up to `linger` seconds, in a thread that ends with it.

    The loop's default executor would keep its thread. A cancellation waits for the stop as well.
    """
    with ThreadPoolExecutor(1, "civitas zmq proxy stop") as executor:
        await asyncio.shield(asyncio.wrap_future(executor.submit(proxy.stop)))
