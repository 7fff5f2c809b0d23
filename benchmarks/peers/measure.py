"""Measuring: the contenders of a work take turns, round by round, on one processor."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.child import Child, ChildError
from benchmarks.peers.contenders import Contender, Places, Work

Missing = Callable[[Contender, str], None]
"""Called with a contender that can't take part, and why."""


class Turn(NamedTuple):
    """What one contender took for each message in one round, in microseconds: see `Row`."""

    time: float
    p99: float | None
    cpu: float | None


@dataclass(frozen=True)
class Row:
    """What one contender took for a work, in microseconds.

    Attributes:
        work: what was done.
        contender: who did it.
        version: its version.
        note: how it was connected.
        median: of the rounds, each of which is the median of its asks, or the mean of its messages.
        low: the least of the rounds.
        high: the most.
        rounds: what each of them took.
        p99: the median of the rounds' 99th percentiles; None where each message has no time.
        cpu: what all processes concerned have used of the processor for each message, the server
            included, the median of the rounds; None where the system doesn't tell. It says more
            than the time where others use the machine.
        of_floor: how many times the floor's time that is, the median over the rounds.
        of_ours: how many times the time of ours.
        cpu_of_ours: how many times the use of the processor of ours.
        target: the most that ours may take, as a part of this peer's time.
    """

    work: str
    contender: str
    version: str
    note: str
    median: float
    low: float
    high: float
    rounds: list[float]
    p99: float | None
    cpu: float | None
    of_floor: float | None
    of_ours: float | None
    cpu_of_ours: float | None
    target: float | None

    @property
    def missed(self) -> bool:
        """Whether ours takes more of this peer's time than its target."""
        return None not in (self.target, self.of_ours) and 1 / self.of_ours > self.target


def pin_to_one_processor() -> int | None:
    """Keep this process, and all that it starts, on the last processor that it may use.

    Return its number; None where the system can't do that.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    processor = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processor})
    return processor


def measure(
    work: Work,
    pythons: Mapping[str, Path],
    places: Places,
    rounds: int,
    missing: Missing,
    progress: Callable[[str], None],
) -> list[Row]:
    """Have all contenders do a work, in turn.

    Args:
        work: what is done.
        pythons: by environment; who has none takes no part.
        places: what the contenders need besides.
        rounds: how often each does it, after one time that is not counted.
        missing: called for each who can't take part.
        progress: called with what is going on.
    """
    with ExitStack() as stack:
        taking_part: dict[Contender, Child] = {}
        taken: dict[Contender, list[Turn]] = {}
        for contender in work.contenders:
            if contender.environment in pythons:
                progress(f"{work.name}: starting {contender.name}")
                try:
                    child = contender.start(stack, pythons[contender.environment], places)
                    _turn(work, child)
                except ChildError as error:
                    missing(contender, str(error))
                else:
                    taking_part[contender], taken[contender] = child, []
        for number in range(rounds):
            progress(f"{work.name}: round {number + 1} of {rounds}")
            order = list(taking_part)
            for index in range(len(order)):  # nobody always follows the same one
                contender = order[(index + number) % len(order)]
                try:
                    taken[contender].append(_turn(work, taking_part[contender]))
                except ChildError as error:
                    missing(contender, str(error))
                    del taking_part[contender], taken[contender]
        floor, ours = (taken.get(each, []) for each in work.contenders[:2])
        return [
            _row(work, contender, child.facts, taken[contender], floor, ours)
            for contender, child in taking_part.items()
        ]


def _turn(work: Work, child: Child) -> Turn:
    before = _processor_seconds()
    result = child(work.command, count=work.count)
    used = _processor_seconds() - before
    time = result["p50"] if "p50" in result else result["each"]
    return Turn(time, result.get("p99"), used / work.count * 1e6 or None)


def _processor_seconds() -> float:
    """Return what all processes that this one has started have used of the processor so far.

    Who has no turn is idle; 0 where the system doesn't tell.
    """
    used = 0
    for process in psutil.Process().children(recursive=True):
        for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has just ended
                used += int(thread.read_text().split()[0])
    return used / 1e9


def _row(
    work: Work,
    contender: Contender,
    facts: Mapping[str, Any],
    turns: list[Turn],
    floor: list[Turn],
    ours: list[Turn],
) -> Row:
    times = [each.time for each in turns]
    return Row(
        work=work.name,
        contender=contender.name,
        version=facts["version"],
        note=contender.note or facts.get("note", ""),
        median=statistics.median(times),
        low=min(times),
        high=max(times),
        rounds=times,
        p99=_median([each.p99 for each in turns]),
        cpu=_median([each.cpu for each in turns]),
        of_floor=_ratio(times, [each.time for each in floor]),
        of_ours=_ratio(times, [each.time for each in ours]),
        cpu_of_ours=_ratio([each.cpu for each in turns], [each.cpu for each in ours]),
        target=work.targets.get(contender.name),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return statistics.median(known) if known else None


def _ratio(values: Sequence[float | None], others: Sequence[float | None]) -> float | None:
    """Return the median over the rounds of this by that; None where one of them is not known."""
    pairs = zip(values, others, strict=False)
    return _median([a / b for a, b in pairs if a is not None and b is not None])
