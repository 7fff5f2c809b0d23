"""Acknowledgements: here, and only here, a server is sent what became of a message of a stream.

| sent    | when                                  | what the server does                         |
|---------|---------------------------------------|----------------------------------------------|
| `+ACK`  | the agent has processed the message   | removes it from the stream, a work queue     |
| `+TERM` | it was given up, and is a dead letter | removes it as well                           |
| `+WPI`  | the message is held or handled        | waits for another `ack_wait`                 |

No `+NAK` is ever sent: the server would deliver the message again at once, without a delay, and
behind the later ones of the window. A message that failed is handled again by this process, in its
place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import nats.errors

from civitas_nats.connection import Connection
from civitas_nats.jetstream.window import Held

ACK: Final = b"+ACK"
TERM: Final = b"+TERM"
_IN_PROGRESS: Final = b"+WPI"

_CONFIRMED_WITHIN: Final = 2.0
"""Seconds for the server to confirm the last acknowledgement."""


class Acknowledger:
    """Acknowledges the messages of one agent. Each message has a subject for that, its `reply`.

    Args:
        agent: the agent's name, for messages.
        connection: carries the acknowledgements.
        logger: where it is noted that the server did not confirm.
    """

    def __init__(self, agent: str, connection: Connection, logger: logging.Logger) -> None:
        self._agent = agent
        self._connection = connection
        self._logger = logger
        self._last_reply = ""
        self._repeated: list[str] = []

    async def settle(self, held: Held, outcome: bytes) -> None:
        """Send the outcome of a message, `ACK` or `TERM`.

        Raises:
            TransportError: it is not sent; the server will deliver the message again.
        """
        self._last_reply = held.reply
        if held.reply:
            await self._connection.publish(held.reply, outcome)

    def repeat_later(self, reply: str) -> None:
        """Note a message that was processed and is delivered again: its `+ACK` did not arrive."""
        self._repeated.append(reply)

    async def repeat(self) -> None:
        """Acknowledge again what `repeat_later` has noted.

        Raises:
            TransportError: not all is sent; the rest stays noted.
        """
        while self._repeated:
            await self._connection.publish(self._repeated[-1], ACK)
            self._repeated.pop()

    async def extend(self, messages: Iterable[Held]) -> None:
        """Have the server wait for another `ack_wait`: these messages are held.

        Raises:
            TransportError: not all is sent.
        """
        for held in messages:
            if held.reply:
                await self._connection.publish(held.reply, _IN_PROGRESS)

    async def confirm(self) -> None:
        """Return when the server has taken all acknowledgements, as it confirms the last one.

        It takes them in order. When it does not confirm, some messages are delivered twice.
        """
        if not self._last_reply:
            return
        try:
            client = self._connection.client
            await client.request(self._last_reply, ACK, timeout=_CONFIRMED_WITHIN)
        except (TimeoutError, nats.errors.Error) as error:
            self._logger.debug("acknowledgements of %r: %s", self._agent, error)

    def forget(self) -> None:
        """Forget all subjects: the stream was deleted, and they may belong to other messages."""
        self._last_reply = ""
        self._repeated.clear()
