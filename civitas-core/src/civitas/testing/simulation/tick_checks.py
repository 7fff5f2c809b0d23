"""Tick checks: rules about the timers of agents."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final

from civitas.testing.simulation.history import Handling, RecordedTimer
from civitas.testing.simulation.system import System
from civitas.testing.simulation.world import START

_LATE: Final = 0.1
"""Seconds that a busy event loop may be late."""

_ROUNDED: Final = 1e-6
"""Seconds that two times may differ for being rounded."""


def one_tick_is_queued(system: System) -> Iterator[str]:
    """At most one tick of a timer is queued: the next one comes when it has been begun with."""
    begun = _first_handlings(system)
    for timer in system.history.timers:
        for (message, _, _), (_, at, number) in zip(timer.ticks, timer.ticks[1:], strict=False):
            handling = begun.get(message.id)
            if handling is None or handling.began > number:
                yield f"{_named(timer)} had two ticks queued at {at:.3f}"


def the_grid_is_kept(system: System) -> Iterator[str]:
    """A timer ticks at its beginning plus whole multiples of its period, and leaves out none.

    But for those at which its last tick was queued still, or its process stood still.
    """
    begun = _first_handlings(system)
    for timer in system.history.timers:
        last, free_at = 0, timer.began_at
        for message, at, _ in timer.ticks:
            number, late = _place(timer, at)
            if number <= last:
                yield f"{_named(timer)} ticked at {at:.3f}, which is no time of its own"
            if late > _LATE + _stalled(system, timer, at - late, at):
                yield f"{_named(timer)} ticked {late:.3f} s late, at {at:.3f}"
            yield from _missing(system, timer, last + 1, free_at, at)
            handling = begun.get(message.id)
            last, free_at = number, inf if handling is None else handling.began_at
        yield from _missing(system, timer, last + 1, free_at, _end(system, timer) - _LATE)


def _place(timer: RecordedTimer, at: float) -> tuple[int, float]:
    """Return which tick of a timer came at a time, and how late; zero for too early."""
    passed = at - timer.began_at + _ROUNDED
    if timer.period is None:
        return (1 if passed >= timer.first else 0), passed - timer.first
    number = int(passed // timer.period)
    return number, passed - number * timer.period


def _missing(
    system: System, timer: RecordedTimer, number: int, free_at: float, until: float
) -> Iterator[str]:
    """Find what a timer left out before a time, from one number on, though its place was free."""
    if timer.period is None and number > 1:
        return
    due = timer.began_at + (timer.first if timer.period is None else number * timer.period)
    while due + _LATE < until:
        if due > free_at + _LATE and not _stalled(system, timer, due - _LATE, until):
            yield f"{_named(timer)} did not tick at {due:.3f}"
        if timer.period is None:
            return
        due += timer.period


def _end(system: System, timer: RecordedTimer) -> float:
    """Return when a timer has ended, or its process has."""
    died_at = timer.made_by.process.died_at
    ends = (timer.ended_at, None if died_at is None else died_at - START, system.history.now)
    return min(each for each in ends if each is not None)


def _stalled(system: System, timer: RecordedTimer, began: float, ended: float) -> float:
    return system.stalled(timer.made_by.process, began, ended)


def _first_handlings(system: System) -> dict[str, Handling]:
    """Return with what each tick was begun, by the ids of their messages."""
    found: dict[str, Handling] = {}
    for each in system.history.handlings:
        if each.tick:
            found.setdefault(each.message.id, each)
    return found


def _named(timer: RecordedTimer) -> str:
    made = timer.made_by
    period = "" if timer.period is None else f" of {timer.period:g} s"
    return f"a timer{period} of {made.agent}#{made.number}"
