"""Dialing: how a client gets connected to a server that fits, and how it gets rid of it again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
from nats.aio.client import Client

from civitas.errors import ConfigurationError, NotConnectedError
from civitas_nats.errors import AuthenticationError
from civitas_nats.login import log_in
from civitas_nats.options import HEADER_ROOM, NATSOptions
from civitas_nats.servers import shown
from civitas_nats.tasks import end
from civitas_nats.tls import asks_for_encryption, context_for
from civitas_nats.wire import CarefulClient, NotEncryptedError, abort, forget_unsent, wire_of

BETWEEN_TRIES: Final = 0.25
"""Seconds between two tries of one server."""

MOST_PENDING: Final = 1 << 20
"""Bytes that wait for the socket, beyond which a publish waits."""

_LONGEST_TRY: Final = 2.0
"""Seconds for one server to accept and to greet; one that stands still does not."""

_CLOSING: Final = 1.0
"""Seconds for a socket to close."""

_REFUSALS: Final = ("authorization violation", "authentication")
"""Words of the errors with which a server says that it does not let this process in."""

_ENDS: Final = (BrokenPipeError, ConnectionResetError, nats.errors.UnexpectedEOF)
"""Errors that say only that a connection has ended. A server that refuses a certificate may have
closed its socket before this process has read why (TLS 1.3): then an earlier try has told."""


class Dialer:
    """Makes clients that are connected.

    Args:
        options: what the topology says.
        name: how the servers call the connection.
        problem: called with each thing that hinders a connection, or ends it.
        dropped: called with a reason for each message that this process was too slow to take.
        reconnected: called when a client has connected again by itself.
    """

    def __init__(
        self,
        options: NATSOptions,
        name: str,
        *,
        problem: Callable[[str], None],
        dropped: Callable[[str], None],
        reconnected: Callable[[], None],
    ) -> None:
        self._options = options
        self._name = name
        self._problem = problem
        self._dropped = dropped
        self._reconnected = reconnected
        self._last_problem: str | None = None

    async def dial(self) -> Client:
        """Return a new client that is connected.

        Raises:
            AuthenticationError: the server does not let this process in.
            ConfigurationError: the options and the server don't fit each other.
            NotConnectedError: none answered within `connect_timeout`.
        """
        loop = asyncio.get_running_loop()
        refused: asyncio.Future[Exception] = loop.create_future()
        client = CarefulClient(encrypted=asks_for_encryption(self._options))
        connecting = loop.create_task(client.connect(**self._arguments(refused)))
        try:
            await asyncio.wait(
                (connecting, refused),
                timeout=self._options.connect_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._raise_unless(connecting, refused)
            self.check(client)
        except BaseException:
            await end(connecting)
            await hang_up(client)
            raise
        return client

    def check(self, client: Client) -> None:
        """See that the server gives what the options ask for.

        Raises:
            ConfigurationError: it does not.
        """
        room = client.max_payload - HEADER_ROOM
        if self._options.max_message_bytes > room:
            raise ConfigurationError(
                f"max_message_bytes is {self._options.max_message_bytes}, and {place_of(client)}"
                f" takes {client.max_payload} with {HEADER_ROOM} for headers: lower it to {room},"
                " or raise the server's max_payload"
            )

    def _raise_unless(
        self, connecting: asyncio.Task[None], refused: asyncio.Future[Exception]
    ) -> None:
        """Return when the client is connected."""
        servers, limit = shown(self._options.servers), self._options.connect_timeout
        if refused.done():
            error = refused.result()
            if isinstance(error, NotEncryptedError):
                raise ConfigurationError(
                    f"encryption is asked for (tls, or a server's URL), and {servers} does not"
                    " encrypt: the server needs tls, or the transport must not ask for it"
                )
            raise AuthenticationError(
                f"{servers} does not let this process in: {text_of(error)}; check credentials,"
                " nkey_seed, token, or user and password"
            )
        if not connecting.done():
            raise NotConnectedError(
                f"no NATS server at {servers} within {limit:g} s:"
                f" {self._last_problem or 'none answered'}"
            )
        try:
            connecting.result()
        except Exception as error:
            raise NotConnectedError(f"no connection to {servers}: {text_of(error)}") from error

    def _arguments(self, refused: asyncio.Future[Exception]) -> dict[str, Any]:
        options = self._options
        servers = list(options.servers)
        random.shuffle(servers)  # once: after a loss the next one is tried, not the same
        return {
            "servers": servers,
            "dont_randomize": True,
            "name": self._name,
            "tls": context_for(options),
            **log_in(options),
            "connect_timeout": min(options.connect_timeout, _LONGEST_TRY),
            "reconnect_time_wait": BETWEEN_TRIES,
            "max_reconnect_attempts": -1,
            "ping_interval": options.ping_interval,
            "max_outstanding_pings": 1,
            "pending_size": 4 * max(MOST_PENDING, options.max_message_bytes),
            "flush_timeout": options.send_timeout,
            "error_cb": self._error_callback(refused),
            "reconnected_cb": self._on_reconnected,
        }

    def _error_callback(
        self, refused: asyncio.Future[Exception]
    ) -> Callable[[Exception], Awaitable[None]]:
        async def on_error(error: Exception) -> None:
            if isinstance(error, nats.errors.SlowConsumerError):
                self._dropped("this process reads too slowly")
                return
            text = text_of(error)
            if self._last_problem is None or not isinstance(error, _ENDS):
                self._last_problem = text
            self._problem(text)
            fatal = isinstance(error, NotEncryptedError) or any(
                word in text.lower() for word in _REFUSALS
            )
            if fatal and not refused.done():
                refused.set_result(error)

        return on_error

    async def _on_reconnected(self) -> None:
        self._reconnected()


async def hang_up(client: Client) -> None:
    """Close a client, also one whose socket can't be closed in order."""
    forget_unsent(client)
    wire = wire_of(client)
    timer = None
    if wire is not None:
        timer = asyncio.get_running_loop().call_later(_CLOSING, abort, wire)
    try:
        await client.close()
    finally:
        if timer is not None:
            timer.cancel()
        wire = wire_of(client)
        if wire is not None:
            abort(wire)  # a close that was cancelled in the middle has not


def place_of(client: Client) -> str:
    """Return the server of a client, for messages."""
    url = client.connected_url
    return "the server" if url is None else shown([url.geturl()])


def text_of(error: BaseException) -> str:
    """Return what an error of nats-py says, for messages."""
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
