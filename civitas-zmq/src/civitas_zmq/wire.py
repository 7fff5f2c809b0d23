"""Wire: the two connections of a process to the proxy, from `connect` to `close`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import zmq

from civitas.errors import NotConnectedError
from civitas.plugins import TransportContext
from civitas_zmq import addresses, sockets
from civitas_zmq.endpoint import Endpoint
from civitas_zmq.link import PROBE, Link
from civitas_zmq.options import ZMQOptions
from civitas_zmq.outbox import Outbox
from civitas_zmq.reader import Reader
from civitas_zmq.sockets import topic_of


class Wire:
    """Sends and receives by topic. Made within the event loop that uses it.

    Args:
        options: what the topology says.
        context: what the node gave.
        subscriptions: topics with their addresses; it grows and shrinks with `subscribe`.
        deliver: called with (address, frame) for each frame that arrives.
    """

    def __init__(
        self,
        options: ZMQOptions,
        context: TransportContext,
        subscriptions: Mapping[bytes, str],
        deliver: Callable[[str, bytes], None],
    ) -> None:
        self._options = options
        self._node = context
        self._context = zmq.Context()
        self._publisher = sockets.publisher(self._context, options)
        self._subscriber = sockets.subscriber(self._context, options)
        for topic in subscriptions:
            self._subscriber.subscribe(topic)
        self._outbox = Outbox(self._publisher, options.send_timeout)
        self._reader = Reader(
            self._subscriber,
            subscriptions,
            deliver=deliver,
            other=self._take_other,
            malformed=self._take_malformed,
        )
        self._link = Link(
            addresses.to_connect(options.pub_addr),
            context,
            probe=self._outbox.overtake,
            subscribe=self._subscribe_after_all,
            unsubscribe=self.unsubscribe,
            refuse=self._outbox.refuse,
        )
        self._endpoints = [
            self._endpoint(self._publisher, options.pub_addr),
            self._endpoint(self._subscriber, options.sub_addr),
        ]
        self._reader.look_again()

    def subscribe(self, topic: bytes) -> None:
        """Ask the proxy for the frames of a topic."""
        self._subscriber.subscribe(topic)
        self._reader.look_again()

    def unsubscribe(self, topic: bytes) -> None:
        """Ask the proxy for no more frames of a topic."""
        self._subscriber.unsubscribe(topic)
        self._reader.look_again()

    def offer(self, address: str, frame: bytes) -> bool:
        """Hand a frame to the connection and return True; or return False: it has to wait."""
        return self._link.is_up and self._outbox.offer(topic_of(address), frame)

    async def publish(self, address: str, frame: bytes) -> None:
        """Hand a frame to the connection; wait at the high-water mark.

        Raises:
            NotConnectedError: the proxy is known to be away.
            TransportError: there was no room in time.
        """
        if not self._link.is_up:
            await self._link.usable(self._options.send_timeout)
        await self._outbox.put(topic_of(address), frame)

    async def wait_ready(self) -> None:
        """Return when the subscriptions made before are in place, and this process can publish.

        Raises:
            NotConnectedError: there was no proxy within `connect_timeout`, or it wants none of it.
        """
        limit = self._options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                await self._link.wait_ready()
        except TimeoutError:
            raise NotConnectedError(
                f"no answer from a proxy at {self._options.pub_addr} within {limit:g} s: start the"
                " primary process, or `civitas-zmq proxy`"
            ) from None

    async def close(self) -> None:
        """Send what was accepted, within `linger`, and close both connections.

        Frames on one connection keep their order, so a probe that comes back proves that the
        proxy has all that was sent before it; libzmq's own LINGER proves less.
        """
        try:
            if self._link.is_up:
                async with asyncio.timeout(self._options.linger):
                    await self._link.wait_ready()
        except (TimeoutError, NotConnectedError):
            self._node.logger.warning(
                "stopped before the proxy had taken all frames: the last ones may be lost"
            )
        finally:
            try:
                await self._link.close()
            finally:
                self._close_sockets()

    def _close_sockets(self) -> None:
        self._outbox.refuse("the transport stopped")
        self._outbox.close()
        self._reader.close()
        for endpoint in self._endpoints:
            endpoint.close()
        self._context.destroy(linger=0)

    def _endpoint(self, socket: zmq.Socket[bytes], address: str) -> Endpoint:
        return Endpoint(
            socket,
            addresses.to_connect(address),
            connected=self._on_connected,
            lost=self._link.lost,
            refused=self._link.refused,
            doubted=self._link.note,
        )

    def _on_connected(self) -> None:
        if all(endpoint.is_connected for endpoint in self._endpoints):
            self._link.connected()

    def _subscribe_after_all(self, topic: bytes) -> None:
        """Subscribe so that the proxy sees all earlier subscriptions before this one.

        After a reconnection libzmq sends them anew when it next handles what its threads have
        told, in the order of their bytes; asking for EVENTS makes it do that first.
        """
        self._subscriber.get(zmq.EVENTS)
        self.subscribe(topic)

    def _take_other(self, topic: bytes, frame: bytes) -> None:
        if topic.startswith(PROBE):
            self._link.answered(topic)
        else:  # a longer topic that begins with one of ours, or one just unsubscribed
            self._node.dropped("nobody is subscribed", frame)

    def _take_malformed(self, parts: list[bytes]) -> None:
        self._node.dropped("not a topic and a frame", b"".join(parts))
