"""Batches at the Dispatcher: each of their frames goes the way of a single one."""

from __future__ import annotations

import pytest

from civitas import envelope
from civitas.envelope import BATCH, ORIGIN_AT, Origin
from support.dispatching import SYSTEM, Node, Taking, Waiting, begun, closing, until_idle

HERE, THERE = Origin(b"12345678", 7), Origin(b"87654321", 7)


def sealed(count: int, origin: Origin = HERE) -> list[bytes]:
    return [envelope.seal(b"%d" % number, "json", origin) for number in range(count)]


class Screening:
    """A handler before another one, that takes off what it has verified."""

    def __init__(self, behind: Taking) -> None:
        self.screened = behind

    def screen(self, frame: bytes) -> bytes | None:
        return frame.removeprefix(b"signed ") if frame.startswith(b"signed ") else None


async def test_a_handler_gets_the_frames_of_a_batch_one_by_one_and_in_order() -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", handler)
    frames = sealed(4)
    node.dispatcher.deliver("a", frames[0])
    node.dispatcher.deliver("a", envelope.batch(frames[1:3]))
    node.dispatcher.deliver("a", frames[3])
    assert handler.taken == frames


async def test_each_handler_of_a_system_address_gets_all_frames_of_a_batch() -> None:
    node, handlers = Node(), [Taking(9), Taking(9)]
    for each in handlers:
        node.dispatcher.subscribe(SYSTEM, each)
    node.dispatcher.deliver(SYSTEM, envelope.batch(sealed(3)))
    assert [each.taken for each in handlers] == [sealed(3)] * 2


async def test_what_finds_no_room_waits_and_the_rest_of_its_batch_behind_it() -> None:
    node, handler = Node(), Taking(1)
    handler.opened.set()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", envelope.batch(sealed(3)))
    await until_idle()
    assert handler.taken + handler.done == sealed(3)


async def test_the_limit_of_a_lane_counts_frames_not_batches() -> None:
    node, handler = Node(lane_limit=2), Waiting()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", envelope.batch(sealed(5)))
    assert node.dropped == [("too many frames wait for one handler", f) for f in sealed(5)[2:]]
    handler.opened.set()
    await until_idle()
    assert handler.done == sealed(2)


async def test_what_waits_when_its_handler_leaves_is_counted_frame_by_frame() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", envelope.batch(sealed(3)))
    await begun(handler)
    await closing(node.dispatcher.unsubscribe("a"))
    assert len(node.dropped) == 3


async def test_nobody_subscribed_is_counted_for_each_frame_of_a_batch() -> None:
    node = Node()
    node.dispatcher.deliver("a", envelope.batch(sealed(3)))
    assert node.dropped == [("nobody is subscribed", each) for each in sealed(3)]


async def test_a_mark_in_a_batch_for_nobody_is_no_message_that_is_lost() -> None:
    node = Node()
    mark = envelope.seal(b"", "json", HERE, kind=envelope.KIND_SYSTEM, number=9)
    node.dispatcher.deliver("a", envelope.batch([*sealed(1), mark]))
    assert node.dropped == [("nobody is subscribed", sealed(1)[0])]


@pytest.mark.parametrize("signed", [False, True], ids=["as it is", "behind a screen"])
async def test_a_frame_of_a_fenced_node_is_refused_wherever_it_is_in_a_batch(signed: bool) -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", Screening(handler) if signed else handler)  # type: ignore[arg-type]
    here, there = sealed(2), sealed(2, THERE)
    node.fenced.add(there[0][ORIGIN_AT])
    batch = envelope.batch([here[0], there[0], here[1], there[1]])
    node.dispatcher.deliver("a", b"signed " + batch if signed else batch)
    assert handler.taken == here
    assert node.dropped == [("from a node that was superseded", each) for each in there]


async def test_a_batch_that_is_not_signed_is_screened_frame_by_frame() -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", Screening(handler))  # type: ignore[arg-type]
    node.dispatcher.deliver("a", envelope.batch(sealed(3)))
    assert handler.taken == []


@pytest.mark.parametrize("signed", [False, True], ids=["as it is", "behind a screen"])
@pytest.mark.parametrize(
    "broken",
    [
        BATCH,
        envelope.batch(sealed(2))[:-1],
        envelope.batch([*sealed(1), envelope.batch(sealed(2))]),
        envelope.batch([*sealed(1), b"no frame"]),
        envelope.batch(sealed(300)),
    ],
    ids=["empty", "cut", "nested", "not of frames", "too long"],
)
async def test_a_malformed_batch_is_counted_once_and_the_next_frame_arrives(
    broken: bytes, signed: bool
) -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", Screening(handler) if signed else handler)  # type: ignore[arg-type]
    prefix = b"signed " if signed else b""
    node.dispatcher.deliver("a", prefix + broken)
    assert node.dropped == [("malformed frame", broken)]
    node.dispatcher.deliver("a", prefix + sealed(1)[0])
    assert handler.taken == sealed(1)
