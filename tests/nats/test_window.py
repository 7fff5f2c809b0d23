"""The window: whatever a server delivers again, twice or not at all, each is handled in order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from civitas_nats.jetstream.window import Arrival, Position, Window, position_of

SIZE = 4


class Consumer:
    """A window, and the next delivery of the consumer that fills it."""

    def __init__(self) -> None:
        self.window = Window()
        self.delivery = 0

    def give(self, number: int) -> Arrival:
        self.delivery += 1
        return self.window.arrived(
            Position(number, self.delivery), b"%d" % number, f"r{self.delivery}"
        )

    def handle(self) -> int:
        in_hand = self.window.in_hand
        held = in_hand[0] if in_hand else self.window.take()
        assert held is not None
        self.window.finish(held)
        return held.number


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


# --- one thing at a time ------------------------------------------------------------------------


def test_messages_are_taken_one_after_the_other_in_their_order(consumer):
    assert [consumer.give(n) for n in (3, 4, 9)] == [Arrival.NEW] * 3
    assert len(consumer.window) == 3
    assert [consumer.handle() for _ in range(3)] == [3, 4, 9]
    assert consumer.window.take() is None
    assert (len(consumer.window), consumer.window.done) == (0, 9)


def test_the_messages_in_hand_stay_in_hand_until_they_are_finished(consumer):
    for number in (1, 2, 4):
        consumer.give(number)
    first, second = consumer.window.take(), consumer.window.take()
    assert consumer.window.in_hand == [first, second]
    assert [held.number for held in consumer.window.held()] == [1, 2, 4]
    consumer.window.finish(second)
    assert (consumer.window.in_hand, consumer.window.done) == ([first], 0)
    consumer.window.finish(first)
    assert (consumer.window.in_hand, consumer.window.done) == ([], 2)


def test_one_that_was_finished_before_an_earlier_one_is_done_when_it_comes_again(consumer):
    for number in (1, 2, 3):
        consumer.give(number)
    first, second = consumer.window.take(), consumer.window.take()
    consumer.window.finish(second)
    consumer.window.begin_anew()
    consumer.delivery = 0
    again = [consumer.give(n) for n in (1, 2, 3)]
    assert again == [Arrival.HELD, Arrival.DONE, Arrival.NEW]
    assert consumer.window.held()[0] is first


def test_nothing_is_finished_that_is_not_in_hand(consumer):
    consumer.give(1)
    with pytest.raises(ValueError, match="not in list"):
        consumer.window.finish(consumer.window.held()[0])


def test_one_that_is_held_and_comes_again_is_acknowledged_where_it_came_last(consumer):
    consumer.give(1)
    consumer.give(2)
    consumer.window.take()
    assert [consumer.give(1), consumer.give(2)] == [Arrival.HELD] * 2
    assert [held.reply for held in consumer.window.held()] == ["r3", "r4"]
    assert [consumer.handle(), consumer.handle()] == [1, 2]
    assert consumer.window.take() is None


def test_one_that_was_processed_and_comes_again_is_not_handled_again(consumer):
    consumer.give(1)
    consumer.handle()
    assert consumer.give(1) is Arrival.DONE
    assert consumer.window.take() is None


def test_a_lost_delivery_is_a_gap_until_the_consumer_is_made_anew(consumer):
    consumer.give(1)
    consumer.delivery += 1  # of 2, which is lost
    assert [consumer.give(3), consumer.give(4)] == [Arrival.GAP] * 2
    assert consumer.window.deliveries == 1
    consumer.window.begin_anew()
    consumer.delivery = 0
    assert [consumer.give(n) for n in (1, 2, 3, 4)] == [Arrival.NEW] * 4


def test_a_delivery_that_comes_twice_is_a_gap(consumer):
    consumer.give(1)
    assert consumer.window.arrived(Position(1, 1), b"1", "r1") is Arrival.GAP


def test_one_that_comes_out_of_order_is_a_gap(consumer):
    consumer.give(1)
    consumer.give(5)
    assert consumer.give(3) is Arrival.GAP
    assert [held.number for held in consumer.window.held()] == [1, 5]


def test_what_is_made_anew_gives_the_message_in_hand_again_and_it_is_not_handled_twice(consumer):
    for number in (1, 2, 3):
        consumer.give(number)
    in_hand = consumer.window.take()
    consumer.window.begin_anew()
    consumer.delivery = 0
    assert consumer.window.held() == [in_hand]
    assert [consumer.give(n) for n in (1, 2, 3)] == [Arrival.HELD, Arrival.NEW, Arrival.NEW]
    assert [consumer.handle() for _ in range(3)] == [1, 2, 3]


def test_another_stream_begins_with_1_and_the_message_in_hand_has_no_place_in_it(consumer):
    for number in (7, 8):
        consumer.give(number)
    assert consumer.handle() == 7
    in_hand = consumer.window.take()
    assert in_hand is not None
    consumer.window.begin_with_another_stream()
    consumer.delivery = 0
    assert in_hand.reply == ""
    assert [consumer.give(n) for n in (1, 2)] == [Arrival.NEW] * 2
    consumer.window.finish(in_hand)
    assert [consumer.handle(), consumer.handle()] == [1, 2]


# --- any interleaving ---------------------------------------------------------------------------


class Server(RuleBasedStateMachine):
    """A work-queue stream with a consumer, a network that loses things, and a reader."""

    @initialize(size=st.integers(1, 5))
    def begin(self, size: int) -> None:
        self.window = Window()
        self.size = size
        self.stream: dict[int, bytes] = {}
        self.last = 0
        self.sent = 0
        self.expected: list[bytes] = []
        self.begun: list[bytes] = []
        self.make_consumer()

    def make_consumer(self) -> None:
        self.delivered = 0
        self.deliveries = 0
        self.unacknowledged: set[int] = set()
        self.lost = False
        self.told_again: list[int] = []

    # --- the stream and its consumer

    @rule(leap=st.integers(1, 3))
    def publish(self, leap: int) -> None:
        """Store a message; those between are another agent's."""
        self.last += leap
        self.sent += 1
        self.stream[self.last] = b"%d" % self.sent
        self.expected.append(self.stream[self.last])

    def next_number(self) -> int | None:
        if len(self.unacknowledged) >= self.size:
            return None
        return min((n for n in self.stream if n > self.delivered), default=None)

    @precondition(lambda self: self.next_number() is not None)
    @rule(arrives=st.booleans())
    def deliver(self, arrives: bool) -> None:
        number = self.next_number()
        assert number is not None
        self.delivered = number
        self.unacknowledged.add(number)
        self.send(number, arrives)

    @precondition(lambda self: self.unacknowledged)
    @rule(arrives=st.booleans(), data=st.data())
    def deliver_again(self, arrives: bool, data: st.DataObject) -> None:
        self.send(data.draw(st.sampled_from(sorted(self.unacknowledged))), arrives)

    def send(self, number: int, arrives: bool) -> None:
        self.deliveries += 1
        if not arrives:
            self.lost = True
            return
        self.position = Position(number, self.deliveries)
        arrival = self.arrive(self.position)
        assert (arrival is Arrival.GAP) == self.lost  # each gap is noticed, and nothing else is one
        if arrival is Arrival.DONE:
            self.told_again.append(number)

    def arrive(self, position: Position) -> Arrival:
        frame = self.stream[position.stream]
        return self.window.arrived(position, frame, f"r{position.delivery}")

    @precondition(lambda self: self.deliveries and not self.lost)
    @rule()
    def deliver_twice(self) -> None:
        if self.position.stream in self.stream:
            assert self.arrive(self.position) is Arrival.GAP

    # --- the reader

    @rule()
    def take(self) -> None:
        """Begin with the next message: in the order of the stream."""
        held = self.window.take()
        if held is not None:
            self.begun.append(held.frame)
            assert self.begun == self.expected[: len(self.begun)]

    @precondition(lambda self: self.window.in_hand)
    @rule(arrives=st.booleans(), data=st.data())
    def finish(self, arrives: bool, data: st.DataObject) -> None:
        """Process a message in hand, and acknowledge it."""
        held = data.draw(st.sampled_from(self.window.in_hand))
        self.window.finish(held)
        if arrives and held.reply:
            self.acknowledge(held.number)

    def handle(self) -> None:
        for held in [*self.window.in_hand]:
            self.window.finish(held)
            if held.reply:
                self.acknowledge(held.number)
        self.take()

    @rule()
    def acknowledge_again(self) -> None:
        for number in self.told_again:
            self.acknowledge(number)
        self.told_again.clear()

    def acknowledge(self, number: int) -> None:
        """Take an acknowledgement: a server knows none of what it has not delivered."""
        if number in self.unacknowledged:
            self.unacknowledged.remove(number)
            del self.stream[number]

    @rule()
    def make_anew(self) -> None:
        self.window.begin_anew()
        self.make_consumer()

    @rule()
    def make_another_stream(self) -> None:
        """Delete the stream with all in it, and make another one."""
        self.expected = [*self.begun]
        self.stream.clear()
        self.last = 0
        self.window.begin_with_another_stream()
        self.make_consumer()

    def teardown(self) -> None:
        """See that in the end all is handled, once and in order."""
        if not hasattr(self, "window"):
            return
        self.make_anew()
        while len(self.begun) < len(self.expected):
            while self.next_number() is not None:
                self.deliver(arrives=True)
            self.acknowledge_again()
            self.handle()
        self.handle()
        assert self.begun == self.expected
        assert len(self.window) == 0


@pytest.mark.slow
def test_any_interleaving_is_handled_once_and_in_order_and_every_gap_is_noticed():
    run_state_machine_as_test(Server, settings=settings(max_examples=300, deadline=None))


# --- where a message is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.AGENCY.worker.1.42.7.1700000000000000000.3",
        "$JS.ACK.domain.account.AGENCY.worker.1.42.7.1700000000000000000.3.random",
        "$JS.ACK.domain.account.AGENCY.worker.1.42.7.1700000000000000000.3",
        "$JS.ACK._.account.AGENCY.wörker-ü.1.42.7.1700000000000000000.3.a.b",
    ],
)
def test_a_position_is_read_from_short_and_long_subjects(reply):
    assert position_of(reply) == Position(stream=42, delivery=7)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "_INBOX.x",
        "$JS.ACK.AGENCY.worker.1.42.7.1700000000000000000",
        "$JS.ACK.AGENCY.worker.1.x.7.1700000000000000000.3",
        "$JS.ACK.AGENCY.worker.1.42..1700000000000000000.3",
        "x" * 1000,
    ],
)
def test_what_acknowledges_no_message_of_a_stream_has_no_position(reply):
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        position_of(reply)
