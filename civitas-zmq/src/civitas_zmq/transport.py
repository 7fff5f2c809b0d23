"""ZMQTransport: carries frames through a proxy between the processes of one machine."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas.transport import NetworkTransport, guard_callback
from civitas_zmq.connections import Connections
from civitas_zmq.options import ZMQOptions, capabilities_of
from civitas_zmq.proxy import Proxy, ProxySettings
from civitas_zmq.sockets import own_pair, topic_of

_STOP: Final = "civitas zmq proxy stop"


class ZMQTransport(NetworkTransport):
    """Carries frames between the processes that are connected to one proxy.

    libzmq connects again by itself. So a start does not wait for the proxy; `wait_ready` does.

    Args:
        options: what the topology says.
        context: what the node gives; a transport that is used without a node needs none.
    """

    def __init__(
        self, options: ZMQOptions | None = None, context: TransportContext | None = None
    ) -> None:
        given: object = options
        if not isinstance(given, ZMQOptions | None):
            kind = type(given).__name__
            raise ConfigurationError(
                f"ZMQTransport takes ZMQOptions or nothing, not {kind}; a serializer is given to "
                f"the node"
            )
        self._options = options or ZMQOptions()
        capabilities = capabilities_of(self._options)
        super().__init__("zmq", capabilities, context, linger=self._options.linger)
        self._subscriptions: dict[bytes, str] = {}
        self._proxy: Proxy | None = None
        self._connections: Connections | None = None

    async def open(self) -> None:
        """Start the proxy if this process runs it, and begin to connect.

        Raises:
            ConfigurationError: the keys don't belong together.
            TransportError: the proxy's address is taken, or can't be bound; or the addresses of
                this process are more than the proxy allows.
        """
        own_pair(self._options)  # raises before anything is opened
        if self._options.start_proxy and self.context.is_primary:
            settings = ProxySettings.from_options(self._options)
            failed = partial(self._proxy_failed, asyncio.get_running_loop())
            proxy = Proxy(settings, self.context.logger, failed)
            proxy.start()
            self._proxy = proxy
        self._subscriptions = {topic_of(each): each for each in self.dispatcher.addresses()}
        self._connections = Connections(
            self._options, self.context, self._subscriptions, self.dispatcher.deliver, self._proxy
        )
        self.offer = self._connections.offer

    async def close(self) -> None:
        """Send what was accepted, and close what was opened."""
        connections, self._connections = self._connections, None
        proxy, self._proxy = self._proxy, None
        try:
            if connections is not None:
                await connections.close()
        finally:
            if proxy is not None:  # its context ends only when no socket is left in it
                await _stop_in_thread(proxy)

    async def listen(self, address: str) -> None:
        """Ask the proxy for the frames of an address.

        Raises:
            TransportError: this process runs the proxy, and has more addresses than that allows.
        """
        topic = topic_of(address)
        self._subscriptions[topic] = address
        self._opened().subscribe(topic)

    async def forget(self, address: str) -> None:
        """Ask the proxy for no more frames of an address."""
        topic = topic_of(address)
        del self._subscriptions[topic]
        self._opened().unsubscribe(topic)

    async def send(self, address: str, frame: bytes) -> None:
        """Wait for room, and hand a frame to the connection.

        Raises:
            NotConnectedError: the proxy is known to be away.
            TransportError: the proxy took nothing for `send_timeout` seconds.
        """
        await self._opened().publish(address, frame)

    async def prove(self) -> None:
        """Return when the proxy has all subscriptions, and this process can publish.

        Raises:
            NotConnectedError: there was no proxy within `connect_timeout`, or it refuses us.
        """
        await self._opened().wait_ready()

    def _proxy_failed(self, loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
        """Report that this process's proxy has ended; called in one of its threads."""
        lose_later = guard_callback(
            self._lose_proxy, name="civitas zmq proxy", failed=self.context.failed
        )
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lose_later)
        self.context.failed(error)

    def _lose_proxy(self) -> None:
        if self._connections is not None:
            self._connections.lose("the proxy in this process has failed")

    def _opened(self) -> Connections:
        if self._connections is None:
            raise self.not_started()
        return self._connections


async def _stop_in_thread(proxy: Proxy) -> None:
    """Stop the proxy, which blocks for up to `linger` seconds, in a thread that ends with it.

    The loop's default executor would keep its thread. A cancellation waits for the stop as well.
    Where the process can have no further thread, the loop waits.
    """
    with ThreadPoolExecutor(1, _STOP) as executor:
        try:
            stopping = executor.submit(proxy.stop)
        except RuntimeError:
            proxy.stop()
        else:
            await asyncio.shield(asyncio.wrap_future(stopping))
