"""OutgoingBatches: frames of one address in one turn go together, in order, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import pytest

from civitas import envelope
from civitas._bus.batching import DENSE, LARGE, MOST_BYTES, MOST_FRAMES, OutgoingBatches
from civitas._platform import Platform, replaced
from civitas.envelope import BATCH, Origin
from civitas.errors import NotConnectedError, TransportError
from civitas.plugins import Capabilities
from support.routing import started

NODE = Origin(b"12345678", 7)
LONG, SHORT = 30.0, 0.01


def frame(number: int, size: int = 0) -> bytes:
    return envelope.seal(bytes(size), "x", NODE, number=number)


def frames(*numbers: int) -> list[bytes]:
    return [frame(number) for number in numbers]


class Line:
    """A transport that takes a message as long as it has room; the others wait in its line."""

    def __init__(self, largest: int | None = None) -> None:
        self.capabilities = Capabilities(cross_process=True, max_message_bytes=largest)
        self.messages: list[tuple[str, bytes]] = []
        self.room = asyncio.Event()
        self.room.set()
        self.error: Exception | None = None
        self.broken: Exception | None = None
        self._waiting = 0

    def sent(self, address: str = "a") -> list[bytes]:
        """Return what was sent to an address, frame by frame."""
        return [each for message in self.wire(address) for each in message]

    def wire(self, address: str = "a") -> list[list[bytes]]:
        """Return what was sent to an address, message by message."""
        at = [message for to, message in self.messages if to == address]
        return [envelope.frames_in(m) if m.startswith(BATCH) else [m] for m in at]

    def publish_nowait(self, address: str, data: bytes) -> bool:
        if self.broken is not None:
            raise self.broken
        if self._waiting or not self.room.is_set():
            return False
        self.messages.append((address, data))
        return True

    async def publish(self, address: str, data: bytes) -> None:
        self._waiting += 1
        try:
            await self.room.wait()
        finally:
            self._waiting -= 1
        if self.error is not None:
            raise self.error
        self.messages.append((address, data))


class Plain:
    """A transport that has no `publish_nowait`."""

    def __init__(self, line: Line) -> None:
        self.publish = line.publish


class Node:
    """What a node gives, and what it hears."""

    def __init__(self, transport: object, timeout: float = LONG) -> None:
        self.dropped: list[tuple[str, bytes]] = []
        self.failures: list[BaseException] = []
        self.outgoing = OutgoingBatches(
            transport,  # type: ignore[arg-type]
            timeout,
            lambda reason, each: self.dropped.append((reason, each)),
            self.failures.append,
        )

    async def send(self, *numbers: int, address: str = "a") -> None:
        """Send as a loop of `send` does: it goes on as soon as it can."""
        for number in numbers:
            await self.outgoing.publish(address, frame(number))


@asynccontextmanager
async def dense(line: Line, timeout: float = LONG) -> AsyncIterator[Node]:
    """A node that has just sent something: so what follows is in a turn that it looks at."""
    with replaced(Platform(monotonic=lambda: 0.0)):
        node = Node(line, timeout)
        yield node
        await node.outgoing.close()
    assert node.failures == []


async def turn() -> None:
    """Let the event loop come to the end of this turn, and of what it has begun."""
    for _ in range(3):
        await asyncio.sleep(0)


def waiting(node: Node, number: int) -> Coroutine[None, None, None]:
    return node.outgoing.publish("a", frame(number))


async def test_the_first_frame_goes_at_once_and_those_behind_it_as_one_message() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3, 4)
        assert line.wire() == [frames(1)]
        await turn()
        assert line.wire() == [frames(1), frames(2, 3, 4)]


async def test_a_frame_alone_behind_the_first_one_is_no_batch() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2)
        await turn()
        assert line.messages == [("a", frame(1)), ("a", frame(2))]


async def test_each_turn_begins_anew() -> None:
    line = Line()
    async with dense(line) as node:
        for first in (1, 4):
            await node.send(first, first + 1, first + 2)
            await turn()
        assert line.wire() == [frames(1), frames(2, 3), frames(4), frames(5, 6)]


async def test_frames_of_different_addresses_do_not_share_a_message() -> None:
    line = Line()
    async with dense(line) as node:
        for number in (1, 2, 3):
            await node.send(number, address="a")
            await node.send(number, address="b")
        await turn()
        assert line.wire("a") == line.wire("b") == [frames(1), frames(2, 3)]


async def test_senders_of_several_tasks_share_a_message() -> None:
    line = Line()
    async with dense(line) as node:
        await asyncio.gather(*(node.send(number) for number in range(1, 5)))
        await turn()
        assert line.wire() == [frames(1), frames(2, 3, 4)]


@pytest.mark.parametrize(
    ("pause", "within", "begins"),
    [(2.0, 1.0, False), (0.5, 1.0, True), (0.5, 0.1, False)],
    ids=["far apart", "near each other", "a lone one"],
)
async def test_only_frames_that_are_near_each_other_need_a_callback_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, pause: float, within: float, begins: bool
) -> None:
    line, seconds = Line(), itertools.count(pause, pause)
    loop, callbacks = asyncio.get_running_loop(), []
    with replaced(Platform(monotonic=lambda: next(seconds))):
        node = Node(line)
        monkeypatch.setattr(loop, "call_soon", lambda *call: callbacks.append(call))
        for number in (1, 2, 3):
            await node.outgoing.publish("a", frame(number), within)
        monkeypatch.undo()
    assert len(callbacks) == begins
    assert (line.wire() == [[each] for each in frames(1, 2, 3)]) != begins


async def test_a_batch_goes_before_the_turn_ends_when_it_is_full() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(*range(2 * MOST_FRAMES))
        assert [len(each) for each in line.wire()] == [1, MOST_FRAMES]
        await turn()
        assert line.sent() == frames(*range(2 * MOST_FRAMES))


async def test_in_a_long_turn_what_is_kept_goes_with_the_next_frame() -> None:
    line, clock = Line(), [0.0]
    with replaced(Platform(monotonic=lambda: clock[0])):
        node = Node(line)
        await node.send(1, 2, 3)
        clock[0] = 2 * DENSE  # a handler has computed meanwhile
        await node.send(4)
        assert line.wire() == [frames(1), frames(2, 3, 4)]
        await node.send(5)
        clock[0] = 4 * DENSE
        await node.send(6)
        await node.outgoing.close()
    assert line.wire()[2:] == [frames(5, 6)]


async def test_a_batch_is_no_larger_than_it_may_be() -> None:
    line = Line()
    async with dense(line) as node:
        each = LARGE - 100
        for number in range(20):
            await node.outgoing.publish("a", frame(number, each))
        await turn()
        assert line.sent() == [frame(number, each) for number in range(20)]
        sizes = [len(message) for _, message in line.messages]
        assert max(sizes) <= MOST_BYTES
        assert len(sizes) < 6


@pytest.mark.parametrize("largest", [1, 40, 100, 1000])
async def test_a_batch_fits_the_messages_of_the_transport(largest: int) -> None:
    line = Line(largest)
    async with dense(line) as node:
        await node.send(*range(100))
        await turn()
        assert line.sent() == frames(*range(100))
        batches = [m for _, m in line.messages if m.startswith(BATCH)]
        assert all(len(batch) <= largest for batch in batches)


async def test_a_large_frame_goes_by_itself_behind_what_was_sent_before() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        await node.outgoing.publish("a", frame(4, LARGE))
        assert line.wire() == [frames(1), frames(2, 3), [frame(4, LARGE)]]
        await node.send(5, 6)
        await turn()
        assert line.wire()[3:] == [frames(5, 6)]


async def test_what_is_flushed_is_handed_over_before_what_follows() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        node.outgoing.flush()
        assert line.wire() == [frames(1), frames(2, 3)]
        await turn()
        assert line.sent() == frames(1, 2, 3)


async def test_a_close_hands_over_what_is_kept_and_keeps_nothing_any_more() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        await node.outgoing.close()
        assert line.sent() == frames(1, 2, 3)
        await node.send(4, 5)
        assert line.wire()[2:] == [frames(4), frames(5)]


@pytest.mark.parametrize("durable", [False, True])
async def test_where_a_transport_can_not_take_at_once_each_frame_goes_by_itself(
    durable: bool,
) -> None:
    line = Line()
    by = line if durable else Plain(line)
    outgoing = OutgoingBatches(by, LONG, print, print, together=not durable)  # type: ignore[arg-type]
    for number in range(4):
        await outgoing.publish("a", frame(number))
    assert line.wire() == [[each] for each in frames(0, 1, 2, 3)]


# --- no room -------------------------------------------------------------------------------------


async def test_a_sender_waits_when_there_is_no_room_for_its_frame() -> None:
    line = Line()
    async with dense(line) as node:
        line.room.clear()
        sending = await started(waiting(node, 1))
        assert not sending.done()
        line.room.set()
        await sending
        assert line.sent() == frames(1)


async def test_what_finds_no_room_at_the_end_of_the_turn_goes_when_there_is_some() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        line.room.clear()
        await turn()
        assert line.sent() == frames(1)
        line.room.set()
        await turn()
        assert line.wire() == [frames(1), frames(2, 3)]
        assert node.dropped == []


async def test_senders_wait_behind_what_is_late_and_go_on_in_their_order() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        line.room.clear()
        await turn()
        senders = [await started(waiting(node, number)) for number in (4, 5, 6)]
        assert not any(sender.done() for sender in senders)
        line.room.set()
        for number in range(7, 12):  # each in a moment at which somebody may overtake
            await asyncio.sleep(0)
            senders.append(await started(waiting(node, number)))
        await asyncio.gather(*senders)
        assert line.sent() == frames(*range(1, 12))


async def test_what_is_late_at_one_address_holds_up_no_other_one() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        line.room.clear()
        await turn()
        line.room.set()
        await node.send(1, address="b")
        assert line.sent("b") == frames(1)


async def test_who_gives_up_in_line_lets_the_next_one_go_on() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 3)
        line.room.clear()
        await turn()
        first, second, third = [await started(waiting(node, number)) for number in (4, 5, 6)]
        second.cancel()
        line.room.set()
        first.cancel()
        await asyncio.wait((first, second, third))
        assert line.sent() == frames(1, 2, 3, 6)
        await node.send(7)
        assert line.sent() == frames(1, 2, 3, 6, 7)


async def test_a_wait_in_line_ends_after_the_send_timeout() -> None:
    line = Line()
    async with dense(line, SHORT) as node:
        await node.send(1, 2, 3)
        line.room.clear()
        await turn()
        with pytest.raises(TransportError, match="what went before it is not taken"):
            await waiting(node, 4)
        line.room.set()
        await turn()
        await node.send(5)
        assert line.sent() == frames(1, 2, 3, 5)


async def test_what_can_not_be_sent_after_all_is_said_and_counted_unless_a_number_shows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(1, 2, 0)
        line.room.clear()
        await turn()
        line.error = NotConnectedError("the link is down")
        follower = await started(waiting(node, 3))
        line.room.set()
        with pytest.raises(NotConnectedError):
            await follower  # its own error: it tries by itself
        assert node.dropped == [("not sent at the end of its turn", frame(0))]
        assert "2 frames to 'a'" in caplog.text
        assert "the link is down" in caplog.text


async def test_a_transport_that_raises_at_the_end_of_a_turn_loses_only_what_it_raised_for() -> None:
    line = Line()
    async with dense(line) as node:
        await node.send(0, 0, 0)
        line.broken = ValueError("broken")
        await turn()
        line.broken = None
        assert [reason for reason, _ in node.dropped] == ["not sent at the end of its turn"] * 2
        await node.send(1)
        assert line.sent() == frames(0, 1)


async def test_what_is_late_at_the_close_has_a_moment_and_is_counted_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("civitas._bus.batching._LAST_TIMEOUT", SHORT)
    line = Line()
    async with dense(line) as node:
        await node.send(0, 0, 0)
        line.room.clear()
        await turn()
        await node.outgoing.close()
        assert [reason for reason, _ in node.dropped] == ["not sent at the end of its turn"] * 2
