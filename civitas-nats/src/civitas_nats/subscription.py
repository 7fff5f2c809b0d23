"""Subscription: a subject that a connection is subscribed to, with each client that it uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NativeSubscription

from civitas.transport import failure_of
from civitas_nats.reading import Taker

OnMessage: TypeAlias = Callable[[Msg], None]
"""Called with each message of a subscription; it must not block, and not raise."""


class Subscription:
    """A subject that a connection is subscribed to.

    Args:
        subject: a subject, or a pattern.
        on_message: called with each message.
        failed: called when `on_message` has raised: nats-py 2.16 would end its reader, or lose
            SystemExit and the like to the event loop.
    """

    __slots__ = ("_failed", "native", "on_message", "subject")

    def __init__(
        self, subject: str, on_message: OnMessage, failed: Callable[[BaseException], None]
    ) -> None:
        self.subject = subject
        self.on_message = on_message
        self.native: NativeSubscription | None = None
        self._failed = failed

    async def subscribe(self, client: Client) -> None:
        """Subscribe with a client, so that its reader itself hands each message on.

        With a callback, nats-py 2.16 has a queue and a task for each subscription: a turn of the
        event loop more for each message, 8 us of a question and 8 us of its answer.
        """
        taker = Taker(self.take)
        self.native = await client.subscribe(self.subject, future=taker)  # type: ignore[arg-type]

    def take(self, message: Msg) -> None:
        """Hand a message on."""
        try:
            self.on_message(message)
        except BaseException as error:  # noqa: BLE001 - nobody else would hear of it
            self._failed(failure_of(f"civitas nats reader of {self.subject}", error))
