"""Restart intensity and backoff: tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._supervision.restart import BackoffKind, CrashWindow, backoff_delay


def test_crashes_count_until_the_window_has_passed_them() -> None:
    window = CrashWindow(10.0)
    assert [window.record(now) for now in (0.0, 1.0, 9.9)] == [1, 2, 3]
    assert window.record(10.5) == 3  # the first has gone
    assert window.record(100.0) == 1


@pytest.mark.parametrize(
    ("kind", "delays"),
    [
        (BackoffKind.CONSTANT, [2, 2, 2, 2, 2]),
        (BackoffKind.LINEAR, [2, 4, 6, 8, 9]),
        (BackoffKind.EXPONENTIAL, [2, 4, 8, 9, 9]),
    ],
)
def test_delays_grow_as_their_name_says_up_to_the_longest(
    kind: BackoffKind, delays: list[float]
) -> None:
    assert [backoff_delay(kind, 2, 9, n, jitter=1.0) for n in range(1, 6)] == delays


def test_jitter_takes_away_at_most_half_of_an_exponential_delay() -> None:
    spread = [backoff_delay(BackoffKind.EXPONENTIAL, 2, 60, 3, j) for j in (0.0, 0.5, 1.0)]
    assert spread == [4, 6, 8]


@given(
    kind=st.sampled_from(BackoffKind),
    base=st.floats(0, 1e3),
    maximum=st.floats(0, 1e4),
    crashes=st.integers(1, 10_000),
    jitter=st.floats(0, 1),
)
def test_a_delay_is_never_negative_nor_longer_than_the_longest(
    kind: BackoffKind, base: float, maximum: float, crashes: int, jitter: float
) -> None:
    assert 0 <= backoff_delay(kind, base, maximum, crashes, jitter) <= maximum
