"""Acknowledgements: here, and only here, a server is sent what became of a message of a stream.

| sent    | when                                  | what the server does                         |
|---------|---------------------------------------|----------------------------------------------|
| `+ACK`  | the agent has processed the message   | removes it from the stream, a work queue     |
| `+TERM` | it was given up, and is a dead letter | removes it as well                           |
| `+WPI`  | the message is held or handled        | waits for another `ack_wait`                 |

No `+NAK` is ever sent: the server would deliver the message again at once, without a delay, and
behind the later ones of the window. A message that failed is handled again by this process, in its
place.

A write for each `+ACK` took a quarter of the time that its reader spends on a message, and the
server reads each. So those of a burst go together: one write for six messages of a stream. The
first one goes at once, and so does each one of a handler that takes longer than 5 ms:

| state  | event                                           | what is done        | next state |
|--------|-------------------------------------------------|---------------------|------------|
| single | a message was processed, others wait behind it  | sent                | burst      |
| burst  | the same, up to 15 times                        | noted               | burst      |
| burst  | the 16th                                        | all noted are sent  | burst      |
| burst  | 5 ms have passed                                | all noted are sent  | single     |
| any    | a message was processed, none waits behind it   | all noted are sent  | the same   |
| any    | one was given up; or its `+ACK` must not wait   | all noted are sent  | the same   |

What is noted is sent, too, before the server is asked what it knows of the consumer, and before the
reader closes. So a process that is killed leaves at most 15 messages that it has processed, all
within the last 5 ms, and whose `+ACK` it has not sent. Which one it had in hand the server can't
tell then: see `prior_state`, and `Consumer` for those whose `+ACK` must not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import nats.errors

from civitas.errors import TransportError
from civitas.transport import guard_callback
from civitas_nats.connection import Connection
from civitas_nats.jetstream.prior_state import TOGETHER
from civitas_nats.jetstream.window import Held
from civitas_nats.options import NATSOptions

ACK: Final = b"+ACK"
TERM: Final = b"+TERM"
_IN_PROGRESS: Final = b"+WPI"

_BURST: Final = 0.005
"""Seconds within which acknowledgements wait for each other."""

_CONFIRMED_WITHIN: Final = 2.0
"""Seconds for the server to confirm the last acknowledgement."""


def sent_together(options: NATSOptions) -> int:
    """Return how many acknowledgements of an agent go together at most.

    They are a small part of its window, for the server gives no more than that. And none waits
    where a message is given once: one whose `+ACK` was not sent would count as given.
    """
    if options.max_deliver == 1:
        return 1
    return min(TOGETHER, max(options.max_ack_pending // 8, 1))


class Acknowledger:
    """Acknowledges the messages of one agent. Each message has a subject for that, its `reply`.

    Args:
        agent: the agent's name, for messages.
        connection: carries the acknowledgements.
        logger: where it is noted that the server did not confirm.
        together: acknowledgements that are sent together, at most.
        due: called when what is noted is to be sent, with `send`.
    """

    def __init__(
        self,
        agent: str,
        connection: Connection,
        logger: logging.Logger,
        together: int,
        due: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._connection = connection
        self._logger = logger
        self._together = together
        self._due = due
        self._last_reply = ""
        self._noted: deque[str] = deque()
        self._burst: asyncio.TimerHandle | None = None
        name = f"civitas nats acks of {agent}"
        self._end_burst_later = guard_callback(self._end_burst, name=name, failed=connection.failed)
        self._repeated: deque[str] = deque()

    async def settle(self, held: Held, outcome: bytes, may_wait: bool) -> None:
        """Send the outcome of a message, `ACK` or `TERM`, or note it; see the module.

        Args:
            held: the message.
            outcome: what became of it.
            may_wait: whether another message waits behind it, and its `ACK` may wait for others.

        Raises:
            TransportError: not all is sent; the server will deliver the messages again.
        """
        if not held.reply:
            return
        self._last_reply = held.reply
        if outcome != ACK:
            await self.send()
            await self._connection.publish(held.reply, outcome)
            return
        self._noted.append(held.reply)
        if may_wait and self._burst is not None and len(self._noted) < self._together:
            return
        if may_wait and self._burst is None:
            self._burst = asyncio.get_running_loop().call_later(_BURST, self._end_burst_later)
        await self.send()

    async def send(self) -> None:
        """Acknowledge all that is noted.

        Raises:
            TransportError: not all is sent. The rest is forgotten: the server delivers it again.
        """
        try:
            while self._noted:
                await self._connection.publish(self._noted.popleft(), ACK)
        except TransportError:
            self._noted.clear()
            raise

    def close(self) -> None:
        """End the burst; what is noted is sent by `confirm`."""
        burst, self._burst = self._burst, None
        if burst is not None:
            burst.cancel()

    def _end_burst(self) -> None:
        self._burst = None
        if self._noted:
            self._due()

    def repeat_later(self, reply: str) -> None:
        """Note a message that was processed and is delivered again: its `+ACK` did not arrive."""
        self._repeated.append(reply)

    async def repeat(self) -> None:
        """Acknowledge again what `repeat_later` has noted.

        Raises:
            TransportError: not all is sent; the rest stays noted.
        """
        while self._repeated:  # to which others are added meanwhile
            await self._connection.publish(self._repeated[0], ACK)
            self._repeated.popleft()

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

        Raises:
            TransportError: not all that is noted is sent.
        """
        await self.send()
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
        self._noted.clear()
        self._repeated.clear()
