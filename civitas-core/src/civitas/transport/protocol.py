"""The Transport protocol: what carries frames from an address to its handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

Handler: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Awaited with each frame of an address, in the order received.

A handler may have a method `take(frame) -> bool` besides, which takes a frame without waiting, or
returns False so that the handler is awaited with it.
"""


class Transport(Protocol):
    """Carries frames between addresses. There is no base class: any class of this shape will do.

    `data` is a frame (`civitas.envelope`); a transport never decodes its body. An optional method
    `unsubscribe(address)` ends a subscription, and an optional attribute `capabilities` tells
    what the transport claims.
    """

    async def start(self) -> None:
        """Connect and bind.

        Raises:
            TransportError: it can't; the message says what to do.
        """
        ...

    async def stop(self) -> None:
        """Drain what was accepted and leave nothing behind. Idempotent, also half-started."""
        ...

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame that arrives at `address` to `handler`.

        An agent's address and a reply address have one owner; a system address (`_agency.`) may
        have many subscribers and reaches each of them. A handler that raises stops nothing.

        Raises:
            TransportError: the address has an owner already.
        """
        ...

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address.

        Raises:
            MessageRoutingError: it is known that nobody is there.
            MailboxFullError: there was no room in time.
            MessageTooLargeError: the frame is larger than this transport carries.
            NotConnectedError: the transport is not started, or stopped.
        """
        ...

    async def request(self, address: str, data: bytes, timeout: float) -> bytes:
        """Send a frame and return the frame that answers it.

        Raises:
            TimeoutError: no answer within `timeout` seconds.
        """
        ...

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive."""
        ...

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` is the reply address of a request in flight here."""
        ...
