"""Concurrency: one consumer, or several, handle the messages of an agent object.

The table of what ends several: `civitas._agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final

from civitas._agents.consumer import Consumer
from civitas._agents.message_loop import MessageLoop, StopMode
from civitas._agents.running import enter
from civitas._agents.settings import Settings
from civitas._agents.states import CancelledFromOutsideError
from civitas.errors import logger_of
from civitas.transport.tasks import cancel_task, start_task

logger = logger_of("civitas.agent")

CANCEL_GRACE: Final = 5.0
"""Seconds that a cancelled task of an agent may take to let go."""


def consume(message_loop: MessageLoop, settings: Settings) -> Awaitable[None]:
    """Handle messages until the stop mode ends it: in this task, or by several consumers.

    It is no coroutine, which each idle agent would keep.

    Raises:
        Exception: the agent crashed.
        CancelledError: it was cancelled; `abandon` accounts for what is in hand.
    """
    message_loop.mailbox.concurrency = settings.concurrency
    if settings.concurrency == 1:
        return Consumer(message_loop, message_loop.sender, settings).run()
    return _Consumers(message_loop, settings).run()


class _Consumers:
    """Several consumers of one agent object, each in a task of its own."""

    def __init__(self, message_loop: MessageLoop, settings: Settings) -> None:
        self._loop = message_loop
        self._settings = settings
        self._name = message_loop.mailbox.name
        self._crash: Exception | None = None
        self._ending = False

    async def run(self) -> None:
        """Let them work until one of them ends, and then the others."""
        loop = self._loop
        tasks = [self._start(number) for number in range(1, self._settings.concurrency + 1)]
        hooks, loop.mailbox.consumers = loop.mailbox.consumers, frozenset(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            loop.mailbox.wake()  # for those who wait to see the stop mode
            _, late = await asyncio.wait(tasks, timeout=self._settings.shutdown_timeout)
        except asyncio.CancelledError:
            self._cancel(tasks)
            await asyncio.wait(tasks)
            raise
        finally:
            loop.mailbox.consumers = hooks
        if late:
            await self._end(late)
        if self._crash is not None:
            raise self._crash

    def _start(self, number: int) -> asyncio.Task[None]:
        loop = self._loop
        consumer = Consumer(loop, loop.another_sender(), self._settings)
        name = f"{self._name} consumer {number}"
        return start_task(self._consume(consumer), name=name, failed=loop.bus.failed)

    async def _consume(self, consumer: Consumer) -> None:
        enter(consumer.sender)
        try:
            await consumer.run()
        except BaseException as error:  # noqa: BLE001 - a crash, which ends the agent
            try:
                crash = consumer.crash_in("its message loop", error)
            except asyncio.CancelledError:
                if self._ending:
                    return
                crash = CancelledFromOutsideError("one of its tasks was cancelled by somebody else")
            self._take_note(crash, consumer)
        finally:
            self._loop.at_work -= 1
            self._loop.ending = True

    def _take_note(self, crash: Exception, consumer: Consumer) -> None:
        """Let the first crash end the agent; the message of another one is settled already."""
        if self._crash is None:
            self._crash = crash
            self._loop.failed = consumer.sender
            self._loop.stop_mode = StopMode.NOW
        else:
            text = "agent %r crashed on another message before it had ended"
            logger.error(text, self._name, exc_info=crash)

    async def _end(self, late: set[asyncio.Task[None]]) -> None:
        """Cancel those that have not ended in time."""
        text = "agent %r ends, and %d of its messages took longer than its shutdown_timeout of %g s"
        limit = self._settings.shutdown_timeout
        logger.warning(text + ": cancelled", self._name, len(late), limit)
        self._cancel(late)
        _, left = await asyncio.wait(late, timeout=CANCEL_GRACE)
        if left:
            text = "agent %r has %d messages in hand that do not let themselves be cancelled"
            logger.error(text + ": left behind", self._name, len(left))

    def _cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        self._ending = True
        for each in tasks:
            cancel_task(each)
