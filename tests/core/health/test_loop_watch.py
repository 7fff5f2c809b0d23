"""For how long an event loop has not turned, as another thread sees it."""

from __future__ import annotations

import pytest

from civitas._health.loop_watch import TICK, LoopWatch


def looked(watch: LoopWatch, until: float, since: float = 0.0) -> None:
    """Look at every tick."""
    ticks = round((until - since) / TICK)
    for tick in range(1, ticks + 1):
        watch.look(since + tick * TICK)


def test_a_loop_that_answers_is_never_blocked():
    watch = LoopWatch(0.0)
    for tick in range(1, 100):
        now = tick * TICK
        assert watch.look(now)
        watch.answer()
        assert watch.blocked(now + TICK) == 0.0


def test_a_loop_that_does_not_answer_is_blocked_since_it_was_asked():
    watch = LoopWatch(0.0)
    looked(watch, 60.0)
    assert watch.blocked(60.0) == 60.0 - TICK
    watch.answer()
    assert watch.blocked(60.0) == 0.0


def test_it_is_asked_once_until_it_answers():
    watch = LoopWatch(0.0)
    assert watch.look(TICK)
    assert not watch.look(2 * TICK)


def test_the_time_in_which_the_whole_process_stood_still_is_not_counted():
    watch = LoopWatch(0.0)
    looked(watch, 10.0)
    blocked = watch.blocked(10.0)
    watch.look(3610.0)
    assert watch.blocked(3610.0) == pytest.approx(blocked + TICK)


def test_whoever_asks_before_the_next_look_does_not_count_that_time_either():
    watch = LoopWatch(0.0)
    looked(watch, 10.0)
    assert watch.blocked(3610.0) <= 10.0 + 2 * TICK


class Overtaken(float):
    """The time of a tick, which a loop answers in just when it is looked at."""

    watch: LoopWatch | None = None

    def __lt__(self, late: float) -> bool:
        if self.watch is not None:
            self.watch.answer()
        return float(self) < late


def test_a_loop_that_answers_while_it_is_looked_at_is_not_blocked_and_is_asked_again():
    """After a pause of the process both threads go on at once."""
    tick = Overtaken(TICK)
    watch = LoopWatch(0.0, tick)
    assert watch.look(TICK)
    tick.watch = watch
    assert not watch.look(3600.0)
    assert watch.blocked(3600.0) == 0.0
    assert watch.look(3600.0 + TICK)
