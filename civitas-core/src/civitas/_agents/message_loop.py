"""MessageLoop: what the consumers of one agent object share, and how they end.

Stop modes: see the table of `civitas._agents`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from civitas import _platform as platform
from civitas._agents.counts import AgentCounts
from civitas._agents.retrying import Pauses
from civitas._bus.bus import MessageBus
from civitas._bus.deferred import DeferredAnswers
from civitas._bus.mailbox import Item, Mailbox
from civitas._bus.sender import Sender
from civitas._bus.settlement import GivenUp
from civitas.errors import crash_unless_cancelled
from civitas.messages import Message
from civitas.process import AgentProcess
from civitas.transport.tasks import contained


class StopMode(Enum):
    """When a message loop ends."""

    NEVER = 0
    WHEN_DRAINED = 1
    NOW = 2


class MessageLoop:
    """Has the messages of one agent handled, with one object, by its consumers.

    `on_idle` is called with the agent's name while the node stops, when the mailbox is empty and no
    answer is deferred.
    """

    __slots__ = (
        "_on_idle",
        "_senders",
        "agent",
        "at_work",
        "bus",
        "counts",
        "deferred",
        "ending",
        "failed",
        "mailbox",
        "pauses",
        "sender",
        "stop_mode",
        "task",
    )

    def __init__(
        self,
        agent: AgentProcess,
        mailbox: Mailbox[Item],
        bus: MessageBus,
        counts: AgentCounts,
        on_idle: Callable[[str], None],
    ) -> None:
        self.agent = agent
        self.deferred = DeferredAnswers(bus, mailbox.name, mailbox.size, self.report_idle)
        self.sender = Sender(bus, mailbox.name, self.deferred)
        """What the verbs of the agent act through."""
        self.failed = self.sender
        """That of the consumer that has crashed first."""
        self.mailbox = mailbox
        self.bus = bus
        self.counts = counts
        counts.next_object()
        self._on_idle = on_idle
        self._senders: tuple[Sender, ...] = (self.sender,)
        self.pauses: Pauses | None = None  # most never retry later
        self.stop_mode = StopMode.NEVER
        self.task: asyncio.Task[None] | None = None
        """The task of the object's hooks."""
        self.at_work = 0
        """Consumers that have a message in hand, or look for one."""
        self.ending = False
        """Whether one of several consumers has ended: then the object is about to."""

    @property
    def redelivered(self) -> bool:
        """Whether the transport had given the message before that the agent has crashed on."""
        durable = self.failed.durable
        return durable is not None and durable.redelivered

    @property
    def working(self) -> bool:
        """Whether a consumer is at work, or the object is about to end."""
        return self.at_work > 0 or self.ending

    def ended(self) -> None:
        """Take note that the object has ended, or that the process ends: it is at work no more."""
        self.at_work = 0
        self.ending = False

    @property
    def stopping(self) -> bool:
        """Whether the agent, or its node, stops."""
        return self.stop_mode is not StopMode.NEVER or self.bus.closing

    def pause(
        self, sender: Sender, message: Message, error: Exception, delay: float
    ) -> Awaitable[bool]:
        """Wait with a message in hand; awaiting it gives whether to handle it again."""
        pauses = self.pauses = self.pauses or Pauses(self.bus, self.agent.name)
        return pauses.wait(message, sender.durable, error, 0.0 if self.stopping else delay)

    def another_sender(self) -> Sender:
        """Return a sender for one of several consumers."""
        sender = Sender(self.bus, self.mailbox.name, self.deferred)
        self._senders += (sender,)
        return sender

    def drained(self) -> bool:
        """Return whether this ends a consumer that finds nothing to take: it was the last at work.

        One that could end earlier waits instead: a message in hand may bring others.
        """
        if self.stop_mode is not StopMode.WHEN_DRAINED or self.at_work > 1:
            return False
        self.mailbox.wake()  # the other consumers
        return True

    def crash_in(self, hook: str, error: BaseException) -> Exception:
        """Return what a hook raised as a crash, whatever it is.

        Raises:
            BaseException: it is this agent that is being cancelled, or destroyed, or the process
                that a signal ends.
        """
        return crash_unless_cancelled(error, hook, self.task)

    def report_idle(self) -> None:
        """Report, while the node stops, that nothing is in hand and no answer is deferred."""
        if self.bus.closing and not self.working and not self.deferred:
            self._on_idle(self.mailbox.name)

    def withdraw(self, sender: Sender) -> None:
        """Take back what a handler has deferred: its message is settled now."""
        deferred, sender.deferred = sender.deferred, None
        if deferred is not None:
            self.deferred.withdraw(deferred[1])

    async def abandon(self, crash: Exception | None) -> None:
        """Account for what is still to be answered when the agent has ended: nobody is left to.

        It is what the consumers have in hand that were cancelled, or have crashed of an error of
        ours, and the deferred answers. `crash` is why the agent ended, None for a stop.
        """
        now = platform.monotonic()
        for activity in self.counts.activities:
            activity.end(now)
        left = [each for each in self._senders if each.current is not None]
        await asyncio.gather(*(contained(self._give_up(each, crash)) for each in left))
        await self.deferred.end(crash)

    async def _give_up(self, sender: Sender, crash: Exception | None) -> None:
        message, sender.current = sender.current, None
        if message is None:
            return
        self.withdraw(sender)
        name = self.agent.name
        # The others were cancelled, since this one crashed: that is no fault of their messages.
        why = GivenUp.ended(name, crash if sender is self.failed else None)
        reason = "cancelled while it was handled"
        await self.bus.answers.give_up(message, sender.durable, name, why, reason)
