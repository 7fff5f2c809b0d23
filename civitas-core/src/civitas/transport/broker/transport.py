"""BrokerTransport: a transport over a broker, of which a plugin supplies only the wire."""

from __future__ import annotations

from collections.abc import Callable

from civitas.errors import MessageRoutingError
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport.broker.link import BrokerLink
from civitas.transport.broker.session import BrokerSettings
from civitas.transport.broker.wire import Wire
from civitas.transport.network import NetworkTransport


class BrokerTransport(NetworkTransport):
    """Carries frames between all processes that are connected to one broker, at most once.

    It connects, and connects again with backoff; subscribes again; proves that it is ready;
    notices a broker that is silent; reports to the node what its links are worth; and says of each
    frame that could not be sent whether it was not sent, may have been, or must not be.

    Args:
        name: the transport's name, for error messages.
        make_wire: makes a wire for each attempt to connect; see `Wire`.
        settings: the broker, and how long to wait for it.
        capabilities: what it claims with its options.
        context: what the node gives; a transport on its own needs none.

    Example:
        What the factory of a plugin returns:

            BrokerTransport(
                "mqtt",
                partial(MQTTWire, options),
                BrokerSettings(place=options.place, connect_timeout=options.connect_timeout),
                capabilities_of(options),
                context,
            )
    """

    def __init__(
        self,
        name: str,
        make_wire: Callable[[], Wire],
        settings: BrokerSettings,
        capabilities: Capabilities,
        context: TransportContext | None = None,
    ) -> None:
        super().__init__(name, capabilities, context, linger=settings.linger)
        self._make_wire = make_wire
        self._settings = settings
        self._link: BrokerLink | None = None

    async def open(self) -> None:
        """Connect to the broker; wait for one that is not there yet."""
        self._link = BrokerLink(self._make_wire, self._settings, self.context, self.dispatcher)
        await self._link.open()

    async def close(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def listen(self, address: str) -> None:
        """Have the broker asked for an address; `wait_ready` waits for its answer."""
        if self._link is not None:
            self._link.change(address, wanted=True)

    async def forget(self, address: str) -> None:
        """Have the broker asked for no more frames of an address."""
        if self._link is not None:
            self._link.change(address, wanted=False)

    async def send(self, address: str, frame: bytes) -> None:
        """Hand a frame to the broker."""
        if self._link is None:
            raise self.not_started()
        try:
            await self._link.send(address, frame)
        except MessageRoutingError:
            if address.startswith(REPLY_PREFIX):
                self.context.dropped("reply without a request", frame)
            elif not address.startswith(RESERVED_PREFIX):  # those are for whoever listens
                raise

    async def prove(self) -> None:
        """Return when all that is subscribed is in place, and a probe has come back."""
        if self._link is None:
            raise self.not_started()
        await self._link.prove()
