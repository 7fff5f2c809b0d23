"""NATSTransport: the methods of the transport contract, on core NATS or on JetStream."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from nats.aio.msg import Msg

from civitas.errors import MessageTooLargeError, NotConnectedError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import Dispatcher, Handler, InProcessTransport
from civitas_nats.connection import Connection
from civitas_nats.jetstream.durable_delivery import DurableDelivery
from civitas_nats.options import NATSOptions, capabilities_of
from civitas_nats.subjects import Subjects, is_agent
from civitas_nats.subscription import Subscription


class NATSTransport:
    """Carries frames between all processes that are connected to the same servers.

    Without JetStream, a frame for an agent of this process goes to its handler at once, and all
    other frames go through a server, at most once. With JetStream every frame for an agent goes
    through a stream; replies and system frames never do.

    Args:
        options: what the topology says.
        context: what the node gives to a transport; one that is used without a node needs none.
    """

    def __init__(
        self, options: NATSOptions | None = None, context: TransportContext | None = None
    ) -> None:
        self._options = options or NATSOptions()
        self._context = context or TransportContext()
        self.capabilities: Final[Capabilities] = capabilities_of(self._options)
        self._largest = self._options.max_message_bytes
        self._subjects = Subjects(self._options.subject_prefix)
        self._local = InProcessTransport(context)
        self._dispatcher = Dispatcher(self._context)
        self._subscriptions: dict[str, Subscription] = {}
        self._connection: Connection | None = None
        self._durable: DurableDelivery | None = None
        if self._options.jetstream and not self._context.control:
            self._durable = DurableDelivery(self._options, self._subjects, self._context)
        self._stopping = asyncio.Lock()

    async def start(self) -> None:
        """Connect to one of the servers.

        Raises:
            AuthenticationError: the server does not let this process in.
            ConfigurationError: the options and the server don't fit each other.
            NotConnectedError: no server answered within `connect_timeout`.
        """
        if self._connection is not None:
            return
        context = self._context
        connection = Connection(
            self._options,
            f"{context.process} control" if context.control else context.process,
            context.logger,
            down=context.link_down,
            up=context.link_up,
            dropped=lambda reason: context.dropped(reason, b""),
            failed=context.failed,
        )
        self._connection = connection
        await connection.open()
        await self._local.start()
        inbox = self._local.inbox
        if inbox.address not in self._dispatcher:
            self._dispatcher.subscribe(inbox.address, inbox)
        for address in self._dispatcher.addresses():
            await self._listen(connection, address)
        if self._durable is not None:
            await self._durable.start()

    async def stop(self) -> None:
        """Let handlers finish, send what was accepted, and close what was opened."""
        async with self._stopping:
            if self._durable is not None:
                await self._durable.stop()
            await self._local.stop()
            await self._dispatcher.close(self._options.linger)
            self._subscriptions.clear()
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Call `handler` with each frame for `address`."""
        if self._durable is not None and is_agent(address):
            await self._durable.subscribe(address, handler)
            return
        if not address.startswith(RESERVED_PREFIX):
            await self._local.subscribe(address, handler)
        if self._dispatcher.subscribe(address, handler) and self._connection is not None:
            await self._listen(self._connection, address)

    async def unsubscribe(self, address: str) -> None:
        """Deliver no more frames for `address`."""
        if self._durable is not None and address in self._durable:
            await self._durable.unsubscribe(address)
            return
        subscription = self._subscriptions.pop(address, None)
        if subscription is not None and self._connection is not None:
            await self._connection.unsubscribe(subscription)
        await self._local.unsubscribe(address)
        await self._dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address; with JetStream, return when it is stored.

        Raises:
            MessageTooLargeError: the frame is larger than `max_message_bytes`.
            NotConnectedError: not started, stopped, or no server is reached.
            MailboxFullError: the stream has no room.
            OutcomeUnknownError: the stream did not acknowledge it within `send_timeout`.
            TransportError: the connection took nothing for `send_timeout` seconds.
        """
        if len(data) > self._largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r} is more than max_message_bytes"
                f" ({self._largest}): send less, or raise that option in every process"
            )
        if address in self._local:
            await self._local.publish(address, data)
        elif self._durable is not None and is_agent(address):
            await self._durable.publish(address, data)
        elif self._connection is None:
            raise NotConnectedError("the nats transport is not started")
        else:
            await self._connection.publish(self._subjects.of(address), data)

    async def request(self, address: str, data: bytes, timeout: float | None) -> bytes:
        """Send a frame and return the frame that answers it."""
        if self._connection is None or self._stopping.locked():
            raise NotConnectedError("the nats transport is not started")
        send = partial(self.publish, address)
        return await self._local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive.

        In a cluster this is proved for this process's own server only. The other servers learn of
        a subscription a little later, so another node probes its route before its first frame.

        Raises:
            NotConnectedError: not started, or no server is reached within `connect_timeout`.
        """
        if self._connection is None:
            raise NotConnectedError("the nats transport is not started")
        await self._connection.wait_ready()
        if self._durable is not None:
            await self._durable.wait_ready()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._local.inbox.has(address)

    async def _listen(self, connection: Connection, address: str) -> None:
        deliver, dropped = self._dispatcher.deliver, self._context.dropped
        subject = self._subjects.of(address)

        def on_message(message: Msg) -> None:
            if message.subject == subject:
                deliver(address, message.data)
            else:  # from a stream, of which a reader chooses where its server delivers to
                dropped("delivered to another subject than its own", message.data)

        self._subscriptions[address] = await connection.subscribe(subject, on_message)
