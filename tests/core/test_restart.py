"""Restart intensity and backoff: tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._supervision.restart import (
    BackoffKind,
    CrashWindow,
    RestartIntensity,
    RestartPolicy,
    backoff_delay,
)


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


# --- the decision -------------------------------------------------------------------------------


def intensity(**policy: Any) -> RestartIntensity:
    return RestartIntensity(RestartPolicy(**policy), jitter=lambda: 1.0)


def test_it_gives_up_with_the_first_crash_beyond_the_limit() -> None:
    decide = intensity(max_restarts=2).decide
    assert [decide("a", now, counts=True).delay for now in (0.0, 1.0, 2.0)] == [1.0, 1.0, None]


def test_crashes_of_all_children_count_together() -> None:
    decide = intensity(max_restarts=1).decide
    assert decide("a", 0.0, counts=True).delay is not None
    assert decide("b", 0.0, counts=True).delay is None


def test_a_crash_outside_the_window_is_forgotten() -> None:
    decide = intensity(max_restarts=1, restart_window=10.0).decide
    assert decide("a", 0.0, counts=True).share == "1 of 1"
    assert decide("a", 10.0, counts=True).share == "1 of 1"
    assert decide("a", 15.0, counts=True).delay is None


def test_a_crash_on_a_message_that_was_given_again_is_not_counted() -> None:
    decide = intensity(max_restarts=0).decide
    for _ in range(5):
        delay, share = decide("a", 0.0, counts=False)
        assert delay == 1.0
        assert "not counted" in share
    assert decide("a", 0.0, counts=True).delay is None


def test_the_backoff_of_each_child_grows_with_its_own_crashes() -> None:
    decide = intensity(max_restarts=9, backoff=BackoffKind.LINEAR).decide
    delays = [decide(name, 0.0, counts=True).delay for name in ("a", "a", "b", "a")]
    assert delays == [1.0, 2.0, 1.0, 3.0]
