"""BareTransport: a transport that declares nothing, made to behave like one that does.

A class with only the seven methods of the contract (wired by hand, no plugin, no helper of ours)
may have a reply scheme of its own: it decodes a request, sets `reply_to`, and encodes it again. It
may await each handler in its only reader, and bound nothing but the wait for an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from civitas import envelope
from civitas.errors import MailboxFullError
from civitas.transport import Handler, Transport


class BareTransport:
    """Wraps a transport without capabilities.

    Args:
        transport: the class with the seven methods.
        head: returns the header of this node's frames. A body that comes without one gets it, so
            that whoever reads it needs to know of none of this.
        send_timeout: returns the seconds that a publish may take.
    """

    def __init__(
        self,
        transport: Transport,
        head: Callable[[], bytes],
        send_timeout: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._head = head
        self._send_timeout = send_timeout
        self.start = transport.start
        self.stop = transport.stop
        self.wait_ready = transport.wait_ready
        self.has_reply_address = transport.has_reply_address
        self.backlog = getattr(transport, "backlog", None)

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame, or body without one, to `handler` as a frame."""

        async def receive(data: bytes) -> None:
            await handler(self._framed(data))

        await self._transport.subscribe(address, receive)

    async def unsubscribe(self, address: str) -> None:
        """End a subscription, where the transport can."""
        unsubscribe = getattr(self._transport, "unsubscribe", None)
        if unsubscribe is not None:
            await unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Publish within `send_timeout`: the transport may await the handler, for ever."""
        limit = self._send_timeout()
        try:
            async with asyncio.timeout(limit):
                await self._transport.publish(address, data)
        except MailboxFullError:
            raise
        except TimeoutError:
            raise MailboxFullError(
                f"agent {address!r} took no more for {limit:g} s; it handles messages slower than "
                f"they come"
            ) from None

    async def request(self, address: str, data: bytes, timeout: float) -> bytes:
        """Send a request and return the frame that answers it, both within `timeout` seconds."""
        async with asyncio.timeout(timeout):
            return self._framed(await self._transport.request(address, data, timeout))

    def _framed(self, data: bytes) -> bytes:
        return data if envelope.is_frame(data) else self._head() + data
