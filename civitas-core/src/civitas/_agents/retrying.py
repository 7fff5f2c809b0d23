"""Retrying: when a message whose handling has failed is handled again.

Theory. A message that is to be handled again keeps its place: its agent waits, with the message in
hand, and handles none after it. So the order stays, a full mailbox holds up its senders as ever,
and no messages pile up anywhere. What takes long is better sent on, by `after`, with what is known
so far.

    `on_error` returns      | the message is handled again          | more than `max_retries` times
    ------------------------+---------------------------------------+------------------------------
    `ErrorAction.RETRY`     | after `retry_delay`, which grows by   | as ESCALATE
                            | `retry_backoff`                       |
    `self.retry(after=...)` | after so many seconds                 | as ESCALATE

    while it waits                   | what becomes of the message
    ---------------------------------+--------------------------------------------------------------
    the time passes                  | it is handled again, `attempt` raised by one
    its time to live passes          | it is dropped then, and counted as expired
    the agent, or its node, stops    | who asked gets the error; a durable transport that nobody
                                     | asked through gives it again; else it is a dead letter
    a background task of the agent   | as above, for the crash
    raises; the agent is cancelled   |
"""

from __future__ import annotations

import asyncio
from typing import Final

from civitas import _platform as platform
from civitas._agents.backoff import backoff_delay
from civitas._agents.settings import Settings
from civitas._bus.arguments import as_seconds
from civitas._bus.bus import MessageBus
from civitas._bus.settlement import DurableFrame, GivenUp
from civitas.errors import ErrorAction, MessageRoutingError
from civitas.messages import Message
from civitas.process import Retry

_LONGEST: Final = 3600.0
"""Seconds that a delay which grows never exceeds."""


def retry_delay(action: ErrorAction | Retry, settings: Settings, retries: int) -> float | None:
    """Return the seconds before a message is handled again; None where it is not to be.

    `retries` is how often it was by now.

    Raises:
        MessageValidationError: an author has made a Retry of something else than seconds.
    """
    if retries >= settings.max_retries:
        return None
    if type(action) is Retry:
        return as_seconds(action.after, "Retry takes")
    if action is not ErrorAction.RETRY:
        return None
    first = settings.retry_delay
    if not first:
        return 0.0
    longest = max(first, _LONGEST)
    jitter = platform.random_fraction()
    return backoff_delay(settings.retry_backoff, first, longest, retries + 1, jitter)


class Pauses:
    """The waits of one agent object before retries, which a stop interrupts."""

    __slots__ = ("_agent", "_bus", "_waiting")

    def __init__(self, bus: MessageBus, agent: str) -> None:
        self._bus = bus
        self._agent = agent
        self._waiting: dict[asyncio.Future[bool], None] = {}

    async def wait(
        self, message: Message, durable: DurableFrame | None, error: Exception, seconds: float
    ) -> bool:
        """Wait with a message; return whether to handle it then, else it is settled.

        Args:
            message: the one in hand.
            durable: its frame, where the transport is durable.
            error: what its handling has raised.
            seconds: how long; 0 when the agent stops already.
        """
        if not seconds or not await self._passed(seconds):
            stopped = f"agent {self._agent!r}: it was stopped before it could handle it again"
            why = GivenUp(error, MessageRoutingError(stopped))
            reason = "its agent stopped before it was retried"
            await self._bus.answers.give_up(message, durable, self._agent, why, reason)
            return False
        if message.expired(platform.wall()):
            self._bus.dead_letters.record("expired before it was retried", message)
            if durable is not None:
                durable.processed()
            return False
        return True

    def interrupt(self) -> None:
        """End all waits."""
        for passed in self._waiting:
            _settle(passed, False)

    async def _passed(self, seconds: float) -> bool:
        """Wait, and return whether the time has passed; False for an interruption."""
        loop = asyncio.get_running_loop()
        passed: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _settle, passed, True)
        self._waiting[passed] = None
        try:
            return await passed
        finally:
            timer.cancel()
            del self._waiting[passed]


def _settle(passed: asyncio.Future[bool], how: bool) -> None:
    if not passed.done():
        passed.set_result(how)
