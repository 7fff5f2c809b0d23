"""Flow: the window is never exceeded, what is lost is counted exactly, and all heals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._bus.windows import GRANT_EVERY, WINDOW, ReceiveWindow, SendWindow

STEP = st.sampled_from(["send", "send", "send", "arrive", "arrive", "lose", "credit", "no credit"])


def last_number(ledger: ReceiveWindow, number: int) -> int:
    """Mark a last number, and say it; return how many were lost."""
    ledger.mark(number)
    return ledger.end() if ledger.say(number) else 0


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

    def pass_on(self) -> bool:
        """Send a frame, and return whether it was taken."""
        number = self.window.take()
        if not self.ledger.takes(number):
            return False
        self.ledger.arrived(number)
        if self.ledger.due:
            self.window.credit(self.ledger.grant())
        return True

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
        self.told += last_number(self.ledger, self.window.sent)
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
    assert ledger.kept == 0
    assert ledger.arrived(2) == 1
    last_number(ledger, 2)
    ledger.grant()
    assert ledger.arrived(WINDOW + 2) == WINDOW - 1


def test_a_number_that_was_credited_is_not_given_back() -> None:
    window = SendWindow(4)
    number = window.take()
    window.credit(number)
    assert not window.give_back(number)
    assert window.outstanding == 0


@pytest.mark.parametrize("upto", [-1, 0, 2, 12, 2**64])
def test_credit_that_is_old_or_was_never_owed_is_ignored(upto: int) -> None:
    window = SendWindow(8)
    for _ in range(3):
        window.take()
    window.credit(2)
    assert not window.credit(upto)
    assert window.credited == 2


@pytest.mark.parametrize("upto", [3, 4, 11])
def test_credit_opens_the_window_no_further_than_to_what_was_sent(upto: int) -> None:
    window = SendWindow(8)
    for _ in range(3):
        window.take()
    window.credit(2)
    assert window.credit(upto)
    assert (window.credited, window.outstanding) == (3, 0)


def test_a_steady_stream_never_has_to_wait_for_credit() -> None:
    pair = Pair(WINDOW)
    for _ in range(10 * WINDOW):
        pair.send()
        pair.arrive()
        pair.credit()
        assert pair.window.outstanding <= GRANT_EVERY


def test_the_last_of_a_window_that_was_all_lost_is_taken_and_one_further_is_not() -> None:
    ledger = ReceiveWindow()
    assert ledger.takes(WINDOW)
    assert not ledger.takes(WINDOW + 1)
    assert ledger.arrived(WINDOW) == WINDOW - 1
    last_number(ledger, WINDOW)
    ledger.grant()
    assert ledger.takes(2 * WINDOW)
    assert not ledger.takes(2 * WINDOW + 1)


@pytest.mark.parametrize("number", [WINDOW + 2, 2**60, 2**64 - 1])
def test_the_first_number_of_a_sender_that_is_not_known_is_taken_as_it_is(number: int) -> None:
    ledger = ReceiveWindow(known=False)
    assert ledger.takes(number)
    assert ledger.arrived(number) == 0
    assert ledger.due
    assert ledger.grant() == number
    assert ledger.takes(number + 1)
    assert not ledger.takes(number)
    assert ledger.arrived(number + 3) == 2


def test_a_frame_that_comes_again_is_not_taken() -> None:
    ledger = ReceiveWindow()
    taken = [
        number for number in (1, 1, 2, 1, 2, 3) if ledger.takes(number) and counted(ledger, number)
    ]
    assert taken == [1, 2, 3]


def counted(ledger: ReceiveWindow, number: int) -> bool:
    ledger.arrived(number)
    return True


def test_a_late_frame_is_taken_once_and_was_not_lost() -> None:
    ledger = ReceiveWindow()
    assert ledger.arrived(4) == 3
    assert ledger.takes(2)
    assert ledger.arrived(2) == -1
    assert not ledger.takes(2)
    assert ledger.seen == 4


def test_frames_that_their_last_number_has_overtaken_are_taken() -> None:
    ledger = ReceiveWindow()
    assert last_number(ledger, 3) == 3
    assert [ledger.takes(n) and ledger.arrived(n) for n in (1, 2, 3)] == [-1, -1, -1]
    assert not any(map(ledger.takes, (1, 2, 3)))


@pytest.mark.parametrize("forged", [WINDOW + 1, 2**60, 2**64 - 1])
def test_a_last_number_out_of_reach_is_not_believed_and_moves_nothing(forged: int) -> None:
    ledger = ReceiveWindow()
    assert not ledger.say(forged)
    assert ledger.arrived(1) == 0
    assert not ledger.say(forged)
    assert ledger.seen == 1


@pytest.mark.parametrize("forged", [2, WINDOW, WINDOW + 1, 2**60, 2**64 - 1])
def test_marks_that_nobody_confirms_make_no_frame_look_old_or_lost(forged: int) -> None:
    ledger = ReceiveWindow()
    for number in (forged, forged, forged + WINDOW, forged + 2 * WINDOW):
        ledger.mark(number)
        assert ledger.end() == 0
        ledger.grant()
    assert [ledger.takes(n) and ledger.arrived(n) for n in range(1, WINDOW + 1)] == [0] * WINDOW


def test_a_last_number_counts_when_it_is_both_said_and_marked_in_either_order() -> None:
    first, second = ReceiveWindow(), ReceiveWindow()
    assert [first.say(5), first.end(), first.mark(5), first.end()] == [True, 0, True, 5]
    assert [second.mark(5), second.end(), second.say(5), second.end()] == [True, 0, True, 5]
    assert first.grant() == second.grant() == 5


def test_forged_frames_take_the_place_of_as_many_real_ones_at_most() -> None:
    ledger = ReceiveWindow()
    forged = [WINDOW * n for n in range(1, 40)]
    taken = [n for n in forged if ledger.takes(n) and counted(ledger, n) and ledger.grant()]
    heard = [n for n in range(1, WINDOW) if ledger.takes(n) and counted(ledger, n)]
    assert len(heard) >= WINDOW - 1 - len(taken)


def test_a_gap_gives_no_credit_until_the_sender_says_its_last_number() -> None:
    ledger = ReceiveWindow()
    assert ledger.arrived(5) == 4
    assert ledger.grant() == 1
    assert last_number(ledger, 5) == 0
    assert ledger.grant() == 5


@pytest.mark.parametrize("here", [1000, 2**60])
@pytest.mark.parametrize("there", [1, 5000, 2**62])
def test_two_ends_that_disagree_go_on_when_the_last_number_is_repeated(
    here: int, there: int
) -> None:
    ledger = ReceiveWindow(known=False)
    ledger.arrived(here)
    ledger.grant()
    assert not ledger.takes(there)
    assert not ledger.say(there)
    assert ledger.say(there + 1)
    assert ledger.end() == 0
    assert ledger.grant() == there + 1
    assert ledger.takes(there + 2)


NUMBER = st.one_of(st.integers(-1, 3 * WINDOW), st.integers(0, 2**64 - 1))
FORGED = st.tuples(st.sampled_from(["frame", "last", "mark", "unused"]), NUMBER)


@given(st.lists(FORGED, max_size=60), st.booleans())
def test_whatever_is_said_a_number_is_taken_once_and_what_is_kept_is_bounded(
    said: list[tuple[str, int]], known: bool
) -> None:
    ledger, taken, resumed = ReceiveWindow(known=known), set[int](), False
    for what, number in said:
        if what == "frame" and number > 0 and ledger.takes(number):
            assert resumed or number not in taken
            taken.add(number)
            ledger.arrived(number)
        elif what == "last":
            was_out_of_reach = not ledger.reaches(number)
            if ledger.say(number):
                resumed = resumed or was_out_of_reach or number + WINDOW < ledger.seen
                ledger.end()
                ledger.grant()
        elif what == "mark" and ledger.mark(number):
            ledger.end()
            ledger.grant()
        elif what == "unused":
            ledger.unused(number)
        assert ledger.kept <= 2 * WINDOW


@given(st.lists(FORGED, max_size=40))
def test_after_anything_forged_a_sender_that_goes_on_is_heard_again(
    said: list[tuple[str, int]],
) -> None:
    """Without credit it repeats its last number, until both ends agree."""
    pair = Pair(WINDOW)
    for what, number in said:
        if what == "frame" and number > 0 and pair.ledger.takes(number):
            pair.ledger.arrived(number)
        elif (what == "last" and pair.ledger.say(number)) or (
            what == "mark" and pair.ledger.mark(number)
        ):
            pair.ledger.end()
            pair.ledger.grant()
        elif what == "unused":
            pair.ledger.unused(number)
    for _ in range(4):
        for _ in range(WINDOW - pair.window.outstanding):
            was_heard = pair.pass_on()
        for _ in range(3):
            if pair.ledger.say(pair.window.sent):
                pair.ledger.mark(pair.window.sent)
                pair.ledger.end()
                pair.window.credit(pair.ledger.grant())
    assert was_heard
    assert pair.window.outstanding == 0


@pytest.mark.parametrize("number", [-1, WINDOW + 2, 2**64])
def test_a_number_that_a_sender_can_not_have_used_is_none_of_its_window(number: int) -> None:
    window = SendWindow()
    window.take()
    assert not window.reaches(number)
    assert window.reaches(1)
