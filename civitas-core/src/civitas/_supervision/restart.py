"""Restart: whether a crashed child is restarted and when, for agents of all processes. No I/O.

`RestartIntensity` decides; `engine` does what it says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from civitas import _platform as platform
from civitas._agents.backoff import BackoffKind, backoff_delay


class Strategy(Enum):
    """Which children are restarted when one has crashed."""

    ONE_FOR_ONE = "ONE_FOR_ONE"
    """That one."""
    ONE_FOR_ALL = "ONE_FOR_ALL"
    """All of them."""
    REST_FOR_ONE = "REST_FOR_ONE"
    """That one and those after it."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How one supervisor restarts its children; `Supervisor` explains the fields."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int = 3
    restart_window: float = 60.0
    backoff: BackoffKind = BackoffKind.CONSTANT
    backoff_base: float = 1.0
    backoff_max: float = 60.0


class CrashWindow:
    """Counts the crashes of the last `window` seconds."""

    __slots__ = ("_times", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._times: deque[float] = deque()

    def record(self, now: float) -> int:
        """Add a crash at `now` (seconds, any clock that only goes forward); return the count."""
        self._times.append(now)
        while self._times[0] <= now - self._window:
            self._times.popleft()
        return len(self._times)


class Decision(NamedTuple):
    """What follows a crash."""

    delay: float | None
    """Seconds until the restart; None to give up."""
    share: str
    """How much of the intensity is used up, for the log."""


class RestartIntensity:
    """Decides for one supervisor, from the crashes of its children.

    More than `max_restarts` crashes within `restart_window` are too many: it gives up. A crash on a
    message that its transport had given before is not counted: the transport's own limit of
    deliveries ends it. `jitter` returns random numbers from 0 to 1, for the backoff.
    """

    def __init__(
        self,
        policy: RestartPolicy,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._policy = policy
        self._jitter = jitter or platform.random_fraction
        self._crashes = CrashWindow(policy.restart_window)
        self._child_crashes: dict[str, CrashWindow] = {}

    def decide(self, child: str, now: float, *, counts: bool) -> Decision:
        policy = self._policy
        share = "on a message that was given again: not counted"
        if counts:
            crashes = self._crashes.record(now)
            share = f"{crashes} of {policy.max_restarts}"
            if crashes > policy.max_restarts:
                return Decision(None, share)
        window = self._child_crashes.setdefault(child, CrashWindow(policy.restart_window))
        first, longest, crashes = policy.backoff_base, policy.backoff_max, window.record(now)
        delay = backoff_delay(policy.backoff, first, longest, crashes, self._jitter())
        return Decision(delay, share)
