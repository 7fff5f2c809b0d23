"""The reader of a socket: whatever comes is read, with one signal for any number of frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import zmq

from civitas_zmq.publisher import Publisher
from civitas_zmq.sockets import JOINED
from civitas_zmq.subscriber import Subscriber
from support.zmq import PATIENCE, until

PLACE = "inproc://here"
TOPIC = b"agent\0"


class Line:
    """A socket that publishes, and a subscriber to it, which notes what it reads."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.publisher = context.socket(zmq.XPUB)
        self.publisher.set(zmq.SNDHWM, 0)
        self.publisher.bind(PLACE)
        self.read: list[object] = []
        self.then: Callable[[], object] = list
        self._socket = context.socket(zmq.SUB)
        self._socket.set(zmq.RCVHWM, 0)
        self._socket.connect(PLACE)
        self.subscriber = Subscriber(
            self._socket,
            {TOPIC: "agent"},
            deliver=self._deliver,
            other=lambda topic, frame: self.read.append((topic, frame)),
            malformed=self.read.append,
            failed=self.read.append,
        )

    def _deliver(self, _: str, frame: bytes) -> None:
        self.read.append(frame)
        self.then()

    def publish(self, *frames: bytes) -> None:
        for frame in frames:
            self.publisher.send(TOPIC + frame)

    async def settled(self) -> None:
        """Wait until the subscription is in place, and the subscriber waits for a signal."""
        await until(lambda: bool(self.publisher.poll(0)))
        self.publisher.recv()
        self.publish(b"first")
        await until(lambda: self.read == [b"first"])
        for _ in range(3):
            await asyncio.sleep(0)
        self.read.clear()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    context = zmq.Context()
    try:
        line = Line(context)
        await line.settled()
        yield line
        line.subscriber.close()
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("count", [1, 2, 64, 65, 66, 1000])
async def test_of_frames_that_one_signal_announces_none_stays_unread(line, count):
    frames = [b"%d" % number for number in range(count)]
    for _ in range(3):
        line.publish(*frames)
        await until(lambda: len(line.read) >= count)
        assert line.read == frames
        line.read.clear()


@pytest.mark.parametrize("frame", [b"", b"frame", b"with\0bytes", bytes(1 << 20)])
async def test_a_frame_is_read_from_one_part_with_its_topic_or_from_two(line, frame):
    line.publisher.send_multipart([TOPIC, frame])
    line.publisher.send(TOPIC + frame)
    await until(lambda: line.read == [frame, frame])


async def test_of_parts_that_are_no_message_nothing_is_taken_for_a_part_of_the_next_one(line):
    line.publisher.send_multipart([TOPIC, b"one", b"too many"])
    line.publisher.send_multipart([TOPIC + b"frame", b"no topic"])
    line.publish(b"next")
    await until(lambda: line.read[-1:] == [b"next"])
    assert line.read == [[TOPIC, b"one", b"too many"], b"frame", [b"no topic"], b"next"]


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (JOINED, 1), (JOINED + 1, 2)])
async def test_a_frame_is_sent_in_one_part_with_its_topic_unless_it_is_large(size, parts):
    context = zmq.Context()
    try:
        with context.socket(zmq.XPUB) as socket, context.socket(zmq.SUB) as front:
            front.bind(PLACE)
            front.subscribe(b"")
            socket.connect(PLACE)
            await until(lambda: not front.poll(0) and bool(socket.poll(0)))  # it has subscribed
            publisher = Publisher(socket, PATIENCE, pytest.fail)
            assert publisher.offer(TOPIC, bytes(size))
            sent = front.recv_multipart()
            assert len(sent) == parts
            assert b"".join(sent) == TOPIC + bytes(size)
            publisher.close()
    finally:
        context.destroy(linger=0)


async def test_a_frame_that_comes_while_another_is_delivered_is_read(line):
    def answer() -> None:
        if len(line.read) < 500:
            line.publish(b"%d" % len(line.read))

    line.then = answer
    line.publish(b"0")
    await until(lambda: len(line.read) == 500)


@pytest.mark.parametrize(("count", "turns"), [(1, 1), (64, 1), (65, 2), (128, 2)])
async def test_what_is_there_is_read_in_one_turn_but_for_a_flood(line, count, turns):
    """Who answers many askers has few turns; others have theirs before a flood is read."""
    taken: set[int] = set()
    line.then = lambda: taken.add(turn)
    line.publish(*(b"%d" % number for number in range(count)))
    turn = 0
    async with asyncio.timeout(5):
        while len(line.read) < count:
            turn += 1
            await asyncio.sleep(0)
    assert len(taken) == turns


async def test_another_use_of_the_socket_takes_no_signal_away(line):
    for number in range(100):
        line.publish(b"%d" % number)
        line.subscriber.subscribe(b"other-%d\0" % number)
        await until(lambda number=number: line.read[-1:] == [b"%d" % number])


async def test_when_it_is_closed_it_reads_no_more(line):
    line.subscriber.subscribe(b"other\0")  # a turn is scheduled
    line.publish(b"1")
    line.subscriber.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert line.read == []
