"""Pairs a floor with ours: both run in turn, and the ratio is taken round by round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple, Self

from benchmarks.payloads import SIZES

Measure = Callable[[], Mapping[str, float]]
"""Runs some work once and returns what it took, by the name of the value."""


class MissingError(RuntimeError):
    """A suite needs what is not on this machine; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: the values that a median is made of.
        turns: how often floor and ours run for one value.
        share: part of the full number of messages that one run has.
        largest: bytes of data in the largest messages.
    """

    rounds: int
    turns: int
    share: float
    largest: int = 4 << 20

    def count(self, full: int) -> int:
        """Return how many messages, agents or starts there are, where `full` is the whole."""
        return max(1, round(full * self.share))

    def of(self, rounds: int) -> Self:
        """Return an effort with another number of rounds for what needs more, or takes long."""
        return replace(self, rounds=min(rounds, max(1, round(rounds * self.share))))

    def sizes(self) -> dict[str, int]:
        """Return the sizes of payloads to measure, by name."""
        return {name: size for name, size in SIZES.items() if size <= self.largest}


FULL: Final = Effort(rounds=5, turns=2, share=1.0)
QUICK: Final = Effort(rounds=3, turns=1, share=0.25)


class Spread(NamedTuple):
    """What several rounds came to: their median, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the median and the quartiles of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        work: what was measured.
        unit: that of `ours` and `floor`.
        ours: what it took, or the rate.
        floor_is: what the floor is; empty without one.
        floor: what that took.
        ratio: ours in relation to the floor, by round: below 1 where ours is better.
        target: bounds the ratio, or ours where there is none; None: the row only tells.
        is_rate: whether more is better.
        note: what a reader should know.
        key: names the row for a plot.
        at: where the row stands on the axis of that plot.
    """

    work: str
    unit: str
    ours: Spread
    floor_is: str = ""
    floor: Spread | None = None
    ratio: Spread | None = None
    target: float | None = None
    is_rate: bool = False
    note: str = ""
    key: str = ""
    at: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        if self.ratio is not None:
            return self.ratio.median <= self.target
        if self.is_rate:
            return self.ours.median >= self.target
        return self.ours.median <= self.target

    def as_dict(self) -> dict[str, Any]:
        """Return the row as values for JSON."""
        return asdict(self)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Return the row that `as_dict` has written."""
        spreads = {
            name: None if values[name] is None else Spread(*values[name])
            for name in ("ours", "floor", "ratio")
        }
        return cls(**{**values, **spreads})


class Work(NamedTuple):
    """A row to be made of one of the values that each run gives.

    Attributes:
        value: its name.
        work: what the row is called.
        target: the bound of its ratio to the first floor.
    """

    value: str
    work: str
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Ours and its floors, which run in turn; the first floor has the target.

    Attributes:
        floors: what each floor is, and how it is run.
        ours: how ours is run.
        works: the rows.
        unit: that of all values.
        is_rate: whether more is better.
        note: what a reader should know.
        key: names the rows for a plot, together with the value.
        at: where they stand on its axis.
    """

    floors: Mapping[str, Measure]
    ours: Measure
    works: Sequence[Work]
    unit: str = "us"
    is_rate: bool = False
    note: str = ""
    key: str = ""
    at: float | None = None

    def rows(self, effort: Effort) -> Iterator[Row]:
        """Run all in turn, after one turn that does not count.

        A round is the mean of several turns, so that a machine whose speed drifts slows all alike.
        """
        runs: list[Measure] = [self.ours, *self.floors.values()]
        for run in runs:
            run()
        rounds = [
            _means([run() for run in runs] for _ in range(effort.turns))
            for _ in range(effort.rounds)
        ]
        for number, floor_is in enumerate(self.floors, 1):
            for value, work, target in self.works:
                ours = [each[0][value] for each in rounds]
                floor = [each[number][value] for each in rounds]
                pairs = zip(floor, ours, strict=True)
                ratios = [raw / own if self.is_rate else own / raw for raw, own in pairs]
                yield Row(
                    work,
                    self.unit,
                    Spread.of(ours),
                    floor_is,
                    Spread.of(floor),
                    Spread.of(ratios),
                    target if number == 1 else None,
                    self.is_rate,
                    self.note,
                    self.key and f"{self.key} {value}",
                    self.at,
                )


def _means(turns: Iterable[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Return the mean of each value over some turns, for each of those who ran."""
    return [
        {name: statistics.fmean(each[name] for each in runs) for name in runs[0]}
        for runs in zip(*turns, strict=True)
    ]


def one(measure: Callable[[], float]) -> Measure:
    """Return a measure of a single value, which is called `each`."""
    return lambda: {"each": measure()}


def pair(
    work: str, unit: str, floor_is: str, floor: Measure, ours: Measure, target: float, **more: Any
) -> Pairing:
    """Return a pairing of a single row."""
    return Pairing({floor_is: floor}, ours, [Work("each", work, target)], unit, **more)
