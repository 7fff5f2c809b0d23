"""Heartbeat: the pings to one node, and what their answers and their absence say. No I/O.

What all nodes share may stand still (a proxy, a server), and its transport notices that only after
a while. So who pings others pings itself, too, by the same way. The time for an answer begins when
a ping to itself has come back that was sent no earlier: before, silence says nothing of others.

A ping, as it is judged:

    state     | event                                      | becomes
    ----------+--------------------------------------------+----------
    sent      | a ping to itself, sent later, comes back   | confirmed
              | answered, it or a later one                | forgotten
    confirmed | answered, it or a later one                | forgotten
              | `timeout` seconds pass                     | missed
    missed    | answered, it or a later one                | forgotten
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import inf
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


_KEPT: Final = 1000
"""Pings without an answer that are remembered, at most: there are so many in an outage only."""

DEFAULT: Final = HeartbeatPolicy()


def strictest(policies: Iterable[HeartbeatPolicy]) -> HeartbeatPolicy:
    """Return the policy for a node that hosts agents with these; the default for none.

    It is the one that notices soonest: a node is watched as closely as its most watched agent.
    """
    return min(policies, key=lambda policy: policy.bound, default=DEFAULT)


PAUSE: Final = 0.2
"""Seconds between two pings of a node to itself, at least."""


class OwnPings:
    """The pings of a node to itself.

    A transport may keep from a node what it says itself. So others are judged without these until
    the first one has come back.
    """

    __slots__ = ("_next", "_sent", "_sequence", "come_back")

    def __init__(self) -> None:
        self.come_back = False
        """Whether one ever has."""
        self._sequence = 0
        self._sent: dict[int, float] = {}
        self._next = 0.0

    def ping(self, now: float) -> int | None:
        """Return the sequence number of one that may be sent, else None: the last is too recent."""
        if now < self._next:
            return None
        self._next = now + PAUSE
        self._sequence += 1
        self._sent[self._sequence] = now
        if len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]
        return self._sequence

    def next_due(self) -> float:
        """Return when the next one may be sent."""
        return self._next

    def returned(self, sequence: int) -> float:
        """Take note of one that has come back; return when it was sent, -inf if that is unknown."""
        sent = self._sent.pop(sequence, -inf)
        self.come_back = self.come_back or sent > -inf
        return sent


class Monitor:
    """Watches one node; `now` is the time of the caller's clock, in seconds."""

    __slots__ = (
        "_answered",
        "_confirmed",
        "_grace_until",
        "_next",
        "_sequence",
        "_unanswered",
        "policy",
    )

    def __init__(self, policy: HeartbeatPolicy, now: float) -> None:
        self.policy = policy
        self._sequence = 0
        self._answered = now
        self._unanswered: dict[int, float] = {}
        """When each ping was sent that has no answer yet."""
        self._confirmed: dict[int, float] = {}
        """When the time for an answer has begun, of those for which it has."""
        self._next = now + policy.interval
        self._grace_until = now

    def ping(self, now: float, *, confirmed: bool = True) -> int | None:
        """Return the sequence number of a ping that is due, else None.

        `confirmed`: the time for its answer begins at once; else when `confirm` says so.
        """
        if now < self._next:
            return None
        self._sequence += 1
        self._unanswered[self._sequence] = now
        if len(self._unanswered) > _KEPT:
            self._forget(next(iter(self._unanswered)))
        if confirmed:
            self._confirmed[self._sequence] = now
        self._next = now + self.policy.interval
        return self._sequence

    @property
    def waiting(self) -> bool:
        """Whether a ping has no answer yet."""
        return bool(self._unanswered)

    def confirm(self, sent: float, now: float) -> None:
        """Begin the time for the answers to all pings that were sent by `sent`."""
        for sequence, at in self._unanswered.items():
            if at <= sent:
                self._confirmed.setdefault(sequence, now)

    def answered(self, sequence: int, now: float) -> float | None:
        """Take note of an answer: it speaks for all pings before it, too.

        Returns the seconds since its ping; None when that is answered already, or was none.
        """
        if not 0 < sequence <= self._sequence:
            return None
        self._answered = now
        sent = self._unanswered.get(sequence)
        for each in [n for n in self._unanswered if n <= sequence]:
            self._forget(each)
        return None if sent is None else now - sent

    def misses(self, now: float) -> int:
        """Return how many pings in a row have had no answer in their time."""
        if now < self._grace_until:
            return 0
        return sum(now >= since + self.policy.timeout for since in self._confirmed.values())

    def dead(self, now: float) -> bool:
        return now >= self.dead_at()

    def dead_at(self) -> float:
        """Return when it counts as dead unless an answer comes; inf if nobody knows yet."""
        if len(self._confirmed) < self.policy.threshold:
            return inf
        since = next(islice(self._confirmed.values(), self.policy.threshold - 1, None))
        return max(since + self.policy.timeout, self._grace_until)

    def next_due(self) -> float:
        """Return when a ping is due, or the node counts as dead."""
        return min(self._next, self.dead_at())

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
        self._confirmed.clear()
        self._grace_until = max(self._grace_until, now + grace)
        self._next = min(self._next, now)

    def _forget(self, sequence: int) -> None:
        self._unanswered.pop(sequence, None)
        self._confirmed.pop(sequence, None)
