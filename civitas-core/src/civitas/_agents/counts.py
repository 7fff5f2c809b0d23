"""AgentCounts: what is counted of one agent, over all objects that it has been.

Where an agent handles one message at a time, the clock is read when it gets something to do and
when it has nothing left, never for each message. So the time of one message is known where it is
the first since the agent was idle; of others, only how long the agent has been busy. The consumers
of an agent with several read it for each message: else nobody could say which is the oldest.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from civitas import _platform as platform
from civitas._bus.sender import Sender
from civitas._bus.timers import TickCounts
from civitas.messages import Message


class MessageInHand(NamedTuple):
    """A message that is being handled."""

    message: Message
    since: float | None
    """Since when, by `platform.monotonic`; None where that is not known."""
    task: asyncio.Task[Any] | None
    """The task in which."""


class Activity:
    """What one consumer of an agent does: busy since when, with what in hand.

    `sender` is that of the consumer, whose current message is the one in hand; `timed` says whether
    the clock is read for each message. All may be read in any thread.
    """

    __slots__ = ("_sender", "_timed", "busy", "handled_before", "since")

    def __init__(self, sender: Sender, *, timed: bool) -> None:
        self._sender = sender
        self._timed = timed
        self.busy = 0.0
        """Seconds that it was busy, but for the time since `since`."""
        self.since = inf
        """When it has got something to do, by `platform.monotonic`; inf while it has nothing."""
        self.handled_before = 0
        """Messages that the agent had handled by then."""

    def begin(self, now: float, handled: int) -> float:
        """Take note that there is something to do; return `now`."""
        self.since, self.handled_before = now, handled
        return now

    def next(self) -> None:
        """Take note that a message begins, where each is timed."""
        now = platform.monotonic()
        self.busy += max(now - self.since, 0.0)
        self.since = now

    def end(self, now: float) -> None:
        """Take note that nothing is left to do."""
        since, self.since = self.since, inf
        self.busy += max(now - since, 0.0)

    def in_hand(self, handled: int) -> MessageInHand | None:
        """Return the message in hand, if there is one; `handled` is how many the agent has."""
        message, since = self._sender.current, self.since
        if message is None:
            return None
        known = since < inf and (self._timed or handled == self.handled_before)
        return MessageInHand(message, since if known else None, self._sender.task)


@dataclass(slots=True)
class AgentCounts:
    """Counts of one agent, over all objects that it has been."""

    handled: int = 0
    errors: int = 0
    retries: int = 0
    """Times that a message was handled again."""
    ticks: TickCounts | None = None
    """Those of its timers, if it has had any."""
    warned: frozenset[str] = frozenset()
    """Types of messages for which `handle` returned what it should not, and that was logged."""
    busy_before: float = 0.0
    """Seconds that its earlier objects were busy."""
    activities: tuple[Activity, ...] = ()
    """Those of the consumers of its present object."""

    def next_object(self) -> None:
        """Begin with another object."""
        self.busy_before += sum(each.busy for each in self.activities)
        self.activities = ()

    def next_consumer(self, sender: Sender, *, timed: bool) -> Activity:
        """Return the activity of another consumer of the present object."""
        activity = Activity(sender, timed=timed)
        self.activities += (activity,)
        return activity

    def in_hand(self) -> list[MessageInHand]:
        """Return the messages that are being handled, the oldest first."""
        found = [each.in_hand(self.handled) for each in self.activities]
        known = [each for each in found if each is not None]
        return sorted(known, key=lambda each: inf if each.since is None else each.since)

    def busy(self, now: float) -> float:
        """Return the seconds that its consumers were busy until now, all together."""
        busy = sum(each.busy + max(now - each.since, 0.0) for each in self.activities)
        return self.busy_before + busy
