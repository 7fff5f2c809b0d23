"""RemoteState: what follows from reports, losses and wishes, whatever their order."""

from __future__ import annotations

import itertools
import random

import pytest

from civitas._supervision.remote_state import Demand, RemoteState, RemoteStatus, Step, Wanted

A, B = "aa", "bb"


def running(incarnation: int = 0) -> RemoteState:
    state = RemoteState()
    state.wanted = Wanted.RUNNING
    assert state.reported(A, "RUNNING", incarnation) is Step.NONE
    return state


def test_the_first_report_of_a_node_says_where_the_agent_is() -> None:
    state = RemoteState()
    assert (state.status, state.node) == (RemoteStatus.ABSENT, None)
    state.reported(A, "INITIALIZING", 0)
    assert (state.status, state.node) == (RemoteStatus.STARTING, A)
    assert state.demand() is None


def test_a_crash_is_one_for_each_incarnation_however_often_it_is_reported() -> None:
    state = running()
    reports = [state.reported(A, each, 0) for each in ("CRASHED", "CRASHED_AGAIN", "CRASHED")]
    assert reports == [Step.CRASHED, Step.NONE, Step.NONE]
    assert state.reported(A, "CRASHED", 1) is Step.CRASHED


@pytest.mark.parametrize(
    ("version", "late"),
    [
        (("CRASHED", 1), ("RUNNING", 1)),
        (("CRASHED", 1), ("CRASHED", 0)),
        (("DOWN", 1), ("RUNNING", 1)),
        (("DOWN", 1), ("STOPPING", 1)),
        (("RUNNING", 2), ("DOWN", 1)),
        (("STOPPED", 1), ("RUNNING", 1)),
        (("RUNNING", 1), ("INITIALIZING", 1)),
    ],
)
def test_a_report_that_comes_late_changes_nothing(
    version: tuple[str, int], late: tuple[str, int]
) -> None:
    state = running()
    state.reported(A, *version)
    before = state.status, state.version, state.demand()
    assert state.reported(A, *late) is Step.NONE
    assert (state.status, state.version, state.demand()) == before


def test_a_crashed_agent_is_started_when_its_supervisor_says_so() -> None:
    state = running()
    state.reported(A, "CRASHED", 0)
    assert state.demand() is None
    state.wanted = Wanted.RUNNING
    assert state.demand() == Demand(A, "start", 0)
    state.reported(A, "INITIALIZING", 1)
    assert state.demand() is None


def test_a_stop_is_demanded_of_what_runs_and_a_start_of_what_is_down() -> None:
    state = running(3)
    state.wanted = Wanted.DOWN
    assert state.demand() == Demand(A, "stop", 3)
    assert state.reported(A, "DOWN", 3) is Step.NONE
    assert state.demand() is None
    state.wanted = Wanted.RUNNING
    assert state.demand() == Demand(A, "start", 3)


def test_a_crash_of_what_is_to_stop_is_no_crash() -> None:
    state = running()
    state.wanted = Wanted.DOWN
    assert state.reported(A, "CRASHED", 0) is Step.NONE
    assert state.lost(A, died=True) is Step.NONE


def test_a_new_primary_starts_what_its_predecessor_had_stopped() -> None:
    state = RemoteState()
    state.reported(A, "DOWN", 4)
    state.wanted = Wanted.RUNNING
    assert state.demand() == Demand(A, "start", 4)


@pytest.mark.parametrize("died", [True, False])
def test_a_node_that_goes_leaves_it_absent_and_only_a_death_is_a_crash(died: bool) -> None:
    state = running(7)
    assert state.lost(B, died=True) is Step.NONE  # of another node
    assert state.lost(A, died=died) is (Step.CRASHED if died else Step.NONE)
    assert (state.status, state.node, state.demand()) == (RemoteStatus.ABSENT, None, None)
    assert state.reported(A, "RUNNING", 8) is Step.NONE  # late
    assert state.status is RemoteStatus.ABSENT
    state.reported(B, "RUNNING", 0)
    assert (state.status, state.node) == (RemoteStatus.RUNNING, B)


def test_the_death_of_a_node_is_no_second_crash_of_what_had_crashed() -> None:
    state = running()
    state.reported(A, "CRASHED", 0)
    state.wanted = Wanted.RUNNING
    assert state.lost(A, died=True) is Step.NONE
    assert state.wanted is Wanted.RUNNING  # the next node starts it


@pytest.mark.parametrize("died", [False, True])
def test_a_node_that_has_gone_may_still_say_that_its_agent_is_done(died: bool) -> None:
    state = RemoteState()
    state.reported(A, "RUNNING", 0)
    state.lost(A, died=died)
    assert state.reported(A, "CRASHED", 1) is Step.NONE
    assert state.reported(A, "STOPPED", 0) is Step.DONE
    assert state.reported(A, "STOPPED", 0) is Step.NONE
    assert state.status is RemoteStatus.ABSENT
    state.reported(B, "INITIALIZING", 0)
    assert state.demand() == Demand(B, "finish", 0)


@pytest.mark.parametrize("later", ["", B])
def test_a_node_of_before_may_say_so_when_others_have_come_and_gone(later: str) -> None:
    state = running()
    for node in (A, "cc"):
        state.reported(node, "RUNNING", 0)
        state.lost(node, died=True)
    if later:
        state.reported(later, "RUNNING", 0)
    assert state.reported(A, "RUNNING", 9) is Step.NONE
    assert state.node == (later or None)
    assert state.finished_in("dd") is Step.NONE  # it never had the agent
    assert not state.done
    assert state.finished_in(A) is Step.DONE
    assert state.finished_in(A) is Step.NONE
    assert state.demand() == (Demand(later, "finish", 0) if later else None)


def test_a_node_that_had_not_gone_is_heard_again() -> None:
    state = running()
    state.lost(A, died=False)
    state.hosted_in(A)
    assert state.reported(A, "RUNNING", 0) is Step.NONE
    assert (state.status, state.node) == (RemoteStatus.RUNNING, A)
    assert state.reported(A, "CRASHED", 0) is Step.CRASHED


def test_what_is_done_stays_done_also_in_a_node_that_comes_later() -> None:
    state = running()
    assert state.reported(A, "STOPPED", 0) is Step.DONE
    assert state.lost(A, died=True) is Step.NONE
    assert state.reported(B, "RUNNING", 0) is Step.NONE
    assert state.done
    assert state.demand() == Demand(B, "finish", 0)
    assert state.reported(B, "CRASHED", 0) is Step.NONE
    assert state.reported(B, "STOPPED", 0) is Step.NONE
    assert state.demand() is None


def test_a_status_that_is_not_known_says_nothing() -> None:
    state = running()
    assert state.reported(A, "HALF-ASLEEP", 9) is Step.NONE
    assert state.version == running().version


STATUSES = ("INITIALIZING", "RUNNING", "STOPPING", "DOWN", "CRASHED", "CRASHED_AGAIN", "STOPPED")


def test_any_order_of_the_same_reports_comes_to_the_same_end() -> None:
    reports = [("RUNNING", 0), ("CRASHED", 0), ("RUNNING", 1), ("STOPPING", 1), ("DOWN", 1)]
    ends = set()
    for order in itertools.permutations(reports):
        state = RemoteState()
        for each in order:
            state.reported(A, *each)
        ends.add((state.status, state.incarnation))
    assert ends == {(RemoteStatus.DOWN, 1)}


@pytest.mark.parametrize("seed", range(200))
def test_whatever_comes_its_rules_hold(seed: int) -> None:
    rng = random.Random(seed)
    state, done, crashed = RemoteState(), 0, set()
    for _ in range(200):
        node, incarnation = rng.choice((A, B)), rng.randrange(4)
        before = (state.node, *state.version)
        match rng.randrange(4):
            case 0:
                state.wanted = rng.choice(list(Wanted))
                continue
            case 1:
                state.lost(node, died=rng.random() < 0.5)
                continue
            case _:
                step = state.reported(node, rng.choice(STATUSES), incarnation)
        if step is Step.DONE:
            done += 1
        elif step is Step.CRASHED:
            assert not state.done
            crashed.add((node, incarnation))
        if node == before[0] == state.node:
            assert (state.node, *state.version) >= before
        demand = state.demand()
        if demand is not None:
            assert demand.node == state.node
            assert (demand.verb == "finish") == state.done
    assert done <= 1
