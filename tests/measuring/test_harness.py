"""A row says what was measured: medians with quartiles, ratios round by round, targets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from benchmarks.crew import percentiles
from benchmarks.harness import FULL, QUICK, Effort, Pairing, Row, Spread, Work, one, pair
from benchmarks.machine import machine, pinned_if
from benchmarks.texts import digits, met_text, spread_text, target_text

ONCE = Effort(rounds=1, turns=1, share=1.0)


def given(*values: float) -> Callable[[], Mapping[str, float]]:
    """Return a measure that gives these values, one each time."""
    rest = iter(values)
    return one(lambda: next(rest))


def row(ours: float, **more: object) -> Row:
    return Row("work", "us", Spread(ours, ours, ours), **more)  # type: ignore[arg-type]


def test_a_spread_is_the_median_with_the_quartiles_around_it() -> None:
    assert Spread.of([5, 1, 3, 2, 4]) == (2, 3, 4)
    assert Spread.of([7]) == (7, 7, 7)


def test_floor_and_ours_run_in_turn_and_the_first_turn_does_not_count() -> None:
    ran: list[str] = []

    def measure(name: str, value: float) -> Callable[[], Mapping[str, float]]:
        return lambda: (ran.append(name), {"each": value})[1]  # type: ignore[func-returns-value]

    pairing = Pairing(
        {"one": measure("one", 10), "two": measure("two", 5)},
        measure("ours", 20),
        [Work("each", "work", 1.5)],
    )
    first, second = pairing.rows(Effort(rounds=2, turns=2, share=1.0))
    assert ran == ["ours", "one", "two"] * 5
    assert (first.floor_is, second.floor_is) == ("one", "two")
    assert first.ratio == (2, 2, 2)
    assert second.ratio == (4, 4, 4)


def test_only_the_first_floor_has_the_target() -> None:
    pairing = Pairing({"one": given(1, 1), "two": given(1, 1)}, given(1, 1), [Work("each", "w", 2)])
    assert [each.target for each in pairing.rows(ONCE)] == [2, None]


def test_a_round_is_the_mean_of_its_turns_and_the_ratio_is_that_of_each_round() -> None:
    floor, ours = given(0, 1, 3, 10, 10), given(0, 2, 4, 10, 50)
    [found] = pair("work", "us", "floor", floor, ours, 2.0).rows(Effort(2, 2, 1.0))
    assert found.floor == Spread.of([2, 10])
    assert found.ours == Spread.of([3, 30])
    assert found.ratio == Spread.of([1.5, 3])


def test_a_rate_is_better_when_it_is_more() -> None:
    pairing = Pairing({"floor": given(1, 20)}, given(1, 10), [Work("each", "w", 2)], is_rate=True)
    [found] = pairing.rows(ONCE)
    assert found.ratio == (2, 2, 2)
    assert found.met


def test_a_target_bounds_the_ratio_or_ours_or_a_rate_from_below() -> None:
    ratio = Spread(1, 1.2, 2)
    assert row(5, ratio=ratio, target=1.2).met
    assert not row(5, ratio=ratio, target=1.1).met
    assert row(5, target=5).met
    assert not row(5, target=4).met
    assert row(5, target=4, is_rate=True).met
    assert not row(5, target=6, is_rate=True).met
    assert row(5).met is None


def test_a_quick_run_has_fewer_rounds_and_messages() -> None:
    assert QUICK.rounds < FULL.rounds
    assert QUICK.count(1000) == 250
    assert FULL.count(1000) == 1000
    assert QUICK.count(1) == 1
    assert FULL.of(15).rounds == 15
    assert QUICK.of(15).rounds == 4


def test_percentiles_are_microseconds() -> None:
    found = percentiles([number / 1e6 for number in range(1, 101)])
    assert found == {"p50": pytest.approx(50.5), "p99": pytest.approx(100)}


def test_texts_have_the_digits_that_count() -> None:
    assert [digits(each) for each in (1234.5, 99.96, 12.34, 1.234)] == [
        "1,234",
        "100.0",
        "12.3",
        "1.23",
    ]
    assert spread_text(Spread(1, 2, 3), "us") == "2.00 us (1.00\N{EN DASH}3.00)"
    assert spread_text(Spread(2, 2, 2)) == "2.00"
    assert spread_text(None) == ""
    assert target_text(row(5)) == met_text(row(5)) == ""
    assert target_text(row(5, target=4, is_rate=True)) == "at least 4 us"
    assert target_text(row(5, target=4)) == "4 us"
    assert target_text(row(5, ratio=Spread(1, 1, 1), target=1.2)) == "1.20"
    assert (met_text(row(5, target=4)), met_text(row(5, target=6))) == ("no", "yes")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone can do it")
def test_what_is_pinned_is_kept_on_one_processor_with_all_that_it_starts() -> None:
    before = os.sched_getaffinity(0)
    code = "import os; print(*os.sched_getaffinity(0))"
    with pinned_if(True) as is_pinned:
        assert is_pinned
        started = subprocess.check_output([sys.executable, "-c", code], text=True).split()
        assert os.sched_getaffinity(0) == {int(each) for each in started} == {max(before)}
    assert os.sched_getaffinity(0) == before
    with pinned_if(False) as is_pinned:
        assert not is_pinned
        assert os.sched_getaffinity(0) == before


def test_the_machine_is_described() -> None:
    about = machine()
    assert about["processor"]
    assert about["processors"] >= 1
    assert about["python"].split()[1] == sys.version.split()[0]
    assert {"msgpack", "pyzmq", "libzmq", "nats-py", "redis"} <= set(about["libraries"])
