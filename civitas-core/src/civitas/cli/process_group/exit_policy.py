"""What becomes of a process that has ended: pure rules, and the words for them."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Final

from civitas._supervision.restart import BackoffKind, backoff_delay

BAD_INPUT: Final = 2
"""The exit code for what starting again does not mend."""


class Fate(Enum):
    """What follows when a process has ended by itself."""

    DONE = "done"
    """The others go on without it."""
    RESTART = "restart"
    """It is started again."""
    END_ALL = "end all"
    """The others are ended, and its exit code is that of all."""


def fate_of(code: int, *, is_primary: bool) -> Fate:
    """Judge an exit code, which is the signal's number below zero when a signal killed it.

    The primary knows when the system is done, so its own end is the end of all. A worker is there
    to be started again, unless it is done, or its input is bad.
    """
    if is_primary:
        return Fate.RESTART if code < 0 else Fate.END_ALL
    if code == 0:
        return Fate.DONE
    return Fate.END_ALL if code == BAD_INPUT else Fate.RESTART


def ended_in_order(code: int) -> bool:
    """Tell whether this is how a process ends that was told to by SIGTERM.

    One that has no handler for it yet, because it has hardly begun, dies of it.
    """
    return code in (0, -signal.SIGTERM)


def describe(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no names
        return f"was killed by signal {-code}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a process is started again.

    Attributes:
        base: seconds before the first restart, less up to half of them at random; doubled with
            each further one.
        maximum: the most that the seconds grow to.
        reset_after: seconds after which a process counts as having started well.
    """

    base: float = 0.5
    maximum: float = 30.0
    reset_after: float = 30.0

    def delay(self, restarts: int, jitter: float) -> float:
        """Return the seconds before this restart, counted from 1; jitter is from 0 to 1."""
        return backoff_delay(BackoffKind.EXPONENTIAL, self.base, self.maximum, restarts, jitter)
