"""RedisTransport: the methods of the contract, and which part does what of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from civitas.errors import MessageRoutingError, MessageTooLargeError, NotConnectedError
from civitas.messages import REPLY_PREFIX, RESERVED_PREFIX
from civitas.plugins import Capabilities, TransportContext
from civitas.transport import Dispatcher, Handler, InProcessTransport
from civitas_redis_example.connections import check_files
from civitas_redis_example.options import RedisOptions, capabilities_of
from civitas_redis_example.reconnecting_session import ReconnectingSession

_LINGER: Final = 1.0
"""Seconds within which a stop lets handlers finish."""


class RedisTransport:
    """Carries frames between all processes that are connected to one Redis server.

    Frames for an agent of this process go to its handler at once. All others, and those for system
    addresses whoever listens, go through the server, at most once.

    Args:
        options: what the topology says.
        context: what the node gives; a transport on its own needs none.
    """

    def __init__(
        self, options: RedisOptions | None = None, context: TransportContext | None = None
    ) -> None:
        self._options = options or RedisOptions()
        self._context = context or TransportContext()
        self.capabilities: Final[Capabilities] = capabilities_of(self._options)
        self._local = InProcessTransport(context)
        self._dispatcher = Dispatcher(self._context)
        self._sessions: ReconnectingSession | None = None
        self._stopping = asyncio.Lock()

    async def start(self) -> None:
        """Connect to the server.

        Raises:
            AccessDeniedError: it does not let this process in.
            ConfigurationError: a file of `tls` is not what it should be.
            NotConnectedError: there was none within `connect_timeout`.
        """
        if self._sessions is not None:
            return
        if self._options.tls is not None:
            check_files(self._options.tls)
        inbox = self._local.inbox
        if inbox.address not in self._dispatcher:
            self._dispatcher.subscribe(inbox.address, inbox)
        sessions = ReconnectingSession(self._options, self._context, self._dispatcher)
        self._sessions = sessions
        try:
            await sessions.open()
        except BaseException:
            if self._sessions is sessions:
                self._sessions = None
            await sessions.close()
            raise
        await self._local.start()

    async def stop(self) -> None:
        """Let handlers finish, and close what was opened."""
        async with self._stopping:
            await self._local.stop()
            await self._dispatcher.close(_LINGER)
            sessions, self._sessions = self._sessions, None
            if sessions is not None:
                await sessions.close()

    async def subscribe(self, address: str, handler: Handler) -> None:
        """Give each frame for `address` to `handler`."""
        if not address.startswith(RESERVED_PREFIX):  # system addresses have many subscribers
            await self._local.subscribe(address, handler)
        if self._dispatcher.subscribe(address, handler) and self._sessions is not None:
            await self._sessions.current.subscribe(address)

    async def unsubscribe(self, address: str) -> None:
        """Give no more frames for `address` to anyone."""
        if address not in self._dispatcher:
            return
        if self._sessions is not None:
            await self._sessions.current.unsubscribe(address)
        await self._local.unsubscribe(address)
        await self._dispatcher.unsubscribe(address)

    async def publish(self, address: str, data: bytes) -> None:
        """Send a frame to an address.

        Raises:
            MessageTooLargeError: the frame is larger than `max_message_bytes`.
            MessageRoutingError: nobody is subscribed to the address of an agent.
            NotConnectedError: not started, stopped, or the server is away.
            OutcomeUnknownError: the connection was lost before the server answered.
        """
        largest = self._options.max_message_bytes
        if len(data) > largest:
            raise MessageTooLargeError(
                f"a frame of {len(data)} bytes for {address!r} is more than max_message_bytes"
                f" ({largest}): send less, or raise that option in every process"
            )
        if address in self._local:  # a full mailbox is felt by the sender
            await self._local.publish(address, data)
        elif self._sessions is None:
            raise NotConnectedError("the redis transport is not started")
        elif not await self._sessions.publish(address, data):  # the server gave it to nobody
            if address.startswith(REPLY_PREFIX):
                self._context.dropped("reply without a request", data)
            elif not address.startswith(RESERVED_PREFIX):  # those are for whoever listens
                raise MessageRoutingError(
                    f"nobody listens at {address!r}: its process has gone, or has lost the server"
                )

    async def request(self, address: str, data: bytes, timeout: float | None) -> bytes:
        """Send a frame and return the frame that answers it."""
        if self._sessions is None or self._stopping.locked():
            raise NotConnectedError("the redis transport is not started")
        send = partial(self.publish, address)
        return await self._local.inbox.request(data, timeout, send)

    async def wait_ready(self) -> None:
        """Return when a frame published anywhere to an address subscribed here would arrive.

        Raises:
            NotConnectedError: not started, or the server was away for `connect_timeout`.
        """
        if self._sessions is None:
            raise NotConnectedError("the redis transport is not started")
        await self._sessions.wait_ready()

    def has_reply_address(self, address: str) -> bool:
        """Return whether `address` belongs to a request in flight."""
        return self._local.inbox.has(address)
