"""Prior state: the reader of a consumer, and how often its first message was executed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas_nats.jetstream.prior_state import PriorState, ReaderRecord

COUNTS = st.integers(min_value=0)


@given(st.text(), COUNTS, COUNTS, COUNTS)
def test_a_record_is_read_as_it_was_written(owner, head, deliveries, doubtful):
    record = ReaderRecord(owner, head, deliveries, doubtful)
    assert ReaderRecord.read(record.text()) == record


def test_a_record_fits_a_description():
    largest = ReaderRecord("f" * 16, 2**64 - 1, 2**31, 2**64 - 1)
    assert len(largest.text()) < 4096


def test_a_record_of_an_earlier_release_is_read():
    text = '{"owner":"me","head":5,"deliveries":2}'
    assert ReaderRecord.read(text) == ReaderRecord("me", 5, 2)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Messages to agent a",
        "[]",
        "1",
        "null",
        "{}",
        '{"owner": "x"}',
        '{"owner": "x", "head": "many", "deliveries": 0}',
        '{"owner": "x", "head": null, "deliveries": 0}',
        '{"owner": "x", "head": Infinity, "deliveries": 0}',
        '{"owner": "x", "head": NaN, "deliveries": 0}',
        "[" * 100_000,
    ],
)
def test_a_description_that_somebody_else_wrote_says_nothing(text):
    assert ReaderRecord.read(text) == ReaderRecord("")


@given(st.text())
def test_no_description_whatever_is_an_error(text):
    ReaderRecord.read(text)
    ReaderRecord.read(json.dumps({"owner": text, "head": text, "deliveries": 1}))


@pytest.mark.parametrize(
    ("record", "unsettled", "first", "deliveries"),
    [
        (ReaderRecord("me"), 0, 5, 0),  # nothing is known, nothing was left behind
        (ReaderRecord("me"), 5, 5, 1),  # it was in hand when its process ended
        (ReaderRecord("me"), 9, 5, 1),  # so it was, with others behind it
        (ReaderRecord("me"), 4, 5, 0),  # it came after all that was given
        (ReaderRecord("me", 5, 2), 0, 5, 2),  # it failed twice, and its process ended in good order
        (ReaderRecord("me", 5, 2), 9, 5, 3),  # it failed twice, and brought down its process then
        (ReaderRecord("me", 4, 2), 9, 5, 1),  # the count is that of another message
        (ReaderRecord("me", 4, 2), 0, 5, 0),
    ],
)
def test_deliveries_of_the_first_message_are_taken_over(record, unsettled, first, deliveries):
    assert PriorState(record, unsettled).deliveries_of(first) == deliveries


@pytest.mark.parametrize(
    ("record", "unsettled", "settled", "first", "deliveries"),
    [
        (ReaderRecord("me", 3, 1, 9), 20, 2, 5, 2),  # it was in hand twice, for all that is known
        (ReaderRecord("me", 3, 1, 9), 20, 15, 9, 2),
        (ReaderRecord("me", 3, 1, 9), 20, 16, 9, 1),  # so far no reader gets unacknowledged
        (ReaderRecord("me", 3, 1, 9), 20, 2, 10, 1),  # it came after all that was given then
        (ReaderRecord("me", 3, 1, 9), 20, 0, 3, 2),  # it was counted then
        (ReaderRecord("me", 3, 1, 9), 0, 2, 5, 0),  # its process ended in good order
    ],
)
def test_one_that_may_have_been_in_hand_at_two_ends_counts_twice(
    record, unsettled, settled, first, deliveries
):
    assert PriorState(record, unsettled, settled).deliveries_of(first) == deliveries


def test_of_a_reader_with_several_in_hand_each_of_the_first_messages_counts():
    record = ReaderRecord("me", head=5, deliveries=2, concurrency=3, others={7: 1})
    state = PriorState(record, unsettled=8)
    assert state.messages == 3
    assert [state.deliveries_of(n) for n in (5, 6, 7, 9)] == [3, 1, 2, 0]


def test_a_record_of_several_in_hand_is_read_as_it_was_written():
    record = ReaderRecord("me", 5, 2, 9, concurrency=3, others={7: 1, 8: 2})
    assert ReaderRecord.read(record.text()) == record


def test_a_record_of_one_in_hand_is_written_as_ever():
    values = json.loads(ReaderRecord("me", 5, 2, 9).text())
    assert values == {"owner": "me", "head": 5, "deliveries": 2, "doubtful": 9}


def test_no_more_is_written_than_a_description_holds():
    others = {10**12 + n: 3 for n in range(1_000)}
    assert len(ReaderRecord("0" * 16, 10**12, 3, 10**12, 1_000, others).text()) < 4_096
