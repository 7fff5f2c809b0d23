"""NATSTransport: the methods of the transport contract, on core NATS or on JetStream."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nats.aio.msg import Msg

from civitas.errors import ConfigurationError
from civitas.plugins import TransportContext
from civitas.transport import Handler, NetworkTransport
from civitas_nats.client import offers_jetstream
from civitas_nats.connection import Connection
from civitas_nats.jetstream.catching import CatchingStreams
from civitas_nats.jetstream.durable_delivery import DurableDelivery
from civitas_nats.options import NATSOptions, capabilities_of
from civitas_nats.subjects import Subjects, is_agent
from civitas_nats.subscription import Subscription


class NATSTransport(NetworkTransport):
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
        given: object = options
        if not isinstance(given, NATSOptions | None):
            kind = type(given).__name__
            raise ConfigurationError(
                f"NATSTransport takes NATSOptions or nothing, not {kind}; a serializer is given to "
                f"the node"
            )
        self._options = options or NATSOptions()
        capabilities = capabilities_of(self._options)
        super().__init__(
            "nats",
            capabilities,
            context,
            linger=self._options.linger,
            lane_limit=self._options.max_pending_messages,
        )
        self.offer = self._offer
        self._subjects = Subjects(self._options.subject_prefix)
        self._subscriptions: dict[str, Subscription] = {}
        self._connection: Connection | None = None
        self._catching = CatchingStreams(self._subjects.all_agents, self.context.logger)
        self._durable: DurableDelivery | None = None
        if self._options.jetstream and not self.context.control:
            self._durable = DurableDelivery(self._options, self._subjects, self.context)

    # --- the network ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to one of the servers, with all subscriptions.

        Raises:
            AccessDeniedError: the server does not let this process in.
            ConfigurationError: the options and the server don't fit each other; or a stream keeps
                what is sent, though JetStream is off.
            NotConnectedError: no server answered within `connect_timeout`.
        """
        context = self.context
        connection = Connection(
            self._options,
            f"{context.process} control" if context.control else context.process,
            context.logger,
            down=context.link_down,
            up=context.link_up,
            failed=context.failed,
            refused=self._on_refused,
        )
        self._connection = connection
        await connection.open()
        if self._durable is None and not context.control and offers_jetstream(connection.client):
            await self._catching.check(connection)
        for address in self.dispatcher.addresses():
            await self.listen(address)
        if self._durable is not None:
            await self._durable.start()

    async def settle(self) -> None:
        """Give back what the stream has given, while handlers are still there."""
        if self._durable is not None:
            await self._durable.stop()

    async def close(self) -> None:
        """Send what was accepted, and close what was opened."""
        await self.settle()  # a start that has failed comes here alone
        self._subscriptions.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def listen(self, address: str) -> None:
        """Subscribe to the subject of an address."""
        connection = self._connection
        if connection is None or address in self._subscriptions:  # it is being opened
            return
        deliver, dropped = self.dispatcher.deliver, self.context.dropped
        subject = self._subjects.of(address)

        def on_message(message: Msg) -> None:
            if message.subject == subject:
                deliver(address, message.data)
            else:  # from a stream, of which a reader chooses where its server delivers to
                dropped("delivered to another subject than its own", message.data)

        self._subscriptions[address] = await connection.subscribe(subject, on_message)

    async def forget(self, address: str) -> None:
        """End the subscription to the subject of an address."""
        subscription = self._subscriptions.pop(address, None)
        if subscription is not None and self._connection is not None:
            await self._connection.unsubscribe(subscription)

    async def send(self, address: str, frame: bytes) -> None:
        """Send a frame to a server, or return when the stream has stored it.

        Raises:
            NotConnectedError: no server is reached.
            MailboxFullError: the stream has no room.
            OutcomeUnknownError: the stream did not acknowledge it within `send_timeout`.
            TransportError: the connection took nothing for `send_timeout` seconds.
        """
        if self._durable is not None and is_agent(address):
            await self._durable.publish(address, frame)
        elif self._connection is None:
            raise self.not_started()
        else:
            await self._connection.publish(self._subjects.of(address), frame)

    def _offer(self, address: str, frame: bytes) -> bool:
        """Hand a frame to the client if nothing stands against it; return whether it was."""
        if self._connection is None or (self._durable is not None and is_agent(address)):
            return False
        return self._connection.publish_nowait(self._subjects.of(address), frame)

    async def prove(self) -> None:
        """Return when this process's own server has all subscriptions.

        The other servers of a cluster learn of a subscription a little later, so another node
        probes its route before its first frame.
        """
        if self._connection is None:
            raise self.not_started()
        await self._connection.wait_ready()
        if self._durable is not None:
            await self._durable.wait_ready()

    def _on_refused(self, subject: str, reason: str) -> None:
        self._catching.refused(subject)
        if self._subjects.has(subject):
            self.refused(self._subjects.agent_of(subject), reason)

    # --- what a stream keeps --------------------------------------------------------------------

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`."""
        if self._durable is not None and is_agent(address):
            await self._durable.subscribe(address, handler)
        else:
            await super().subscribe(address, handler)

    async def backlog(self, addresses: Collection[str]) -> Mapping[str, int]:
        """Count what the stream keeps for each of these agents; without JetStream there is nothing.

        Raises:
            CivitasError: the transport is not started, or JetStream does not answer, or refuses.
        """
        return {} if self._durable is None else await self._durable.backlog(addresses)

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone here."""
        if self._durable is not None and address in self._durable:
            await self._durable.unsubscribe(address)
        else:
            await super().unsubscribe(address)
