"""AgentCounts: what is counted of one agent, over all objects that it has been.

The clock is read when an agent gets something to do and when it has nothing left, never for each
message. So the time of one message is known where it is the first since the agent was idle; of
others, only how long the agent has been busy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from civitas._bus.sender import Sender
from civitas.messages import Message


class Activity:
    """What one object of an agent does: busy since when, with what in hand.

    `sender` is that of its message loop, whose current message is the one in hand. All may be read
    in any thread.
    """

    __slots__ = ("_sender", "busy", "handled_before", "since")

    def __init__(self, sender: Sender | None = None) -> None:
        self._sender = sender
        self.busy = 0.0
        """Seconds that it was busy, but for the time since `since`."""
        self.since = inf
        """When it has got something to do, by `platform.monotonic`; inf while it has nothing."""
        self.handled_before = 0
        """Messages that the agent had handled by then."""

    @property
    def in_hand(self) -> Message | None:
        """The message that is being handled."""
        return None if self._sender is None else self._sender.current

    def begin(self, now: float, handled: int) -> float:
        """Take note that there is something to do; return `now`."""
        self.since, self.handled_before = now, handled
        return now

    def end(self, now: float) -> None:
        """Take note that nothing is left to do."""
        since, self.since = self.since, inf
        self.busy += max(now - since, 0.0)

    def in_hand_since(self, handled: int) -> float | None:
        """Return since when the message in hand is; None where that is not known."""
        return self.since if handled == self.handled_before and self.since < inf else None


@dataclass(slots=True)
class AgentCounts:
    """Counts of one agent, over all objects that it has been."""

    handled: int = 0
    errors: int = 0
    warned: frozenset[str] = frozenset()
    """Types of messages for which `handle` returned what it should not, and that was logged."""
    busy_before: float = 0.0
    """Seconds that its earlier objects were busy."""
    activity: Activity = field(default_factory=Activity)
    """That of its present object."""

    def next_object(self, sender: Sender) -> Activity:
        """Begin with another object; return its activity."""
        self.busy_before += self.activity.busy
        self.activity = Activity(sender)
        return self.activity

    def busy(self, now: float) -> float:
        """Return the seconds that it was busy until now."""
        activity = self.activity
        return self.busy_before + activity.busy + max(now - activity.since, 0.0)
