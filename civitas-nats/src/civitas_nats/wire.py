"""The client's socket, and what waits for it, which nats-py does not show.

Seen in nats-py 2.16:

- With a server that stands still and bytes that it has not taken, the client waits in closing its
  old connection (`_attempt_reconnect` awaits `wait_closed`) for as long as the system keeps
  sending, before it tries another server. Aborting the socket ends that wait.
- A client that has something to send when it is closed, and no connection, raises
  ConnectionResetError from the middle of `close`, and its tasks stay behind.

This is the only file that looks at private attributes of nats-py, whose version is pinned for it.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client


def wire_of(client: Client) -> asyncio.WriteTransport | None:
    """Return the socket of a client's present connection; None while there is none."""
    connection = client._transport  # noqa: SLF001 - see above
    writer = getattr(connection, "_io_writer", None)
    return None if writer is None else writer.transport


def forget_unsent(client: Client) -> None:
    """Have a client that is about to be closed send nothing more."""
    client._pending = []  # noqa: SLF001 - see above
    client._pending_data_size = 0  # noqa: SLF001 - see above
