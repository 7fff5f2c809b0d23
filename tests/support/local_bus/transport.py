"""LocalBusTransport: agents of several processes of one machine, over a broker on a unix socket."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from civitas.errors import MessageTooLargeError, NotConnectedError, TransportError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import Dispatcher, Handler, InProcessTransport
from support.local_bus import wire
from support.local_bus.broker import Broker, BrokerRunningError
from support.local_bus.link import Link
from support.local_bus.options import LocalBusOptions

_DRAIN: Final = 1.0
"""Seconds in which handlers finish with what has arrived, when the transport stops."""


def capabilities_for(options: LocalBusOptions) -> Capabilities:
    """Return what the local bus claims with these options."""
    return Capabilities(
        cross_process=True,
        survives_broker_restart=True,
        max_message_bytes=options.max_message_bytes,
    )


class LocalBusTransport:
    """Carries frames between the processes that name the same socket.

    Frames for an agent of this process do not leave it. The bus delivers at most once: what finds
    a buffer full, or a connection lost, is gone.

    Args:
        options: where the broker is, and who starts it.
        context: what the node gives; a transport on its own needs none.

    Attributes:
        lost: frames that `cut` and `lose` have made away with.
    """

    def __init__(self, options: LocalBusOptions, context: TransportContext | None = None) -> None:
        self.capabilities = capabilities_for(options)
        self.lost = 0
        self._options = options
        self._context = context or TransportContext()
        self._local = InProcessTransport(context)
        self._dispatcher = Dispatcher(self._context)
        self._broker: Broker | None = None
        self._link: Link | None = None
        self._to_lose = 0
        self._to_lose_at: dict[str, int] = {}

    async def start(self) -> None:
        """Start the broker if that is this process's part, and connect to it if it is there.

        Raises:
            TransportError: the transport is started already, or there can't be a socket.
        """
        if self._link is not None:
            raise TransportError("the local bus is started already")
        if self._options.start_broker and self._context.is_primary:
            self._start_broker()
        await self._local.start()
        inbox = self._local.inbox
        self._dispatcher.subscribe(inbox.address, inbox)
        self._link = Link(
            self._options.path,
            self._context,
            self._dispatcher.addresses,
            self._dispatcher.deliver,
        )
        await self._link.start()

    async def stop(self) -> None:
        """Let the broker take what was sent and the handlers what has come, then end all."""
        link, self._link = self._link, None
        broker, self._broker = self._broker, None
        if link is not None:
            await link.stop()
        await self._dispatcher.close(_DRAIN)
        await self._local.stop()
        if broker is not None:
            await asyncio.to_thread(broker.stop)

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`.

        Raises:
            TransportError: the address has an owner in this process already.
        """
        if not address.startswith(RESERVED_PREFIX):
            await self._local.subscribe(address, handler)
        if self._dispatcher.subscribe(address, handler) and self._link is not None:
            self._link.tell(wire.pack(wire.SUB, address.encode()))

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone here."""
        if address in self._dispatcher and self._link is not None:
            self._link.tell(wire.pack(wire.UNSUB, address.encode()))
        await self._local.unsubscribe(address)
        await self._dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame: to the handler itself when it is of this process, else to the broker.

        Raises:
            MessageTooLargeError: the frame is larger than `max_message_bytes`.
            NotConnectedError: not started, or no connection to the broker.
        """
        link = self._link
        if link is None:
            raise NotConnectedError("the local bus is not started")
        limit = self._options.max_message_bytes
        if len(data) > limit:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r}: the local bus carries {limit}; "
                f"see its option max_message_bytes"
            )
        if address in self._local:
            await self._local.publish(address, data)
        elif not self._loses(address):
            await link.send(wire.pack(wire.PUB, address.encode(), data))

    async def request(self, address: str, data: bytes, timeout: float | None) -> bytes:
        """Send a frame and return the frame that answers it."""
        send = partial(self.publish, address)
        return await self._local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Wait for the broker, then for its word that it has done all subscriptions.

        Raises:
            NotConnectedError: the transport is not started, or is stopped meanwhile.
        """
        if self._link is None:
            raise NotConnectedError("the local bus is not started")
        await self._link.barrier()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._local.has_reply_address(address)

    # --- for tests of what happens to losses --------------------------------------------------

    def cut(self, lose: int) -> None:
        """Lose the next `lose` frames published over the wire, whatever their addresses."""
        self._to_lose = lose

    def lose(self, address: str, count: int) -> None:
        """Lose the next `count` frames published over the wire to one address."""
        self._to_lose_at[address] = count

    def _loses(self, address: str) -> bool:
        if self._to_lose_at.get(address, 0):
            self._to_lose_at[address] -= 1
        elif self._to_lose:
            self._to_lose -= 1
        else:
            return False
        self.lost += 1
        return True

    # --- parts --------------------------------------------------------------------------------

    def _start_broker(self) -> None:
        self._broker = Broker(self._options.path)
        try:
            self._broker.start()
        except BrokerRunningError:
            self._broker = None
            self._context.logger.info("a broker runs at %s already", self._options.path)
        except OSError as error:
            raise TransportError(f"no socket at {self._options.path}: {error}") from error
