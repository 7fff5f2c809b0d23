"""InProcessTransport: within one process, a publish awaits the handler itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from civitas.envelope import UnsealedRequest
from civitas.errors import (
    CivitasError,
    ConfigurationError,
    MessageRoutingError,
    NotConnectedError,
    TransportError,
    crash_unless_cancelled,
)
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport.protocol import Handler, Transport
from civitas.transport.reply_inbox import ReplyInbox


class InProcessTransport:
    """Carries frames within one process.

    There is no queue of its own: `publish` awaits the subscriber's handler, which puts the frame
    into the agent's mailbox and waits there for room, so a full mailbox is felt by its sender.

    Args:
        context: what the node gives; a transport on its own needs none.

    Raises:
        ConfigurationError: it is something else, such as a serializer.
    """

    capabilities: Final = Capabilities()

    def __init__(self, context: TransportContext | None = None) -> None:
        if not isinstance(context, TransportContext | None):
            raise ConfigurationError(
                f"InProcessTransport takes a TransportContext or nothing, not "
                f"{type(context).__name__}; a serializer is given to the node"
            )
        self._context = context or TransportContext()
        self.inbox: Final = ReplyInbox(
            self._context.node if context is not None else None, self._context.dropped
        )
        """The requests in flight; a transport that is built around this one shares it."""
        self._handlers: dict[str, Handler] = {}
        self._system: dict[str, list[Handler]] = {}
        self.reachable: Mapping[str, Handler] = {}  # the same dict while started, an empty one else
        """The addresses of this process to which it would deliver now, with their handlers."""
        self._started = False

    @property
    def within_process(self) -> InProcessTransport | None:
        """Itself, see `within_process_of`; a subclass may want to see each frame."""
        return self if type(self) is InProcessTransport else None

    async def start(self) -> None:
        """Accept frames from now on."""
        self._started = True
        self.inbox.loop = asyncio.get_running_loop()
        self.reachable = self._handlers
        self._handlers[self.inbox.address] = self.inbox

    async def stop(self) -> None:
        """Forget all subscriptions and fail the requests in flight."""
        self._started = False
        self.inbox.loop = None
        self.reachable = {}
        self._handlers.clear()
        self._system.clear()
        self.inbox.close()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`."""
        if address.startswith(RESERVED_PREFIX):
            self._system.setdefault(address, []).append(handler)
            return
        if address in self._handlers:
            raise TransportError(f"address {address!r} has an owner already")
        self._handlers[address] = handler

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone."""
        self._handlers.pop(address, None)
        self._system.pop(address, None)

    def __contains__(self, address: str) -> bool:
        """Return whether an agent or an inbox of this process owns the address."""
        return address in self.reachable

    async def publish(self, address: str, data: bytes) -> None:
        """Await the handler of `address` with the frame."""
        handler = self.reachable.get(address)
        if handler is None:
            await self._publish_elsewhere(address, data)
            return
        try:
            await handler(data)
        except CivitasError:
            raise  # the verdict of a mailbox or of the registry: the sender's to know
        except BaseException as error:  # noqa: BLE001 - one that raises never stops the transport
            self._survive(address, data, crash_unless_cancelled(error))

    async def request(
        self, address: str, data: bytes | UnsealedRequest, timeout: float | None
    ) -> bytes:
        """Send a frame and return the frame that answers it."""
        return await self.inbox.request(data, timeout, partial(self.publish, address))

    async def wait_ready(self) -> None:
        """Return at once: a subscription works from the moment it is made."""

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self.inbox.has(address)

    async def _publish_elsewhere(self, address: str, data: bytes) -> None:
        if not self._started:
            raise NotConnectedError("the in-process transport is not started")
        if address.startswith(RESERVED_PREFIX):
            for handler in tuple(self._system.get(address, ())):
                try:
                    await handler(data)
                except BaseException as error:  # noqa: BLE001 - nor the handlers after it
                    self._survive(address, data, crash_unless_cancelled(error))
        elif address.startswith(REPLY_PREFIX):
            self._context.dropped("reply without a request", data)
        else:
            raise MessageRoutingError(f"nobody listens at {address!r}")

    def _survive(self, address: str, data: bytes, error: Exception) -> None:
        self._context.logger.error("the handler of %r raised", address, exc_info=error)
        self._context.dropped("handler raised", data)


def within_process_of(transport: Transport) -> InProcessTransport | None:
    """Return what delivers within the process for a transport; None where that sees each frame.

    It is its attribute `within_process`. A transport that has one promises that what it does with a
    frame for an address that is `reachable` there, and with a request, is what that does: hand it
    over. So core may do it without a frame, and gives requests as `UnsealedRequest`.
    """
    found = getattr(transport, "within_process", None)
    return found if type(found) is InProcessTransport else None
