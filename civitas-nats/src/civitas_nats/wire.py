"""The client's socket, which nats-py does not show.

Seen in nats-py 2.16: with a server that stands still and bytes that it has not taken, the client
waits in closing its old connection (`_attempt_reconnect` awaits `wait_closed`) for as long as the
system keeps sending, before it tries another server. Aborting the socket ends that wait.
"""

from __future__ import annotations

import asyncio

from nats.aio.client import Client


def wire_of(client: Client) -> asyncio.WriteTransport | None:
    """Return the socket of a client's present connection; None while there is none.

    This is the only place that looks at private attributes of nats-py, whose version is pinned for
    it.
    """
    connection = client._transport  # noqa: SLF001 - see above
    writer = getattr(connection, "_io_writer", None)
    return None if writer is None else writer.transport
