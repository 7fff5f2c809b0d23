"""Probes: messages that a connection sends to itself, to prove that the server takes what it sends.

A server takes what one connection sends in order. So a probe that comes back proves that the server
has taken all messages and subscriptions that were sent before it. `Client.flush` proves nothing:
its PING overtakes what waits to be sent (nats-py 2.16).
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_LOOK: Final = 0.1
"""Seconds between two looks at whether the client has its connection."""


class Probes:
    """Sends probes and awaits them.

    Args:
        inbox: what the subjects of this connection begin with.
    """

    def __init__(self, inbox: str) -> None:
        self._prefix = f"{inbox}.probe."
        self.subject = f"{self._prefix}*"
        """Where probes come back; the connection subscribes `on_message` to it."""
        self._numbers = itertools.count(1)
        self._awaited: dict[str, asyncio.Future[None]] = {}

    async def come_back(self, client: Client | None, limit: float) -> bool:
        """Send a probe, and return whether it came back within `limit` seconds.

        It never comes back when the client loses its connection meanwhile: that is not waited for.
        """
        if client is None or not client.is_connected:
            await asyncio.sleep(min(limit, _LOOK))
            return False
        subject = f"{self._prefix}{next(self._numbers)}"
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[subject] = answer
        connection = _connection_of(client)
        try:
            async with asyncio.timeout(limit):
                await client.publish(subject)
                while _connection_of(client) == connection:
                    await asyncio.wait((answer,), timeout=_LOOK)
                    if answer.done():
                        return True
        except (TimeoutError, nats.errors.Error):
            pass
        finally:
            del self._awaited[subject]
        return False

    def is_own(self, subject: str) -> bool:
        """Return whether a subject is one of probes."""
        return subject.startswith(self._prefix)

    def on_message(self, message: Msg) -> None:
        """Note a probe that has come back."""
        answer = self._awaited.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(None)


def _connection_of(client: Client) -> int | None:
    """Return which of its connections a client has; None while it has none."""
    return client.stats["reconnects"] if client.is_connected else None
