"""The client, its socket, and what passes through it, of which nats-py shows too little.

Seen in nats-py 2.16:

- With a server that stands still and bytes that it has not taken, the client waits in closing its
  old connection (`_attempt_reconnect` awaits `wait_closed`) for as long as the system keeps
  sending, before it tries another server. Aborting the socket ends that wait.
- A client that has something to send when it is closed, and no connection, raises
  ConnectionResetError from the middle of `close`, and its tasks stay behind.
- With certificates given it sends its login to a server that does not encrypt all the same.
- A message of anybody's whose reply subject or first line of headers is no text ends the reader,
  and the connection stands still until pings are missed; a stored one does so whenever it is given.
- A socket over which connecting again has failed is forgotten and stays open: one more with each
  try, for as long as a server stands still or refuses, until this process may open no more.

This is the only file that looks at private attributes of nats-py, whose version is pinned for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.msg import Msg


class NotEncryptedError(nats.errors.Error):
    """A server does not encrypt, and is told nothing."""


class CarefulClient(Client):
    """A client that reads on whatever comes, and tells who it is only where it may.

    It has one socket at a time. What is no text of a message's is left out.

    Args:
        encrypted: whether a login is sent through encrypted connections only.
    """

    def __init__(self, *, encrypted: bool) -> None:
        super().__init__()
        self._must_encrypt = encrypted

    async def _connect_to_server(self, s: Srv) -> None:
        wire = wire_of(self)
        if wire is not None:
            abort(wire)
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        wire = wire_of(self)
        if self._must_encrypt and (wire is None or not wire.get_extra_info("cipher")):
            raise NotEncryptedError("the server does not encrypt")
        command: bytes = super()._connect_command()
        return command

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        if not headers:
            return None
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        try:
            at, answer_at = subject.decode(), reply.decode()
        except UnicodeDecodeError:
            at, answer_at = subject.decode(errors="replace"), ""
        return Msg(self, at, answer_at, data, headers, _sid=sid)


def wire_of(client: Client) -> asyncio.WriteTransport | None:
    """Return the socket of a client's present connection; None while there is none."""
    connection = client._transport  # noqa: SLF001 - see above
    writer = getattr(connection, "_io_writer", None)
    return None if writer is None else writer.transport


def abort(wire: asyncio.WriteTransport) -> None:
    """Give up a socket, be it closed already, which an encrypted one bears not (Python 3.11.2)."""
    with suppress(AttributeError):
        wire.abort()


def offers_jetstream(client: Client) -> bool:
    """Return whether a client's present server has said, greeting it, that it has JetStream."""
    return bool(client._server_info.get("jetstream"))  # noqa: SLF001 - see above


def forget_unsent(client: Client) -> None:
    """Have a client that is about to be closed send nothing more."""
    client._pending = []  # noqa: SLF001 - see above
    client._pending_data_size = 0  # noqa: SLF001 - see above
