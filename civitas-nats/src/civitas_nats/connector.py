"""Connector: makes clients that are connected to a server that fits, and closes them.

The defaults of nats-py 2.16 are too slow or too short for a node, and are all set here: it notices
a dead server after 6 minutes, gives up after 60 attempts, and lets a publish wait for ever
(`flush_timeout`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
from nats.aio.client import Client

from civitas.errors import AccessDeniedError, ConfigurationError, NotConnectedError, describe
from civitas.transport import guard_callback
from civitas_nats.client import (
    HardenedClient,
    NotEncryptedError,
    RefusedError,
    abort_socket,
    cancel_and_wait,
    discard_unsent,
    end_reconnecting,
    socket_of,
)
from civitas_nats.login import log_in
from civitas_nats.options import HEADER_ROOM, NATSOptions
from civitas_nats.tls import asks_for_encryption, context_for
from civitas_nats.urls import mask_logins

_NAME: Final = "civitas nats connector"

RETRY_PAUSE: Final = 0.25
"""Seconds between two attempts to connect to one server."""

MAX_PENDING_BYTES: Final = 1 << 20
"""Bytes that wait for the socket, beyond which a publish waits."""

_MAX_ATTEMPT: Final = 2.0
"""Seconds for one server to accept a connection and to greet; one that stands still does not."""

_CLOSE_WITHIN: Final = 1.0
"""Seconds for a socket to close."""

_REFUSALS: Final = ("authorization violation", "authentication")
"""Words of the errors with which a server says that it does not let this process in."""

_WITHOUT_REASON: Final = (BrokenPipeError, ConnectionResetError, nats.errors.UnexpectedEOF)
"""Errors that say only that a connection has ended. They do not replace an error that says why: a
server that refuses a certificate may close its socket before this process has read the reason
(TLS 1.3), and an earlier attempt has read it."""


class Connector:
    """Makes clients that are connected.

    Args:
        options: what the topology says.
        name: what the servers call the connection.
        inbox: what the inbox of the client begins with.
        problem: called with each error that prevents a connection, or ends it.
        refused: called with what permissions forbid.
        reconnected: called when a client has connected again by itself.
        failed: called when one of the others has raised: nats-py 2.16 would keep that to itself.
    """

    def __init__(
        self,
        options: NATSOptions,
        name: str,
        inbox: str,
        *,
        problem: Callable[[str], None],
        refused: Callable[[RefusedError], None],
        reconnected: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._options = options
        self._name = name
        self._inbox = inbox
        self._problem = problem
        self._refused = refused
        self._reconnected = guard_callback(reconnected, name=_NAME, failed=failed)
        self._failed = failed
        self._last_problem: str | None = None

    async def connect(self) -> HardenedClient:
        """Return a new client that is connected.

        Raises:
            AccessDeniedError: the server does not let this process in.
            ConfigurationError: the options and the server don't fit each other.
            NotConnectedError: none answered within `connect_timeout`.
        """
        loop = asyncio.get_running_loop()
        refused: asyncio.Future[Exception] = loop.create_future()
        client = HardenedClient(encrypted=asks_for_encryption(self._options))
        connecting = loop.create_task(client.connect(**self._arguments(refused)))
        try:
            await asyncio.wait(
                (connecting, refused),
                timeout=self._options.connect_timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._check_connected(connecting, refused)
            self.check(client)
        except BaseException:
            try:
                await cancel_and_wait(connecting)
            finally:  # also when it is cancelled once more
                await close_client(client)
            raise
        return client

    def check(self, client: Client) -> None:
        """Check that the server takes messages as large as the options allow.

        Raises:
            ConfigurationError: it does not.
        """
        room = client.max_payload - HEADER_ROOM
        if self._options.max_message_bytes > room:
            raise ConfigurationError(
                f"max_message_bytes is {self._options.max_message_bytes}, and {server_of(client)}"
                f" takes {client.max_payload} with {HEADER_ROOM} for headers: lower it to {room},"
                " or raise the server's max_payload"
            )

    def _check_connected(
        self, connecting: asyncio.Task[None], refused: asyncio.Future[Exception]
    ) -> None:
        """Raise the error that explains why the client is not connected, if it is not."""
        servers, limit = mask_logins(self._options.servers), self._options.connect_timeout
        if refused.done():
            error = refused.result()
            if isinstance(error, NotEncryptedError):
                raise ConfigurationError(
                    f"encryption is asked for (tls, or a server's URL), and {servers} does not"
                    " encrypt: the server needs tls, or the transport must not ask for it"
                )
            raise AccessDeniedError(
                f"{servers} does not let this process in: {error_text(error)}; check credentials,"
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
            raise NotConnectedError(f"no connection to {servers}: {error_text(error)}") from error

    def _arguments(self, refused: asyncio.Future[Exception]) -> dict[str, Any]:
        options = self._options
        servers = list(options.servers)
        random.shuffle(servers)  # once: after a loss the client tries the next one, not the same
        return {
            "servers": servers,
            "dont_randomize": True,
            "name": self._name,
            "inbox_prefix": self._inbox,
            "tls": context_for(options),
            **log_in(options),
            "connect_timeout": min(options.connect_timeout, _MAX_ATTEMPT),
            "reconnect_time_wait": RETRY_PAUSE,
            "max_reconnect_attempts": -1,
            "ping_interval": options.ping_interval,
            "max_outstanding_pings": 1,
            "pending_size": 4 * max(MAX_PENDING_BYTES, options.max_message_bytes),
            "flush_timeout": options.send_timeout,
            "error_cb": self._error_callback(refused),
            "reconnected_cb": self._on_reconnected,
        }

    def _error_callback(
        self, refused: asyncio.Future[Exception]
    ) -> Callable[[Exception], Awaitable[None]]:
        def take(error: Exception) -> None:
            if isinstance(error, RefusedError):
                self._refused(error)
                return
            text = error_text(error)
            if self._last_problem is None or not isinstance(error, _WITHOUT_REASON):
                self._last_problem = text
            self._problem(text)
            fatal = isinstance(error, NotEncryptedError) or any(
                word in text.lower() for word in _REFUSALS
            )
            if fatal and not refused.done():
                refused.set_result(error)

        guarded = guard_callback(take, name=_NAME, failed=self._failed)

        async def on_error(error: Exception) -> None:
            guarded(error)

        return on_error

    async def _on_reconnected(self) -> None:
        self._reconnected()


async def close_client(client: Client) -> None:
    """Close a client; a socket that does not close in time is aborted.

    `drain` is not used: it raises while the client reconnects (nats-py 2.16).
    """
    try:
        await end_reconnecting(client)
    finally:  # also when it is cancelled
        await _close_in_time(client)


async def _close_in_time(client: Client) -> None:
    discard_unsent(client)
    socket = socket_of(client)
    timer = None
    if socket is not None:
        timer = asyncio.get_running_loop().call_later(_CLOSE_WITHIN, abort_socket, socket)
    try:
        await client.close()
    finally:
        if timer is not None:
            timer.cancel()
        socket = socket_of(client)
        if socket is not None:
            abort_socket(socket)  # a close that was cancelled leaves it open


def server_of(client: Client) -> str:
    """Return the server of a client, for messages."""
    url = client.connected_url
    return "the server" if url is None else mask_logins([url.geturl()])


def error_text(error: BaseException) -> str:
    """Return the text of an error of nats-py, for messages."""
    kind, text = describe(error)
    return text.removeprefix("nats: ").strip("'") or kind
