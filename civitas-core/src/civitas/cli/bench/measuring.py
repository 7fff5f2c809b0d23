"""What is measured: rounds of asks and of streams, by the size of the message."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from civitas.cli.bench.system import BenchSystem
from civitas.errors import MessageTooLargeError

SIZES: Final = (100, 10 << 10, 1 << 20)
"""Bytes of the text in a message."""

_TRIAL: Final = 10
"""Messages by which it is seen how many fill a round."""

_FEWEST: Final = 5
_MOST: Final = 20_000


class BenchEffort(NamedTuple):
    """How much is measured: rounds for each median, and about how many seconds each takes."""

    rounds: int
    seconds: float


FULL: Final = BenchEffort(5, 0.5)
QUICK: Final = BenchEffort(3, 0.1)


@dataclass(frozen=True, slots=True)
class SizeResult:
    """What was measured with messages of one size; medians over the rounds.

    Attributes:
        bytes: size of the text in each message.
        ask_p50: median of the time for an answer, in microseconds.
        ask_p99: 99th percentile of it.
        rate: messages a second of a stream.
        lost: those of all streams that never came.
        skipped: why nothing was measured; empty when it was.
    """

    bytes: int
    ask_p50: float | None = None
    ask_p99: float | None = None
    rate: float | None = None
    lost: int = 0
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as values for JSON."""
        return asdict(self)


async def measured(
    system: BenchSystem,
    effort: BenchEffort,
    largest: int | None,
    progress: Callable[[str], object],
) -> AsyncIterator[SizeResult]:
    """Measure size after size.

    Args:
        system: the agents.
        effort: how much.
        largest: bytes of the largest message that the transport takes; None for no limit.
        progress: called with what is measured next.
    """
    for size in SIZES:
        if largest is not None and size > largest:
            reason = f"max_message_bytes of this transport is {largest:,}"
            yield SizeResult(size, skipped=reason)
            continue
        try:
            yield await _of_size(system, effort, size, progress)
        except MessageTooLargeError as error:
            yield SizeResult(size, skipped=str(error))


async def _of_size(
    system: BenchSystem, effort: BenchEffort, size: int, progress: Callable[[str], object]
) -> SizeResult:
    progress(f"{size_text(size)}: trying")
    each = min(await system.ask(size, _TRIAL))
    asks = _count(effort.seconds / each)
    trial = await system.stream(size, _TRIAL)
    messages = _count(effort.seconds * trial.rate)
    lost = trial.lost
    p50, p99, rates = [], [], []
    for number in range(1, effort.rounds + 1):
        progress(f"{size_text(size)}: round {number} of {effort.rounds}")
        seconds = sorted(await system.ask(size, asks))
        p50.append(statistics.median(seconds) * 1e6)
        p99.append(_percentile(seconds, 0.99) * 1e6)
        stream = await system.stream(size, messages)
        rates.append(stream.rate)
        lost += stream.lost
    return SizeResult(
        size,
        round(statistics.median(p50), 1),
        round(statistics.median(p99), 1),
        round(statistics.median(rates), 1),
        lost,
    )


def size_text(size: int) -> str:
    """Return a size in words."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size} B"


def _count(wanted: float) -> int:
    return int(min(max(wanted, _FEWEST), _MOST))


def _percentile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]
