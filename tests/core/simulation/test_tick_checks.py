"""Checks of timers, background tasks and retries, in a history that is written by hand."""

from __future__ import annotations

import pytest

from civitas import Message
from civitas.testing.simulation import checks, object_checks, tick_checks
from civitas.testing.simulation.history import AgentObject, RecordedTimer
from core.simulation.written import Written, found


def an_object(written: Written, number: int = 1) -> AgentObject:
    made = AgentObject("a", written.process, number, written.history.now)
    written.history.objects.append(made)
    return made


def tick(written: Written, timer: RecordedTimer) -> Message:
    message = Message(sender="a", recipient="a")
    written.history.ticked(timer, message)
    return message


def broken_rules(written: Written) -> set[str]:
    rules = (
        *(object_checks.nothing_runs_after_on_stop, object_checks.a_retry_keeps_its_place),
        *(tick_checks.one_tick_is_queued, tick_checks.the_grid_is_kept),
        *(checks.at_most_once, checks.order, object_checks.no_more_in_hand_than_allowed),
    )
    return {rule.__name__ for rule in rules if found(rule, written)}


def test_ticks_that_are_handled_in_time_break_no_rule(written: Written) -> None:
    timer = written.history.timer(an_object(written), 1.0, 1.0)
    once = written.history.timer(an_object(written), None, 0.5)
    written.wait(0.5)
    written.handle(tick(written, once))
    for _ in range(3):
        written.wait(1.0 if timer.ticks else 0.5)
        written.handle(tick(written, timer))
    assert broken_rules(written) == set()
    assert written.history.ticks("a") == written.history.handled("a")
    assert len(written.history.ticks()) == 4


def test_a_tick_is_not_queued_beside_the_one_before(written: Written) -> None:
    timer = written.history.timer(an_object(written), 1.0, 1.0)
    written.wait(1.0)
    tick(written, timer)
    written.wait(1.0)
    tick(written, timer)
    assert broken_rules(written) == {"one_tick_is_queued"}


@pytest.mark.parametrize("waits", [(0.5,), (1.0, 0.7), (1.3,), (1.0, 2.0), (5.0,)])
def test_a_tick_that_is_early_late_or_missing_is_found(
    written: Written, waits: tuple[float, ...]
) -> None:
    timer = written.history.timer(an_object(written), 1.0, 1.0)
    for seconds in waits:
        written.wait(seconds)
        written.handle(tick(written, timer))
    assert broken_rules(written) == {"the_grid_is_kept"}


def test_a_timer_that_does_not_tick_any_more_is_found(written: Written) -> None:
    timer = written.history.timer(an_object(written), 1.0, 1.0)
    written.wait(1.0)
    written.handle(tick(written, timer))
    written.wait(2.0)
    assert broken_rules(written) == {"the_grid_is_kept"}
    timer.ended_at = 1.5
    assert broken_rules(written) == set()


def test_ticks_are_swallowed_while_one_is_queued_or_the_process_stands_still(
    written: Written,
) -> None:
    timer = written.history.timer(an_object(written), 1.0, 1.0)
    written.wait(1.0)
    queued = tick(written, timer)
    written.wait(2.5)  # the handler before it was slow
    written.handle(queued)
    written.wait(0.5)
    written.handle(tick(written, timer))
    assert broken_rules(written) == set()
    written.system.weather.stalls.append((written.process, 4.5, 8.0))
    written.wait(3.5)
    written.handle(tick(written, timer))
    assert broken_rules(written) == set()


def test_what_runs_after_on_stop_is_found(written: Written) -> None:
    made = an_object(written)
    timer = written.history.timer(made, None, 0.0)
    message = tick(written, timer)
    written.history.stepped(made, "poll")
    assert broken_rules(written) == set()
    written.history.stopping(made)
    written.handle(message)
    written.history.stepped(made, "poll")
    assert len(found(object_checks.nothing_runs_after_on_stop, written)) == 2


def test_a_background_task_of_an_object_that_was_replaced_is_found(written: Written) -> None:
    old = an_object(written)
    an_object(written, 2)
    written.history.stepped(old, "poll")
    assert broken_rules(written) == {"nothing_runs_after_on_stop"}


def test_another_message_between_two_attempts_is_found(written: Written, durable: bool) -> None:
    an_object(written)
    first, second = written.send(), written.send()
    written.history.handled_to(written.begin_handling(first), "ConnectionError")
    written.handle(second)
    first.attempt = 1
    written.handle(first)
    expected = set() if durable else {"a_retry_keeps_its_place"}
    assert broken_rules(written) == expected


def test_with_several_in_hand_a_retry_is_no_second_time(written: Written) -> None:
    an_object(written).concurrency = 2
    first, second = written.send(), written.send()
    written.history.handled_to(written.begin_handling(first), "ConnectionError")
    written.handle(second)
    written.handle(first)
    assert broken_rules(written) == set()
