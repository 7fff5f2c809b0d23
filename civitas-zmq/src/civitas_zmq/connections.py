"""Connections: the two connections of a process to the proxy, from `connect` to `close`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import zmq

from civitas.errors import NotConnectedError
from civitas.plugins import TransportContext
from civitas_zmq import addresses, sockets
from civitas_zmq.options import ZMQOptions
from civitas_zmq.publisher import Publisher
from civitas_zmq.readiness import PROBE, Readiness
from civitas_zmq.socket_monitor import SocketMonitor
from civitas_zmq.sockets import topic_of
from civitas_zmq.subscriber import Subscriber


class Connections:
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
        self._pub_socket = sockets.publisher(self._context, options)
        self._sub_socket = sockets.subscriber(self._context, options)
        for topic in subscriptions:
            self._sub_socket.subscribe(topic)
        self._publisher = Publisher(self._pub_socket, options.send_timeout)
        self._subscriber = Subscriber(
            self._sub_socket,
            subscriptions,
            deliver=deliver,
            other=self._take_other,
            malformed=self._take_malformed,
        )
        self._readiness = Readiness(
            addresses.to_connect(options.pub_addr),
            context,
            probe=self._publisher.overtake,
            subscribe=self._subscribe_after_all,
            unsubscribe=self.unsubscribe,
            refuse=self._publisher.refuse,
        )
        self._monitors = [
            self._monitored(self._pub_socket, options.pub_addr),
            self._monitored(self._sub_socket, options.sub_addr),
        ]
        self._subscriber.look_again()

    def subscribe(self, topic: bytes) -> None:
        """Ask the proxy for the frames of a topic."""
        self._sub_socket.subscribe(topic)
        self._subscriber.look_again()

    def unsubscribe(self, topic: bytes) -> None:
        """Ask the proxy for no more frames of a topic."""
        self._sub_socket.unsubscribe(topic)
        self._subscriber.look_again()

    def offer(self, address: str, frame: bytes) -> bool:
        """Hand a frame to the connection and return True; or return False: it has to wait."""
        return self._readiness.is_up and self._publisher.offer(topic_of(address), frame)

    async def publish(self, address: str, frame: bytes) -> None:
        """Hand a frame to the connection; wait at the high-water mark.

        Raises:
            NotConnectedError: the proxy is known to be away.
            TransportError: there was no room in time.
        """
        if not self._readiness.is_up:
            await self._readiness.usable(self._options.send_timeout)
        await self._publisher.put(topic_of(address), frame)

    async def wait_ready(self) -> None:
        """Return when the subscriptions made before are in place, and this process can publish.

        Raises:
            NotConnectedError: there was no proxy within `connect_timeout`, or it wants none of it.
        """
        limit = self._options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                await self._readiness.wait_ready()
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
            if self._readiness.is_up:
                async with asyncio.timeout(self._options.linger):
                    await self._readiness.wait_ready()
        except (TimeoutError, NotConnectedError):
            self._node.logger.warning(
                "stopped before the proxy had taken all frames: the last ones may be lost"
            )
        finally:
            try:
                await self._readiness.close()
            finally:
                self._close_sockets()

    def _close_sockets(self) -> None:
        self._publisher.refuse("the transport stopped")
        self._publisher.close()
        self._subscriber.close()
        for monitor in self._monitors:
            monitor.close()
        self._context.destroy(linger=0)

    def _monitored(self, socket: zmq.Socket[bytes], address: str) -> SocketMonitor:
        return SocketMonitor(
            socket,
            addresses.to_connect(address),
            connected=self._on_connected,
            lost=self._readiness.lost,
            refused=self._readiness.refused,
            doubted=self._readiness.note,
        )

    def _on_connected(self) -> None:
        if all(monitor.is_connected for monitor in self._monitors):
            self._readiness.connected()

    def _subscribe_after_all(self, topic: bytes) -> None:
        """Subscribe so that the proxy sees all earlier subscriptions before this one.

        After a reconnection libzmq sends them anew when it next handles what its threads have
        told, in the order of their bytes; asking for EVENTS makes it do that first.
        """
        self._sub_socket.get(zmq.EVENTS)
        self.subscribe(topic)

    def _take_other(self, topic: bytes, frame: bytes) -> None:
        if topic.startswith(PROBE):
            self._readiness.answered(topic)
        else:  # a longer topic that begins with one of ours, or one just unsubscribed
            self._node.dropped("nobody is subscribed", frame)

    def _take_malformed(self, parts: list[bytes]) -> None:
        self._node.dropped("not a topic and a frame", b"".join(parts))
