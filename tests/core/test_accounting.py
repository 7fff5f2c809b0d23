"""What came is credited, what did not come is counted, for each sender and agent."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas._bus.accounting import ReceiveAccounting
from civitas._bus.mailbox import Mailbox
from civitas._bus.receivers import NumberedReceiver
from civitas._bus.windows import GRANT_EVERY, WINDOW
from civitas.envelope import KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM, Origin
from civitas.errors import MailboxFullError, MessageRoutingError

NEAR = b"\x01" * 8
FAR = b"\x02" * 8
LONG = 30.0


def frame(number: int, node: bytes = FAR) -> bytes:
    return envelope.seal(b"body", "msgpack", Origin(node, 1), number=number)


def last(number: int, node: bytes = FAR) -> bytes:
    return envelope.header("msgpack", Origin(node, 1), kind=KIND_SYSTEM, number=number)


class Books:
    """An accounting, the receiver of one agent, and what they told."""

    def __init__(self, size: int = 1000, send_timeout: float = LONG) -> None:
        self.granted: list[tuple[bytes, str, int]] = []
        self.told: list[tuple[bytes, str, int]] = []
        self.accounting = ReceiveAccounting(
            lambda *grant: self.granted.append(grant), lambda *loss: self.told.append(loss)
        )
        self.mailbox: Mailbox[bytes] = Mailbox("agent", size)
        self.dropped: list[str] = []
        self.receiver = NumberedReceiver(
            self.mailbox,
            self.accounting,
            send_timeout,
            lambda reason, _frame: self.dropped.append(reason),
        )

    def begun(self, *nodes: bytes) -> Books:
        for node in nodes or (FAR,):
            self.accounting.begin(node, fresh=True)
        return self

    def take(self, *numbers: int, node: bytes = FAR) -> None:
        for number in numbers:
            assert self.receiver.take(frame(number, node))


def test_credit_is_returned_from_time_to_time_up_to_what_was_taken() -> None:
    books = Books().begun()
    books.take(*range(1, 2 * GRANT_EVERY + 10))
    assert books.granted == [(FAR, "agent", GRANT_EVERY), (FAR, "agent", 2 * GRANT_EVERY)]
    assert books.receiver.delivered == 2 * GRANT_EVERY + 9


def test_a_gap_is_counted_by_agent_and_told_with_its_sender() -> None:
    books = Books().begun()
    books.take(1, 4, 5)
    assert books.told == [(FAR, "agent", 2)]
    assert books.accounting.lost == {"agent": 2}


def test_the_word_of_the_last_number_counts_the_tail_and_returns_all_credit() -> None:
    books = Books().begun()
    books.take(1, 2)
    assert books.receiver.take(last(5))
    assert books.told == books.granted == []
    assert books.accounting.said(FAR, "agent", 5)
    assert books.told == [(FAR, "agent", 3)]
    assert books.granted == [(FAR, "agent", 5)]
    assert len(books.mailbox) == 2


def test_what_was_sent_to_an_agent_that_has_left_is_lost_and_may_have_come() -> None:
    books = Books().begun()
    books.take(1)
    assert books.accounting.ended(FAR, "agent", 3)
    assert (books.accounting.lost, books.accounting.unknown) == ({"agent": 2}, 2)
    assert books.granted == [(FAR, "agent", 3)]


def test_senders_are_accounted_for_apart() -> None:
    books = Books().begun(NEAR, FAR)
    books.take(1, 2)
    books.take(1, 3, node=NEAR)
    assert books.told == [(NEAR, "agent", 1)]
    books.accounting.settle()
    assert set(books.granted) == {(FAR, "agent", 2), (NEAR, "agent", 2)}


def test_a_sender_is_not_counted_before_its_probe() -> None:
    books = Books()
    books.take(70)
    books.receiver.take(last(90))
    assert not books.told
    assert not books.granted
    assert len(books.mailbox) == 1


def test_a_fresh_probe_begins_the_numbers_anew_and_another_one_does_not() -> None:
    books = Books().begun()
    books.take(*range(1, 11))
    books.accounting.begin(FAR, fresh=False)
    books.take(12)
    assert books.told == [(FAR, "agent", 1)]
    books.accounting.begin(FAR, fresh=True)
    books.take(1, 2)
    books.take(4)
    assert books.told == [(FAR, "agent", 1)] * 2


def test_what_is_settled_is_not_granted_twice() -> None:
    books = Books().begun()
    books.take(1)
    books.accounting.settle()
    books.accounting.settle()
    assert books.granted == [(FAR, "agent", 1)]


def test_a_node_that_has_gone_leaves_nothing_behind() -> None:
    books = Books().begun()
    books.take(1)
    books.accounting.forget(FAR)
    books.accounting.settle()
    assert not books.granted


def test_a_frame_that_is_not_numbered_is_delivered_and_not_accounted_for() -> None:
    books = Books().begun()
    books.take(0, 1)
    assert not books.told
    assert len(books.mailbox) == 2


def test_bytes_too_short_for_a_frame_go_where_they_are_refused() -> None:
    books = Books()
    assert books.receiver.take(b"\xc1\x01\x02")
    assert books.mailbox.get_nowait() == b"\xc1\x01\x02"


async def test_a_numbered_frame_waits_for_room_and_is_credited_when_it_is_in() -> None:
    books = Books(size=1, send_timeout=0.001).begun()
    books.take(1)
    assert not books.receiver.take(frame(2))
    waiting = asyncio.create_task(books.receiver(frame(2)))
    while books.mailbox.pending < 2:
        await asyncio.sleep(0)
    books.accounting.settle()
    assert books.granted == [(FAR, "agent", 1)]
    assert books.mailbox.get_nowait() == frame(1)
    await waiting
    books.accounting.settle()
    assert books.granted[-1] == (FAR, "agent", 2)
    assert books.receiver.delivered == 2


async def test_a_frame_that_is_not_numbered_waits_no_longer_than_a_send() -> None:
    books = Books(size=1, send_timeout=0.001)
    books.take(0)
    with pytest.raises(MailboxFullError):
        await books.receiver(frame(0))


async def test_a_frame_that_waits_when_the_agent_leaves_is_refused() -> None:
    books = Books(size=1).begun()
    books.take(1)
    waiting = asyncio.create_task(books.receiver(frame(2)))
    while books.mailbox.pending < 2:
        await asyncio.sleep(0)
    books.mailbox.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await waiting
    assert books.receiver.delivered == 1


async def test_a_frame_that_a_closed_mailbox_refuses_is_accounted_for() -> None:
    books = Books(size=1)
    books.accounting.begin(FAR, fresh=True)
    assert books.receiver.take(frame(1))
    waiting = asyncio.create_task(books.receiver(frame(2)))
    await asyncio.sleep(0)
    books.mailbox.close("it has stopped")
    with pytest.raises(MessageRoutingError, match="it has stopped"):
        await waiting
    with pytest.raises(MessageRoutingError, match="it has stopped"):
        books.receiver.take(frame(3))
    assert books.accounting.said(FAR, "agent", 3)
    assert books.granted == [(FAR, "agent", 3)]
    assert not books.accounting.lost


# --- what is refused -----------------------------------------------------------------------------


def test_a_frame_that_comes_again_is_dropped_and_returns_no_credit() -> None:
    books = Books().begun()
    books.take(1, 2, 2, 1, 3)
    assert len(books.mailbox) == books.receiver.delivered == 3
    assert books.dropped == ["a message that had come before"] * 2
    assert not books.told


def test_a_late_frame_is_delivered_and_no_loss_any_more() -> None:
    books = Books().begun()
    books.take(1, 4)
    assert books.accounting.lost == {"agent": 2}
    books.take(2, 3, 3)
    assert books.accounting.lost == {}
    assert len(books.mailbox) == 4
    assert len(books.dropped) == 1


@pytest.mark.parametrize("number", [WINDOW + 2, 2**60, 2**64 - 1])
def test_a_number_out_of_reach_is_dropped_and_moves_nothing(number: int) -> None:
    books = Books().begun()
    books.take(1, number, 2)
    assert books.receiver.take(last(number))
    books.take(3)
    assert len(books.mailbox) == 3
    assert books.dropped == [
        "numbered beyond its sender's window",
        "a last number that its sender can't have",
    ]
    assert not books.told
    assert not books.granted


@pytest.mark.parametrize("number", [WINDOW, 10**6])
def test_marks_in_a_members_name_make_none_of_its_messages_vanish(number: int) -> None:
    books = Books().begun()
    for _ in range(3):
        books.receiver.take(last(number))
    books.take(*range(1, 51))
    assert len(books.mailbox) == 50
    assert books.told == books.granted == []


def test_a_fresh_probe_that_comes_again_makes_no_later_frame_look_old_or_lost() -> None:
    books = Books(size=2000).begun()
    books.take(*range(1, 1001))
    books.accounting.begin(FAR, fresh=True)
    books.take(1001, 1002, 1001)
    assert len(books.mailbox) == 1002
    assert not books.told


def test_a_reply_at_an_agents_address_is_dropped() -> None:
    books = Books().begun()
    reply = envelope.seal(b"", "msgpack", Origin(FAR, 1), kind=KIND_REPLY, number=1)
    assert books.receiver.take(reply)
    books.take(1)
    assert len(books.mailbox) == 1
    assert books.dropped == ["no message, at an agent's address"]


KINDS = st.sampled_from([KIND_MESSAGE, KIND_REPLY, KIND_SYSTEM])


@given(st.lists(st.tuples(KINDS, st.integers(0, 600) | st.integers(0, 2**64 - 1)), max_size=80))
def test_whatever_comes_is_taken_once_or_counted(said: list[tuple[int, int]]) -> None:
    books = Books().begun()
    systems = 0
    for kind, number in said:
        frame = envelope.seal(b"", "msgpack", Origin(FAR, 1), kind=kind, number=number)
        assert books.receiver.take(frame)
        systems += kind == KIND_SYSTEM
    refused_last = books.dropped.count("a last number that its sender can't have")
    messages = len(books.mailbox)
    assert messages + len(books.dropped) - refused_last + systems == len(said)
    assert books.accounting.lost.total() >= 0
