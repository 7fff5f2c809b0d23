"""Times of many asks, in the standard library alone: programs of peers take them, too."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 99th percentile of times, in microseconds."""
    highest = sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]
    return {"p50": statistics.median(seconds) * 1e6, "p99": highest * 1e6}


async def timed(count: int, ask: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Ask so many times, one after the other; return what `percentiles` makes of the times."""
    seconds = []
    for _ in range(count):
        began = perf_counter()
        await ask()
        seconds.append(perf_counter() - began)
    return percentiles(seconds)
