"""The two connections of a process to the proxy: one publishes frames, one subscribes to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import zmq

from civitas.errors import NotConnectedError, TransportError
from civitas.plugins import TransportContext
from civitas_zmq import addresses
from civitas_zmq.options import ZMQOptions
from civitas_zmq.proxy import Proxy
from civitas_zmq.publisher import Publisher
from civitas_zmq.readiness import PROBE, Readiness
from civitas_zmq.socket_monitor import SocketMonitor
from civitas_zmq.sockets import publisher_socket, subscriber_socket, topic_of
from civitas_zmq.subscriber import Subscriber
from civitas_zmq.subscriptions import cost_of


class Connections:
    """Publishes and subscribes by topic. Made within the event loop that uses it.

    A process that runs the proxy connects to it within its context (`proxy.py`). There libzmq
    reports nothing of a connection, and nothing happens to one: it is there as soon as it is made,
    until it is closed here, or the proxy fails, which the owner reports.

    Args:
        options: what the topology says.
        node: what the node gave.
        subscriptions: topics with their addresses; the owner changes it, and calls `subscribe` or
            `unsubscribe`.
        deliver: called with (address, frame) for each frame that arrives.
        proxy: the one that runs in this process, if any; the owner stops it after `close`.

    Raises:
        TransportError: the subscriptions are more than the proxy allows.
    """

    def __init__(
        self,
        options: ZMQOptions,
        node: TransportContext,
        subscriptions: Mapping[bytes, str],
        deliver: Callable[[str, bytes], None],
        proxy: Proxy | None = None,
    ) -> None:
        self._options = options
        self._node = node
        self._subscriptions = subscriptions
        self._deliver = deliver
        self._proxy = proxy
        self._subscribed = 0
        self._count(sum(map(cost_of, subscriptions)))
        self._check_size()
        with contextlib.ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()

    def _open(self, opened: contextlib.ExitStack) -> None:
        """Connect both sockets, and enter in `opened` what has to be closed."""
        options, node = self._options, self._node
        if self._proxy is None:
            context = zmq.Context()
            opened.callback(context.term)
        else:
            context = self._proxy.context
        publishing = publisher_socket(context, options)
        opened.callback(publishing.close, linger=0)
        subscribing = subscriber_socket(context, options)
        opened.callback(subscribing.close, linger=0)
        self._publisher = Publisher(publishing, options.send_timeout, node.failed)
        opened.callback(self._publisher.close)
        self._subscriber = Subscriber(
            subscribing,
            self._subscriptions,
            deliver=self._deliver,
            other=self._take_other,
            malformed=self._take_malformed,
            failed=node.failed,
        )
        opened.callback(self._subscriber.close)
        self._monitors: list[SocketMonitor] = []
        if self._proxy is None:
            for socket, address in (publishing, options.pub_addr), (subscribing, options.sub_addr):
                self._monitors.append(self._connect(socket, address))
                opened.callback(self._monitors[-1].close)
        else:
            publishing.connect(addresses.INPROC_PUB_ADDR)
            subscribing.connect(addresses.INPROC_SUB_ADDR)
        place = addresses.to_connect(options.pub_addr)
        names = map(addresses.host_name, (options.pub_addr, options.sub_addr))
        hosts = dict.fromkeys(name for name in names if name is not None)
        self._readiness = Readiness(place, hosts, node, self._publisher, self._subscriber)
        self._on_connected()

    def subscribe(self, topic: bytes) -> None:
        """Ask the proxy for the frames of a topic.

        Raises:
            TransportError: it is one more than the proxy of this process allows.
        """
        self._count(cost_of(topic))
        self._check_size()
        self._subscriber.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Ask the proxy for no more frames of a topic."""
        self._count(-cost_of(topic))
        self._subscriber.unsubscribe(topic)

    def offer(self, address: str, frame: bytes) -> bool:
        """Hand a frame to the connection and return True; return False if it has to wait."""
        return self._readiness.is_up and self._publisher.offer(topic_of(address), frame)

    async def publish(self, address: str, frame: bytes) -> None:
        """Hand a frame to the connection; wait at the high-water mark.

        Raises:
            NotConnectedError: the proxy is known to be away.
            TransportError: there was no room in time.
        """
        if not self._readiness.is_up:
            await self._readiness.wait_up(self._options.send_timeout)
        await self._publisher.send(topic_of(address), frame)

    async def wait_ready(self) -> None:
        """Return when the subscriptions made before are in place, and this process can publish.

        Raises:
            NotConnectedError: there was no proxy within `connect_timeout`, or it refuses us.
        """
        limit = self._options.connect_timeout
        try:
            async with asyncio.timeout(limit):
                await self._readiness.wait_ready()
        except TimeoutError:
            known = self._readiness.problem or "start the primary process, or `civitas-zmq proxy`"
            raise NotConnectedError(
                f"no answer from a proxy at {self._options.pub_addr} within {limit:g} s: {known}"
            ) from None

    async def close(self) -> None:
        """Send what was accepted, within `linger`, and close both connections.

        A proxy that is lost meanwhile has taken its last frame, and is not waited for.
        Frames of one connection keep their order: a probe that comes back proves that the proxy
        has all that was sent before it. libzmq's LINGER proves only that the system took it.
        """
        try:
            if self._readiness.is_up:
                async with asyncio.timeout(self._options.linger):
                    await self._readiness.wait_taken()
        except (TimeoutError, NotConnectedError):
            self._node.logger.warning(
                "stopped before the proxy had taken all frames: the last ones may be lost"
            )
        finally:
            try:
                await self._readiness.close()
            finally:
                self._publisher.fail_waiting("the transport stopped")
                self._opened.close()

    def lose(self, reason: str) -> None:
        """Note that a connection is lost."""
        self._readiness.lost(reason)

    def _count(self, size: int) -> None:
        self._subscribed += size
        if self._proxy is not None:
            self._proxy.note_own_subscriptions(self._subscribed)

    def _check_size(self) -> None:
        """See that the proxy allows these subscriptions; one elsewhere would close a connection."""
        limit = self._options.max_subscription_bytes
        if self._proxy is not None and self._subscribed > limit:
            raise TransportError(
                f"the addresses of this process have {self._subscribed} bytes, more than"
                f" max_subscription_bytes ({limit}): raise that option"
            )

    def _connect(self, socket: zmq.Socket[bytes], address: str) -> SocketMonitor:
        return SocketMonitor(
            socket,
            addresses.to_connect(address),
            connected=self._on_connected,
            lost=self.lose,
            refused=self._on_refused,
            unexplained=self._on_unexplained,
            failed=self._node.failed,
        )

    def _on_connected(self) -> None:
        if all(monitor.is_connected for monitor in self._monitors):
            self._readiness.connected()

    def _on_refused(self, reason: str) -> None:
        self._readiness.refused(reason)

    def _on_unexplained(self, reason: str) -> None:
        self._readiness.note(reason)

    def _take_other(self, topic: bytes, frame: bytes) -> None:
        if topic.startswith(PROBE):
            self._readiness.answered(topic)
        else:  # one just unsubscribed
            self._deliver(topic.removesuffix(b"\0").decode(errors="replace"), frame)

    def _take_malformed(self, parts: list[bytes]) -> None:
        self._node.dropped("not a topic and a frame", b"".join(parts))
