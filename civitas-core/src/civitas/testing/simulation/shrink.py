"""Shrink: from a run that failed to the fewest faults that still make it fail in the same way."""

from __future__ import annotations

import time
from typing import Final

from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.run import RunOutcome, Scenario, run

_SECONDS: Final = 20.0
"""Real time that it may take."""


def shrink(scenario: Scenario, failed: RunOutcome, seconds: float = _SECONDS) -> RunOutcome:
    """Return the run with the fewest faults that breaks the same rule first.

    Halves are left out first, then single faults, until none can be missed or the time is over.
    """
    deadline, best = time.monotonic() + seconds, failed
    size = max(sum(map(len, failed.plans)) // 2, 1)
    while size and time.monotonic() < deadline:
        smaller = _without_some(scenario, best, size, deadline)
        if smaller is not None:
            best = smaller
        elif size == 1:
            break
        else:
            size //= 2
    return best


def _without_some(
    scenario: Scenario, best: RunOutcome, size: int, deadline: float
) -> RunOutcome | None:
    """Return a failing run that lacks `size` faults in a row, if there is one."""
    for first in range(0, sum(map(len, best.plans)), size):
        if time.monotonic() > deadline:
            return None
        again = run(scenario, best.seed, _left_out(best.plans, range(first, first + size)))
        if again.rules[:1] == best.rules[:1]:
            return again
    return None


def _left_out(plans: list[tuple[Fault, ...]], missing: range) -> list[tuple[Fault, ...]]:
    kept, number = [], 0
    for plan in plans:
        numbered = enumerate(plan, number)
        number += len(plan)
        kept.append(tuple(fault for index, fault in numbered if index not in missing))
    return kept
