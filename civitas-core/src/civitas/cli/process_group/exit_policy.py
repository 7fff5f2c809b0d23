"""Decides what follows when a process has ended, and how long a restart waits: pure rules.

The table of these rules is in the docstring of the package; `group` carries them out.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto

from civitas._supervision.restart import BackoffKind, backoff_delay
from civitas.cli.exit_codes import BAD_INPUT


class ExitAction(Enum):
    """What follows when a process has ended by itself."""

    CONTINUE = auto()
    """The others go on without it."""
    RESTART = auto()
    """It is started again."""
    END_ALL = auto()
    """The others are ended, and its exit code is that of all."""


def exit_action(code: int, *, is_primary: bool) -> ExitAction:
    """Return what follows an exit code; minus a signal's number stands for that signal."""
    if is_primary:
        return ExitAction.RESTART if code < 0 else ExitAction.END_ALL
    if code == 0:
        return ExitAction.CONTINUE
    return ExitAction.END_ALL if code == BAD_INPUT else ExitAction.RESTART


def ended_in_order(code: int) -> bool:
    """Return whether a process that got SIGTERM ended as it should.

    A process that has hardly begun has no handler for the signal yet, and dies of it.
    """
    return code in (0, -signal.SIGTERM)


def describe(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no names
        return f"was killed by signal {-code}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a process is started again; all in seconds."""

    base: float = 0.5
    """Before the first restart, less up to half of it at random; doubled with each further one."""
    maximum: float = 30.0
    reset_after: float = 30.0
    """A process that ran for so long begins with the first delay again."""

    def delay(self, restarts: int, jitter: float) -> float:
        """Return the seconds before this restart, counted from 1; jitter is from 0 to 1."""
        return backoff_delay(BackoffKind.EXPONENTIAL, self.base, self.maximum, restarts, jitter)
