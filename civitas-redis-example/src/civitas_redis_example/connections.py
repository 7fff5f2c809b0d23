"""Connections of redis-py, made the way this transport needs them."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection

from civitas.errors import ConfigurationError
from civitas_redis_example.options import RedisOptions, TLSOptions


class _Abrupt(AbstractConnection):
    """A connection that is given up at once.

    When redis-py (8.1) closes a socket with bytes that a server which stands still has not taken,
    the socket stays open for as long as the system keeps sending. What is worth waiting for is
    awaited before: the answer to each command.
    """

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        if self._writer is not None:
            with suppress(AttributeError):  # of one that is encrypted, and closed (Python 3.11.2)
                self._writer.transport.abort()
        await super().disconnect(*args, **kwargs)


class _Plain(_Abrupt, Connection):
    """Over TCP."""


class _Encrypted(_Abrupt, SSLConnection):
    """Over TLS."""


def make_connection(options: RedisOptions, process: str) -> Connection:
    """Return a connection that is not connected yet.

    It has no timeouts of its own, which would be one for each read: its session has them.

    Args:
        options: what the topology says.
        process: the node's process name; `CLIENT LIST` of the server shows it.
    """
    host, port = options.address
    username, password = options.login
    arguments: dict[str, Any] = {
        "host": host,
        "port": port,
        "username": username,
        "password": password,
        "client_name": quote(f"civitas-{process}"),  # the server takes no spaces, and only ASCII
        "protocol": 2,  # answers to subscriptions are then answers like all others
        "socket_timeout": None,
        "socket_connect_timeout": options.connect_timeout,
    }
    if not options.url.startswith("rediss:"):
        return _Plain(**arguments)
    tls = options.tls or TLSOptions()
    arguments |= {"ssl_ca_certs": tls.ca, "ssl_certfile": tls.cert, "ssl_keyfile": tls.key}
    arguments |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}  # not so in redis-py 5
    return _Encrypted(**arguments)


def check_files(tls: TLSOptions) -> None:
    """See that the files are what they should be, before a connection uses them.

    Raises:
        ConfigurationError: one can't be read, or is something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    checked = f"tls.ca: {tls.ca}"
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        checked = f"tls.cert and tls.key: {tls.cert} and {tls.key}"
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key, password=_ask_nobody)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{checked} can't be used: {error}") from error


def _ask_nobody() -> str:
    """Keep OpenSSL from asking at the terminal, which would hold up the process."""
    raise ConfigurationError("tls.key has a passphrase: give a key without one")
