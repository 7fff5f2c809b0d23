"""Subscription: a subject that a connection is subscribed to, with each client that it uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NativeSubscription

from civitas.transport import failure_of

OnMessage: TypeAlias = Callable[[Msg], None]
"""Called with each message of a subscription; it must not block, and not raise."""


class Subscription:
    """A subject that a connection is subscribed to.

    Args:
        subject: a subject, or a pattern.
        on_message: called with each message.
        limit: messages that may wait for the event loop; nats-py drops what comes beyond them.
        failed: called when `on_message` has raised: nats-py 2.16 would only report it as an error
            of the connection, or lose SystemExit and the like to the event loop.
    """

    __slots__ = ("_failed", "_limit", "native", "on_message", "subject")

    def __init__(
        self,
        subject: str,
        on_message: OnMessage,
        limit: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.subject = subject
        self.on_message = on_message
        self.native: NativeSubscription | None = None
        self._limit = limit
        self._failed = failed

    async def subscribe(self, client: Client) -> None:
        """Subscribe with a client, by a callback: the iterator of nats-py 2.16 is slower by far."""
        on_message = self.on_message

        async def callback(message: Msg) -> None:
            try:
                on_message(message)
            except BaseException as error:  # noqa: BLE001 - nobody else would hear of it
                self._failed(failure_of(f"civitas nats reader of {self.subject}", error))

        self.native = await client.subscribe(
            self.subject, cb=callback, pending_msgs_limit=self._limit, pending_bytes_limit=0
        )
