"""Dispatcher: frames to handlers, in order, and never at the cost of the reader or of others."""

from __future__ import annotations

import asyncio
import logging

import pytest

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import MailboxFullError, TransportError
from support.dispatching import (
    SYSTEM,
    Node,
    Taking,
    Waiting,
    begun,
    frames,
    lane_tasks,
    until_idle,
)
from support.failing import PanicError

# --- order, and who is held up -------------------------------------------------------------------


async def test_frames_of_an_address_reach_its_handler_in_order_one_after_the_other() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    for frame in frames(5):
        node.dispatcher.deliver("a", frame)
    await begun(handler)
    assert handler.begun == frames(1)
    handler.opened.set()
    await until_idle()
    assert handler.done == frames(5)
    assert node.dropped == []


async def test_a_handler_that_waits_holds_up_neither_the_reader_nor_other_addresses() -> None:
    node, slow, quick, system = Node(), Waiting(), Taking(9), Waiting()
    system.opened.set()
    for address, handler in (("slow", slow), ("quick", quick), (SYSTEM, system)):
        node.dispatcher.subscribe(address, handler)
    for frame in frames(3):
        for address in ("slow", "quick", SYSTEM):
            node.dispatcher.deliver(address, frame)
    assert quick.taken == frames(3)
    await system.until(lambda: system.done == frames(3))
    assert slow.begun == frames(1)
    slow.opened.set()
    await until_idle()
    assert slow.done == frames(3)


async def test_what_a_handler_takes_without_waiting_needs_no_task() -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    assert handler.taken == frames(3)
    assert handler.begun == []
    assert lane_tasks() == []


async def test_the_order_is_kept_when_take_says_no_and_later_could_again() -> None:
    node, handler = Node(), Taking(2)
    node.dispatcher.subscribe("a", handler)
    for frame in frames(4):
        node.dispatcher.deliver("a", frame)
    await begun(handler)
    handler.room = 9
    node.dispatcher.deliver("a", b"behind those that wait")
    assert handler.taken == frames(2)
    handler.opened.set()
    await until_idle()
    assert handler.done == [*frames(4)[2:], b"behind those that wait"]


async def test_once_nothing_waits_take_is_used_again() -> None:
    node, handler = Node(), Taking(0)
    handler.opened.set()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"waits")
    await until_idle()
    handler.room = 9
    node.dispatcher.deliver("a", b"taken")
    assert (handler.done, handler.taken) == ([b"waits"], [b"taken"])


async def test_no_task_exists_while_nothing_waits() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    assert lane_tasks() == []
    node.dispatcher.deliver("a", b"frame")
    node.dispatcher.deliver("a", b"frame")
    assert len(lane_tasks()) == 1
    handler.opened.set()
    await until_idle()
    assert lane_tasks() == []


# --- handlers that raise -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MailboxFullError("full"), "refused: mailbox-full"),
        (ValueError("no good"), "handler raised"),
        (SystemExit("no good"), "handler raised"),
        (PanicError("no good"), "handler raised"),
        (asyncio.CancelledError(), "handler raised"),
    ],
)
async def test_a_handler_that_raises_while_awaited_gets_its_next_frames(
    error: BaseException, reason: str
) -> None:
    node = Node()
    got: list[bytes] = []

    async def handler(frame: bytes) -> None:
        await asyncio.sleep(0)
        if frame == b"f1":
            raise error
        got.append(frame)

    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    await until_idle()
    assert got == [b"f0", b"f2"]
    assert node.dropped == [(reason, b"f1")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MailboxFullError("full"), "refused: mailbox-full"),
        (ValueError("no good"), "handler raised"),
        (SystemExit("no good"), "handler raised"),
        (PanicError("no good"), "handler raised"),
    ],
)
async def test_a_handler_that_raises_in_take_gets_its_next_frames(
    error: Exception, reason: str
) -> None:
    class Failing(Taking):
        def take(self, frame: bytes) -> bool:
            if frame == b"f1":
                raise error
            return super().take(frame)

    node, handler = Node(), Failing(9)
    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    assert handler.taken == [b"f0", b"f2"]
    assert node.dropped == [(reason, b"f1")]


async def test_a_system_handler_that_raises_hides_nothing_from_the_others() -> None:
    class Failing(Taking):
        def take(self, frame: bytes) -> bool:
            raise ValueError("no good")

    node, other = Node(), Taking(9)
    node.dispatcher.subscribe(SYSTEM, Failing(9))
    node.dispatcher.subscribe(SYSTEM, other)
    node.dispatcher.deliver(SYSTEM, b"news")
    assert other.taken == [b"news"]


async def test_only_what_is_no_verdict_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()
    errors = iter([MailboxFullError("full"), ValueError("no good")])

    async def handler(frame: bytes) -> None:
        raise next(errors)

    node.dispatcher.subscribe("a", handler)
    with caplog.at_level(logging.ERROR, "civitas.transport"):
        for frame in frames(2):
            node.dispatcher.deliver("a", frame)
        await until_idle()
    assert [record.getMessage() for record in caplog.records] == ["the handler of 'a' raised"]


# --- what is refused -----------------------------------------------------------------------------


async def test_beyond_the_lane_limit_frames_are_dropped_and_counted() -> None:
    node, handler = Node(lane_limit=3), Waiting()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"in hand")
    await begun(handler)
    for frame in frames(5):
        node.dispatcher.deliver("a", frame)
    assert node.dropped == [("too many frames wait for one handler", f) for f in frames(5)[3:]]
    handler.opened.set()
    await until_idle()
    assert handler.done == [b"in hand", *frames(3)]


async def test_a_full_lane_costs_other_addresses_nothing() -> None:
    node, full, other = Node(lane_limit=1), Waiting(), Waiting()
    node.dispatcher.subscribe("full", full)
    node.dispatcher.subscribe("other", other)
    for frame in frames(3):
        node.dispatcher.deliver("full", frame)
    node.dispatcher.deliver("other", b"frame")
    await begun(other)
    assert other.begun == [b"frame"]
    await node.dispatcher.close()


async def test_frames_of_a_fenced_node_are_refused_from_the_moment_it_is_fenced() -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", handler)
    old = envelope.seal(b"body", "json", Origin(b"12345678", 1))
    new = envelope.seal(b"body", "json", Origin(b"12345678", 2))
    node.dispatcher.deliver("a", old)
    node.fenced.add(old[4:16])
    for frame in (old, new):
        node.dispatcher.deliver("a", frame)
    assert handler.taken == [old, new]
    assert node.dropped == [("from a node that was superseded", old)]


async def test_bytes_too_short_for_a_node_are_of_no_fenced_node() -> None:
    node, handler = Node(), Taking(9)
    node.fenced.add(b"12345678" + b"\0\0\0\1")
    node.dispatcher.subscribe("a", handler)
    for junk in (b"", b"\xc1", b"\xc1" * 10):
        node.dispatcher.deliver("a", junk)
    assert handler.taken == [b"", b"\xc1", b"\xc1" * 10]


async def test_a_frame_for_an_unknown_address_is_counted() -> None:
    node = Node()
    node.dispatcher.deliver("nobody", b"frame")
    assert node.dropped == [("nobody is subscribed", b"frame")]


# --- who is subscribed ---------------------------------------------------------------------------


async def test_a_second_owner_is_refused_and_the_first_one_stays() -> None:
    node, owner, intruder = Node(), Taking(9), Taking(9)
    assert node.dispatcher.subscribe("a", owner) is True
    with pytest.raises(TransportError, match="'a' has an owner already"):
        node.dispatcher.subscribe("a", intruder)
    node.dispatcher.deliver("a", b"frame")
    assert (owner.taken, intruder.taken) == ([b"frame"], [])


async def test_a_system_address_reaches_each_of_its_subscribers() -> None:
    node, first, second = Node(), Taking(9), Taking(9)
    assert node.dispatcher.subscribe(SYSTEM, first) is True
    assert node.dispatcher.subscribe(SYSTEM, second) is False
    node.dispatcher.deliver(SYSTEM, b"news")
    assert (first.taken, second.taken) == ([b"news"], [b"news"])


async def test_it_tells_which_addresses_have_a_handler() -> None:
    node = Node()
    for address in ("a", SYSTEM):
        node.dispatcher.subscribe(address, Waiting())
    await node.dispatcher.unsubscribe("a")
    assert node.dispatcher.addresses() == [SYSTEM]
    assert SYSTEM in node.dispatcher
    assert "a" not in node.dispatcher
