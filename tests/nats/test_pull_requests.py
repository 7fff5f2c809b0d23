"""Pull requests: a consumer is asked for as much as may be held, and never for more."""

from __future__ import annotations

import json
from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from civitas_nats.jetstream.window import HEARTBEAT, PullRequests


def batch(due: tuple[str, bytes] | None) -> int:
    assert due is not None
    return json.loads(due[1])["batch"]


def test_the_first_pull_asks_for_the_whole_window():
    assert batch(PullRequests(8).due(0)) == 8


def test_a_pull_ends_by_itself_and_shows_that_it_stands():
    due = PullRequests(8).due(0)
    assert due is not None
    body = json.loads(due[1])
    assert body["idle_heartbeat"] == HEARTBEAT * 1e9
    assert body["expires"] > 2 * body["idle_heartbeat"]  # or servers refuse the pull


def test_a_pull_is_made_when_half_the_window_is_free_and_not_before():
    requests = PullRequests(8)
    requests.due(0)
    for _ in range(8):
        requests.arrived()
    assert requests.due(8) is None
    assert requests.due(5) is None
    assert batch(requests.due(4)) == 4


def test_what_was_asked_for_and_has_not_come_takes_room():
    requests = PullRequests(8)
    requests.due(0)
    requests.arrived()
    assert requests.due(0) is None
    assert requests.due(1) is None


def test_a_window_of_one_is_asked_for_one_at_a_time():
    requests = PullRequests(1)
    assert batch(requests.due(0)) == 1
    assert requests.due(0) is None
    requests.arrived()
    assert requests.due(1) is None
    assert batch(requests.due(0)) == 1


def test_pulls_have_names_of_their_own():
    requests = PullRequests(4)
    names = []
    for _ in range(3):
        due = requests.due(0)
        assert due is not None
        names.append(due[0])
        requests.ended(due[0])
    assert len(set(names)) == 3


def test_a_pull_that_has_ended_is_made_anew_for_what_it_did_not_give():
    requests = PullRequests(8)
    due = requests.due(0)
    assert due is not None
    requests.arrived()
    requests.ended(due[0])
    assert batch(requests.due(1)) == 7


def test_a_pull_that_is_not_known_has_not_ended():
    requests = PullRequests(8)
    requests.due(0)
    requests.ended("99")
    assert requests.due(0) is None


def test_when_none_stands_any_more_all_is_asked_for_again():
    requests = PullRequests(8)
    requests.due(0)
    requests.forget()
    assert batch(requests.due(2)) == 6


def test_a_message_without_a_pull_is_none_of_theirs():
    requests = PullRequests(8)
    requests.arrived()
    assert batch(requests.due(0)) == 8


class Server(RuleBasedStateMachine):
    """A server that fills the oldest pull first, and a reader that holds what came."""

    @initialize(size=st.integers(1, 20))
    def begin(self, size: int) -> None:
        self.size = size
        self.requests = PullRequests(size)
        self.held = 0
        self.asked: deque[list] = deque()

    @rule()
    def ask(self) -> None:
        due = self.requests.due(self.held)
        if due is not None:
            assert batch(due) >= 1
            self.asked.append([due[0], batch(due)])

    @precondition(lambda self: self.asked)
    @rule(is_new=st.booleans())
    def give(self, is_new: bool) -> None:
        self.asked[0][1] -= 1
        if not self.asked[0][1]:
            self.asked.popleft()
        self.requests.arrived()
        self.held += is_new

    @precondition(lambda self: self.asked)
    @rule()
    def end_the_oldest(self) -> None:
        self.requests.ended(self.asked.popleft()[0])

    @precondition(lambda self: self.held)
    @rule()
    def process(self) -> None:
        self.held -= 1

    @rule()
    def lose_the_connection(self) -> None:
        self.asked.clear()
        self.requests.forget()

    @invariant()
    def not_more_than_the_window(self) -> None:
        assert self.held + sum(left for _, left in self.asked) <= self.size

    @invariant()
    def never_idle(self) -> None:
        """With nothing held and nothing asked for, there is something to ask for."""
        if not self.asked and not self.held:
            due = self.requests.due(0)
            assert due is not None
            self.asked.append([due[0], batch(due)])


def test_whatever_comes_ends_or_is_lost_the_window_is_never_exceeded():
    run_state_machine_as_test(Server)


@given(st.integers(1, 65_536), st.integers(0, 65_536))
def test_no_single_pull_asks_for_more_than_there_is_room(size, held):
    due = PullRequests(size).due(held)
    assert due is None or 1 <= batch(due) <= size - held
