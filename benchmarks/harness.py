"""Pairs a floor with ours: both run in turn, and the ratio is taken round by round."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


class MissingError(RuntimeError):
    """A suite needs what is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Row:
    """One line of the table. Times are medians, in `unit`; `target` bounds the ratio (or ours)."""

    work: str
    unit: str
    floor: float | None
    ours: float
    ratio: float | None
    target: float

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return (self.ours if self.ratio is None else self.ratio) <= self.target


def paired(
    work: str,
    unit: str,
    floor: Callable[[], float],
    ours: Callable[[], float],
    target: float,
    rounds: int = 5,
    turns: int = 4,
) -> Row:
    """Run floor and ours in turn, after one turn that is not counted.

    A round is the mean of several turns, so that a machine whose speed drifts slows both alike.
    """
    floor(), ours()
    floors, own, ratios = [], [], []
    for _ in range(rounds):
        pairs = [(floor(), ours()) for _ in range(turns)]
        floors.append(statistics.fmean(pair[0] for pair in pairs))
        own.append(statistics.fmean(pair[1] for pair in pairs))
        ratios.append(own[-1] / floors[-1])
    return Row(
        work,
        unit,
        statistics.median(floors),
        statistics.median(own),
        statistics.median(ratios),
        target,
    )


def alone(work: str, unit: str, ours: Callable[[], float], target: float, rounds: int = 5) -> Row:
    """Run what has no floor: its target is absolute."""
    return Row(work, unit, None, statistics.median(ours() for _ in range(rounds)), None, target)


def added(
    work: str,
    unit: str,
    without: Callable[[], float],
    with_all: Callable[[], float],
    count: int,
    target: float,
    rounds: int = 25,
) -> Row:
    """Run without and with `count` things in turn; ours is what each of them adds.

    It is the median over the rounds, so that a round in which something else ran does not count.
    """
    without(), with_all()
    differences = [with_all() - without() for _ in range(rounds)]
    return Row(work, unit, None, statistics.median(differences) / count, None, target)
