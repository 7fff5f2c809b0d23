"""Checks: each rule finds what breaks it, in a history that is written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from civitas.testing.simulation import checks, object_checks
from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.history import (
    ACCEPTED,
    ANSWERED,
    DONE,
)
from core.simulation.written import Written, found


def test_nothing_is_found_in_what_is_well(written: Written) -> None:
    for _ in range(3):
        written.handle(written.send())
    asked = written.begin(asks=1.0)
    written.handle(asked.message)
    written.history.sent(asked, ANSWERED)
    rules = set(checks.CHECKS) - {checks.the_counters_are_exact}  # there are no nodes that count
    assert [text for rule in rules for text in found(rule, written)] == []


def test_what_was_sent_later_may_not_be_handled_first(written: Written) -> None:
    first, second = written.send(), written.send()
    written.handle(second)
    written.handle(first)
    assert len(found(checks.order, written)) == 1


def test_what_was_sent_at_once_may_be_handled_in_any_order(written: Written) -> None:
    first, second = written.begin(), written.begin()
    for each in (first, second):
        written.history.sent(each, ACCEPTED)
    written.handle(second.message)
    written.handle(first.message)
    assert found(checks.order, written) == []


def test_what_is_given_again_keeps_its_first_place(written: Written, durable: bool) -> None:
    first, second = written.send(), written.send()
    for message in (first, second, first):
        written.handle(message)
    assert found(checks.order, written) == []
    assert len(found(checks.at_most_once, written)) == (0 if durable else 1)


def test_what_was_accepted_may_not_vanish(written: Written, durable: bool) -> None:
    written.send()
    lost = found(checks.nothing_accepted_is_lost, written)
    silent = found(checks.no_message_goes_without_a_word, written)
    assert (len(lost), len(silent)) == ((1, 0) if durable else (0, 1))


def test_where_counters_went_with_their_process_nothing_is_said_of_them(written: Written) -> None:
    written.send()
    written.history.died("w", "killed")
    assert found(checks.no_message_goes_without_a_word, written) == []
    assert found(checks.the_counters_are_exact, written) == []


@pytest.mark.parametrize("fault", ["crash", "pause", "slow", "server", "link", "partition"])
def test_no_fault_excuses_that_a_message_goes_without_a_word(
    written: Written, durable: bool, fault: str
) -> None:
    written.send()
    written.faults(fault)
    assert len(found(checks.no_message_goes_without_a_word, written)) == (not durable)


def test_an_ask_ends_within_its_time(written: Written) -> None:
    late, never = written.begin(asks=1.0), written.begin(asks=1.0)
    written.wait(1.05)
    in_time = written.begin(asks=1.0)
    written.wait(1.0)
    for each in (late, in_time):
        written.history.sent(each, "TimeoutError")
    texts = found(checks.asks_end_in_time, written)
    assert [each.message.id[-8:] in text for each, text in zip((late, never), texts, strict=True)]


def test_an_answer_comes_from_who_has_handled_it(written: Written) -> None:
    asked = written.begin(asks=1.0)
    written.history.sent(asked, ANSWERED)
    assert len(found(checks.answers_come_from_handling, written)) == 1


@pytest.mark.parametrize("fault", ["crash", "pause", "kill", "partition"])
def test_objects_of_two_processes_never_handle_at_once(written: Written, fault: str) -> None:
    written.faults(fault)
    written.begin_handling(written.send(), 1)
    written.begin_handling(written.send(), 2, written.other)
    assert len(found(object_checks.one_object_at_once, written)) == 1


def test_two_objects_of_one_process_never_handle_at_once(written: Written) -> None:
    written.faults("pause")
    written.begin_handling(written.send(), 1)
    written.begin_handling(written.send(), 2)
    assert len(found(object_checks.one_object_at_once, written)) == 1


@pytest.mark.parametrize("allowed", [1, 2])
def test_an_object_has_no_more_in_hand_than_its_concurrency(written: Written, allowed: int) -> None:
    written.history.starting("a").concurrency = allowed
    for _ in range(2):
        written.begin_handling(written.send(), 1)
    assert len(found(object_checks.no_more_in_hand_than_allowed, written)) == 2 - allowed


def test_what_a_killed_process_had_in_hand_is_over(written: Written) -> None:
    written.begin_handling(written.send(), 1)
    written.process.kill()
    written.wait(1.0)
    written.begin_handling(written.send(), 2, written.other)
    assert found(object_checks.one_object_at_once, written) == []


@pytest.mark.parametrize("ended", [False, True])
def test_an_object_begins_when_the_one_before_it_has_ended(written: Written, ended: bool) -> None:
    first = written.history.starting("a")
    first.outcome = DONE
    written.wait(1.0)
    first.ended_at = written.history.now if ended else None
    written.wait(1.0)
    written.history.starting("a").outcome = DONE
    assert len(found(object_checks.one_object_lives, written)) == (not ended)


@pytest.mark.parametrize("primary_died", [False, True])
def test_a_done_agent_is_not_started_while_somebody_knows(
    written: Written, primary_died: bool
) -> None:
    written.history.starting("a")
    written.history.said_done("a")
    written.wait(2.0)
    if primary_died:
        written.history.died("supervisor", "killed")
    written.wait(2.0)
    written.history.starting("a")
    assert len(found(object_checks.done_stays_done, written)) == (not primary_died)


@pytest.mark.parametrize(("passed", "broken"), [(0.01, 0), (1.0, 1)])
def test_an_agent_that_is_done_as_its_process_is_given_up_may_be_started_again(
    written: Written, passed: float, broken: int
) -> None:
    made = written.history.starting("a")
    written.history.said_done("a")
    made.ended_at = written.history.now
    written.wait(passed)
    written.history.died(made.process.label.rpartition(".")[0], "failed")
    written.wait(4.0)
    written.history.starting("a")
    assert len(found(object_checks.done_stays_done, written)) == broken


def test_so_may_one_whose_process_ends_while_it_is_being_stopped(written: Written) -> None:
    made = written.history.starting("a")
    written.history.said_done("a")
    written.wait(1.0)
    written.history.died(made.process.label.rpartition(".")[0], "killed")
    written.wait(4.0)
    written.history.starting("a")
    assert not found(object_checks.done_stays_done, written)


@pytest.mark.parametrize(
    ("side", "rest", "until", "broken"),
    [
        ({"test"}, {"supervisor.1"}, 9.0, 0),
        ({"supervisor.1"}, {"test"}, 9.0, 0),
        ({"test"}, set(), 9.0, 0),
        ({"supervisor.1"}, set(), 9.0, 0),
        ({"test"}, {"supervisor.1"}, 1.0, 1),  # it could say so before its end
        ({"test", "supervisor.1"}, {"q"}, 9.0, 1),
        ({"q"}, {"supervisor.1"}, 9.0, 1),
        ({"q"}, set(), 9.0, 1),
    ],
)
def test_so_may_one_whose_process_was_cut_off_until_its_end(
    written: Written, side: set[str], rest: set[str], until: float, broken: int
) -> None:
    made = written.history.starting("a")
    assert made.process.label == "test"
    written.system.weather.cuts.append((side, rest, 0.0, until))
    written.history.said_done("a")
    made.ended_at = written.history.now
    written.wait(2.0)
    written.history.died(made.process.label.rpartition(".")[0], "failed")
    written.wait(4.0)
    written.history.starting("a")
    assert len(found(object_checks.done_stays_done, written)) == broken


def test_a_runtime_goes_on_only_while_agents_do(written: Written) -> None:
    assert not found(checks.the_end_has_a_reason, written)
    written.system.outlives_its_agents = True
    assert len(found(checks.the_end_has_a_reason, written)) == 1


class Ended:
    """The primary, as it ended."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.node: Any = None


def test_a_runtime_that_ends_well_had_nothing_left_to_do(written: Written) -> None:
    vars(written.system.deployment)["ended"] = Ended(0)
    assert "not done" in found(checks.the_end_has_a_reason, written)[0]


@pytest.mark.parametrize(("crashes", "broken"), [(2, 1), (3, 0)])
def test_a_root_gives_up_beyond_its_intensity_only(
    written: Written, crashes: int, broken: int
) -> None:
    vars(written.system.deployment)["ended"] = Ended(1)
    for _ in range(crashes):
        written.wait(1.0)
        written.history.crashed("a", "handle")
    assert len(found(checks.the_end_has_a_reason, written)) == broken


def test_a_process_that_was_cut_off_may_have_counted_as_dead(written: Written) -> None:
    vars(written.system.deployment)["ended"] = Ended(1)
    written.system.weather.cuts.append(({"w.1"}, set(), 0.0, 3.0))
    for _ in range(2):
        written.wait(1.0)
        written.history.crashed("a", "handle")
    assert not found(checks.the_end_has_a_reason, written)


@pytest.mark.parametrize(("crashes", "broken"), [(2, 0), (3, 1)])
def test_a_root_gives_up_when_its_intensity_is_exceeded(
    written: Written, crashes: int, broken: int
) -> None:
    for _ in range(crashes):
        written.wait(1.0)
        written.history.crashed("a", "handle")
    assert len(found(checks.intensity_is_kept, written)) == broken


@pytest.mark.parametrize(("fault", "broken"), [("link", 0), ("crash", 1)])
def test_a_crash_that_is_heard_when_its_agent_is_stopped_anyway_is_none(
    written: Written, fault: str, broken: int
) -> None:
    written.system.plans.append((Fault(0.0, fault, "w", 1.0),))
    for seconds in (1.0, 5.0):  # its end is not that of the crash: somebody has restarted it
        made = written.history.starting("a")
        written.wait(seconds)
        made.ended_at = written.history.now
        written.wait(1.0)
    for _ in range(3):
        written.wait(1.0)
        written.history.crashed("a", "handle")
    assert len(found(checks.intensity_is_kept, written)) == broken
