"""Heartbeat: the pings to one node, and what their answers and their absence say. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple


class HeartbeatPolicy(NamedTuple):
    """How closely a node is watched."""

    interval: float = 5.0
    """Seconds between two pings."""
    timeout: float = 2.0
    """Seconds for the answer to one."""
    threshold: int = 3
    """Pings in a row without an answer after which the node counts as dead."""

    @property
    def bound(self) -> float:
        """Seconds after which a silent node counts as dead, at most."""
        return self.interval * self.threshold + self.timeout


DEFAULT: Final = HeartbeatPolicy()


def strictest(policies: Iterable[HeartbeatPolicy]) -> HeartbeatPolicy:
    """Return the policy for a node that hosts agents with these; the default for none.

    It is the one that notices soonest: a node is watched as closely as its most watched agent.
    """
    return min(policies, key=lambda policy: policy.bound, default=DEFAULT)


class Monitor:
    """Watches one node; `now` is the time of the caller's clock, in seconds."""

    __slots__ = ("_answered", "_grace_until", "_next", "_sequence", "_unanswered", "policy")

    def __init__(self, policy: HeartbeatPolicy, now: float) -> None:
        self.policy = policy
        self._sequence = 0
        self._answered = now
        self._unanswered: dict[int, float] = {}
        self._next = now + policy.interval
        self._grace_until = now

    def ping(self, now: float) -> int | None:
        """Return the sequence number of a ping that is due, else None."""
        if now < self._next:
            return None
        self._sequence += 1
        self._unanswered[self._sequence] = now
        self._next = now + self.policy.interval
        return self._sequence

    def answered(self, sequence: int, now: float) -> float | None:
        """Take note of an answer: it speaks for all pings before it, too.

        Returns the seconds since its ping; None when that is answered already, or was none.
        """
        if not 0 < sequence <= self._sequence:
            return None
        self._answered = now
        sent = self._unanswered.get(sequence)
        for each in [n for n in self._unanswered if n <= sequence]:
            del self._unanswered[each]
        return None if sent is None else now - sent

    def misses(self, now: float) -> int:
        """Return how many pings in a row have had no answer in their time."""
        if now < self._grace_until:
            return 0
        return sum(now - sent > self.policy.timeout for sent in self._unanswered.values())

    def dead(self, now: float) -> bool:
        return self.misses(now) >= self.policy.threshold

    def silent_for(self, now: float) -> float:
        """Return the seconds since the last answer."""
        return now - self._answered

    def follow(self, policy: HeartbeatPolicy, now: float) -> None:
        """Watch as closely as another policy says, from now on."""
        self.policy = policy
        self._next = min(self._next, now + policy.interval)

    def forgive(self, now: float, grace: float = 0.0) -> None:
        """Forget what was missed, and count nothing for `grace` seconds: the fault was ours."""
        self._unanswered.clear()
        self._grace_until = max(self._grace_until, now + grace)
        self._next = min(self._next, now)
