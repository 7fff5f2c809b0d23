"""Heartbeat: what answers and silence say of a node."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._supervision.heartbeat import DEFAULT, HeartbeatPolicy, Monitor, OwnPings, strictest

POLICY = HeartbeatPolicy(interval=1.0, timeout=0.5, threshold=3)


def watch(monitor: Monitor, start: float, end: float, answers: bool = False) -> float | None:
    """Look ten times a second; return when the node counted as dead."""
    now = start
    while now < end:
        if monitor.dead(now):
            return now
        sequence = monitor.ping(now)
        if sequence is not None and answers:
            monitor.answered(sequence, now)
        now = round(now + 0.1, 6)
    return None


def test_pings_go_out_once_in_an_interval_with_numbers_from_one() -> None:
    monitor = Monitor(POLICY, 0.0)
    assert [monitor.ping(t / 4) for t in range(1, 13)] == [None] * 3 + [1] + [None] * 3 + [2] + [
        None
    ] * 3 + [3]


def test_a_node_that_answers_lives() -> None:
    assert watch(Monitor(POLICY, 0.0), 0.0, 60.0, answers=True) is None


def test_a_silent_node_is_dead_after_the_threshold_and_within_the_bound() -> None:
    died = watch(Monitor(POLICY, 0.0), 0.0, 60.0)
    assert died is not None
    assert POLICY.interval * POLICY.threshold < died <= POLICY.bound + 0.2


@given(interval=st.floats(0.2, 5), timeout=st.floats(0.1, 9), threshold=st.integers(1, 5))
def test_a_silent_node_is_dead_within_the_bound_of_any_policy(
    interval: float, timeout: float, threshold: int
) -> None:
    policy = HeartbeatPolicy(interval, timeout, threshold)
    died = watch(Monitor(policy, 0.0), 0.0, policy.bound + 2.0)
    assert died is not None
    assert died <= policy.bound + 0.1 * (threshold + 2)


def test_one_answer_speaks_for_all_pings_before_it() -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in (1.0, 2.0, 3.0):
        monitor.ping(now)
    monitor.answered(3, 3.2)
    assert monitor.misses(9.0) == 0
    assert monitor.silent_for(4.2) == pytest.approx(1.0)


def test_an_answer_to_an_early_ping_leaves_the_later_ones_open() -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in (1.0, 2.0, 3.0):
        monitor.ping(now)
    monitor.answered(1, 3.2)
    assert monitor.misses(9.0) == 2


@given(st.integers(-(2**70), 2**70).filter(lambda n: not 1 <= n <= 3))
def test_an_answer_to_no_ping_says_nothing(sequence: int) -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in (1.0, 2.0, 3.0):
        monitor.ping(now)
    monitor.answered(sequence, 3.2)
    assert monitor.misses(9.0) == 3
    assert monitor.silent_for(9.0) == 9.0


def test_what_is_forgiven_is_forgotten_and_nothing_counts_within_the_grace() -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in (1.0, 2.0, 3.0):
        monitor.ping(now)
    monitor.forgive(20.0, 5.0)
    assert monitor.ping(20.0) is not None
    assert not monitor.dead(24.9)
    died = watch(monitor, 20.1, 60.0)
    assert died is not None
    assert died >= 25.0


def test_silence_counts_from_when_a_later_ping_of_ones_own_has_come_back() -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in (1.0, 2.0, 3.0):
        monitor.ping(now, confirmed=False)
    assert not monitor.dead(60.0)
    monitor.confirm(2.0, 61.0)
    assert [monitor.misses(now) for now in (61.0, 61.4, 61.5, 99.0)] == [0, 0, 2, 2]
    monitor.confirm(3.0, 70.0)
    assert [monitor.misses(now) for now in (70.4, 70.6)] == [2, 3]
    monitor.answered(3, 71.0)
    assert not monitor.misses(99.0)
    assert not monitor.waiting


def test_pings_without_an_answer_are_not_remembered_without_end() -> None:
    monitor = Monitor(POLICY, 0.0)
    for now in range(1, 5000):
        monitor.ping(float(now), confirmed=False)
    monitor.confirm(5000.0, 5000.0)
    assert monitor.misses(6000.0) == 1000


def test_a_ping_to_oneself_goes_out_from_time_to_time_and_comes_back_once() -> None:
    own = OwnPings()
    assert [own.ping(t / 10) for t in range(10, 15)] == [1, None, 2, None, 3]
    assert not own.come_back
    assert [own.returned(2), own.returned(2), own.returned(9)] == [1.2, -inf, -inf]
    assert own.come_back


def test_a_stricter_policy_holds_from_the_next_ping() -> None:
    monitor = Monitor(DEFAULT, 0.0)
    monitor.follow(POLICY, 0.0)
    died = watch(monitor, 0.0, 60.0)
    assert died is not None
    assert died <= POLICY.bound + 0.2


def test_a_node_is_watched_as_closely_as_its_most_watched_agent() -> None:
    assert strictest([DEFAULT, POLICY, HeartbeatPolicy(9, 9, 9)]) == POLICY
    assert strictest([]) == DEFAULT
