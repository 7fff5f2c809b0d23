"""Flow: the window is never exceeded, what is lost is counted exactly, and all heals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._bus.windows import GRANT_EVERY, WINDOW, ReceiveWindow, SendWindow

STEP = st.sampled_from(["send", "send", "send", "arrive", "arrive", "lose", "credit", "no credit"])


class Pair:
    """A sender and a receiver, with what is under way between them."""

    def __init__(self, size: int) -> None:
        self.window = SendWindow(size)
        self.ledger = ReceiveWindow(size)
        self.wire: list[int] = []
        self.credits: list[int] = []
        self.lost = 0
        self.told = 0

    def send(self) -> None:
        before = self.window.outstanding
        number = self.window.take()
        assert bool(number) == (before < self.window.size)
        if number:
            self.wire.append(number)

    def arrive(self) -> None:
        if self.wire:
            self.told += self.ledger.arrived(self.wire.pop(0))
            if self.ledger.due:
                self.credits.append(self.ledger.grant())

    def lose(self) -> None:
        if self.wire:
            self.wire.pop(0)
            self.lost += 1

    def credit(self, *, arrives: bool = True) -> None:
        if self.credits:
            upto = self.credits.pop(0)
            if arrives:
                self.window.credit(upto)

    def tell_last(self) -> None:
        """The sender tells its last number, behind all that it sent."""
        while self.wire:
            self.arrive()
        self.told += self.ledger.ended_at(self.window.sent)
        self.credits.append(self.ledger.grant())
        while self.credits:
            self.credit()


@given(size=st.sampled_from([1, 2, 8, WINDOW]), steps=st.lists(STEP, max_size=600))
def test_whatever_is_lost_is_counted_exactly_and_the_window_heals(
    size: int, steps: list[str]
) -> None:
    pair = Pair(size)
    for step in steps:
        if step == "send":
            pair.send()
        elif step == "arrive":
            pair.arrive()
        elif step == "lose":
            pair.lose()
        else:
            pair.credit(arrives=step == "credit")
        assert 0 <= pair.window.outstanding <= size
        assert len(pair.wire) <= size
        assert pair.told <= pair.lost
    pair.tell_last()
    assert pair.told == pair.lost
    assert pair.window.outstanding == 0


@given(st.lists(st.sampled_from(["take", "back", "credit"]), max_size=300))
def test_numbers_given_back_never_widen_the_window(steps: list[str]) -> None:
    window = SendWindow(4)
    for step in steps:
        if step == "take":
            window.take()
        elif step == "back":
            window.give_back(window.sent)
        else:
            window.credit(window.sent)
        assert 0 <= window.outstanding <= 4


def test_a_number_is_used_again_when_it_and_all_after_it_are_given_back() -> None:
    window = SendWindow(4)
    first, second = window.take(), window.take()
    assert not window.give_back(first)
    assert window.give_back(second)
    assert window.take() == first
    assert window.take_unused() == []


def test_a_number_before_one_that_is_under_way_stays_unused_and_is_reported_once() -> None:
    window = SendWindow(4)
    first, second = window.take(), window.take()
    window.give_back(first)
    assert window.take_unused() == [first]
    assert window.take_unused() == []
    window.give_back(second)
    assert window.take() == second


def test_a_number_that_is_known_to_be_unused_is_no_loss() -> None:
    ledger = ReceiveWindow()
    assert ledger.unused(2) == 0
    assert ledger.arrived(1) == 0
    assert ledger.arrived(4) == 1
    assert ledger.unused(2) == 0


def test_a_number_that_turns_out_to_be_unused_was_one_loss_less() -> None:
    ledger = ReceiveWindow()
    assert ledger.arrived(1) == 0
    assert ledger.arrived(4) == 2
    assert [ledger.unused(2), ledger.unused(2), ledger.unused(4)] == [1, 0, 0]


@pytest.mark.parametrize("number", [-1, 0, WINDOW + 1, 2**64])
def test_an_unused_number_that_can_be_none_of_the_window_is_not_kept(number: int) -> None:
    ledger = ReceiveWindow()
    ledger.unused(number)
    assert ledger.arrived(2) == 1
    assert ledger.arrived(WINDOW + 2) == WINDOW - 1 + 0


def test_a_number_that_was_credited_is_not_given_back() -> None:
    window = SendWindow(4)
    number = window.take()
    window.credit(number)
    assert not window.give_back(number)
    assert window.outstanding == 0


@pytest.mark.parametrize("upto", [-1, 0, 2, 4, 2**64])
def test_credit_that_is_old_or_was_never_owed_is_ignored(upto: int) -> None:
    window = SendWindow(8)
    for _ in range(3):
        window.take()
    window.credit(2)
    assert not window.credit(upto)
    assert window.credited == 2


def test_a_steady_stream_never_has_to_wait_for_credit() -> None:
    pair = Pair(WINDOW)
    for _ in range(10 * WINDOW):
        pair.send()
        pair.arrive()
        pair.credit()
        assert pair.window.outstanding <= GRANT_EVERY


def test_a_gap_wider_than_the_window_is_of_another_numbering() -> None:
    ledger = ReceiveWindow()
    assert ledger.arrived(WINDOW + 2) == 0
    assert ledger.arrived(WINDOW + 5) == 2


def test_a_sender_that_begins_anew_gets_credit_for_its_first_frame() -> None:
    ledger = ReceiveWindow()
    for number in range(1, 200):
        ledger.arrived(number)
        ledger.grant()
    assert ledger.arrived(1) == 0
    assert ledger.due
    assert ledger.grant() == 1


def test_a_frame_that_comes_twice_is_no_loss() -> None:
    ledger = ReceiveWindow()
    assert [ledger.arrived(n) for n in (1, 1, 2, 2, 3)] == [0] * 5
