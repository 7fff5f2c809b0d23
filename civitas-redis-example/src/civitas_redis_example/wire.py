"""RedisWire: two connections to a server, all that core does not know of this transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ResponseError,
)

from civitas.errors import AccessDeniedError, MessageRoutingError, TransportError
from civitas.transport import Outgoing
from civitas_redis_example.connections import check_files, make_connection
from civitas_redis_example.options import RedisOptions


class RedisWire:
    """Publishes on one connection and reads on another.

    So the answer to a PUBLISH does not wait behind what there is to read. Agent `a` is the channel
    `<prefix>a`.

    Args:
        options: what the topology says.
        process: the node's process name.
    """

    def __init__(self, options: RedisOptions, process: str) -> None:
        self._options = options
        self._prefix = options.prefix.encode()
        self._publisher = make_connection(options, process)
        self._subscriber = make_connection(options, process)
        self._numbers = count(1)
        self._asked: asyncio.Future[None] | None = None
        self._token = b""

    async def connect(self) -> None:
        """Connect, log in, and be greeted.

        Raises:
            AccessDeniedError: the server does not let this process in.
            ConfigurationError: a file of `tls` is not what it should be.
        """
        if self._options.tls is not None:
            check_files(self._options.tls)
        try:
            for connection in (self._publisher, self._subscriber):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise self._denied(error) from error

    async def subscribe(self, addresses: Sequence[str]) -> None:
        """Ask for channels, and return when the server has confirmed it."""
        await self._ask("SUBSCRIBE", addresses)

    async def unsubscribe(self, addresses: Sequence[str]) -> None:
        """Ask for no more of channels."""
        await self._ask("UNSUBSCRIBE", addresses)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Send frames, and then read the answers: how many connections have got each."""
        commands = [("PUBLISH", self._channel(each.address), each.frame) for each in batch]
        await self._publisher.send_packed_command(self._publisher.pack_commands(commands))
        for each in batch:
            try:
                if await self._publisher.read_response():
                    each.sent()
                else:
                    each.refuse(self._nobody(each.address))
            except NoPermissionError as error:
                each.refuse(self._denied(error))
            except ResponseError as error:
                each.refuse(TransportError(f"{self._options.place} refuses a frame: {error}"))

    async def receive(self, deliver: Callable[[str, bytes], None]) -> None:
        """Give what comes to `deliver`."""
        start = len(self._prefix)
        while True:
            try:
                answer = await self._subscriber.read_response()
            except NoPermissionError as error:
                self._answered(self._denied(error))
                continue
            match answer:
                case [b"message", channel, frame]:
                    deliver(channel[start:].decode(), frame)
                case [b"pong", token] | token if token == self._token:  # without channels only that
                    self._answered(None)

    async def close(self) -> None:
        """Close both connections; all that was published has been answered."""
        await self._publisher.disconnect(nowait=True)
        await self._subscriber.disconnect(nowait=True)

    # --- parts --------------------------------------------------------------------------------

    async def _ask(self, command: str, addresses: Sequence[str]) -> None:
        """Send a command, and a PING: it is answered when the command has been carried out."""
        self._token = b"%d" % next(self._numbers)
        self._asked = asyncio.get_running_loop().create_future()
        commands: list[tuple[Any, ...]] = [
            (command, *map(self._channel, addresses)),
            ("PING", self._token),
        ]
        await self._subscriber.send_packed_command(self._subscriber.pack_commands(commands))
        await self._asked

    def _answered(self, error: Exception | None) -> None:
        if self._asked is None or self._asked.done():
            return
        if error is None:
            self._asked.set_result(None)
        else:
            self._asked.set_exception(error)

    def _channel(self, address: str) -> bytes:
        return self._prefix + address.encode()

    def _nobody(self, address: str) -> MessageRoutingError:
        return MessageRoutingError(
            f"nobody listens at {address!r}: its process has gone, or has lost the server"
        )

    def _denied(self, error: Exception) -> AccessDeniedError:
        if isinstance(error, NoPermissionError):
            return AccessDeniedError(
                f"{self._options.place} lets this user do too little: {error}; its ACL must have "
                f"the commands of pub/sub and the channels that begin with the option prefix"
            )
        return AccessDeniedError(
            f"{self._options.place} does not let this process in: {error}; check username and "
            f"password"
        )
