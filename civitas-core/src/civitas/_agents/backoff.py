"""Backoff: how a delay grows with each failure, of restarts and of retries. No I/O."""

from __future__ import annotations

from enum import Enum


class BackoffKind(Enum):
    """How the delay before another attempt grows with the failures."""

    CONSTANT = "CONSTANT"
    """Always the first delay."""
    LINEAR = "LINEAR"
    """The first delay times the failures."""
    EXPONENTIAL = "EXPONENTIAL"
    """Doubled with each failure, less up to half of it at random."""


def backoff_delay(
    kind: BackoffKind, base: float, maximum: float, failures: int, jitter: float
) -> float:
    """Return the seconds to wait before another attempt.

    `failures` counts those so far, at least one; `jitter` is a random number from 0 to 1. An
    exponential delay is between half of its value and all of it, so that what failed together does
    not come back together.
    """
    if kind is BackoffKind.CONSTANT:
        return min(base, maximum)
    if kind is BackoffKind.LINEAR:
        return min(base * failures, maximum)
    # 2.0 ** 1024 overflows; after 64 doublings every maximum is reached.
    whole = min(base * 2.0 ** min(failures - 1, 64), maximum)
    return whole * (0.5 + 0.5 * jitter)
