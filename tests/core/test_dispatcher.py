"""Dispatcher: frames to handlers, in order, and never at the cost of the reader or of others."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable

import pytest

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import MailboxFullError, TransportError
from civitas.plugins import TransportContext
from civitas.transport import Dispatcher

SYSTEM = "_agency.news"
SOON = 10.0
LONG = 60.0


class Node:
    """What a node gives to a dispatcher; keeps what was dropped."""

    def __init__(self, lane_limit: int = 100) -> None:
        self.dropped: list[tuple[str, bytes]] = []
        self.fenced: set[bytes] = set()
        context = TransportContext(
            dropped=lambda reason, frame: self.dropped.append((reason, frame)), fenced=self.fenced
        )
        self.dispatcher = Dispatcher(context, lane_limit=lane_limit)

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.dropped]


class Waiting:
    """A handler that keeps each frame until it is let go."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.done: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.opened = asyncio.Event()
        self._news = asyncio.Condition()

    async def __call__(self, frame: bytes) -> None:
        self.begun.append(frame)
        await self._tell()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.append(frame)
            raise
        self.done.append(frame)
        await self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON), self._news:
            await self._news.wait_for(condition)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Taking(Waiting):
    """A handler that takes without waiting as long as it has room."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.taken: list[bytes] = []

    def take(self, frame: bytes) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(frame)
        return True


def frames(count: int, prefix: str = "f") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


def lane_tasks() -> list[asyncio.Task[object]]:
    return [t for t in asyncio.all_tasks() if t.get_name().startswith("civitas lane")]


async def until_idle() -> None:
    """Wait until no lane has a task."""
    async with asyncio.timeout(SOON):
        while tasks := lane_tasks():
            await asyncio.wait(tasks)


async def begun(handler: Waiting, count: int = 1) -> None:
    await handler.until(lambda: len(handler.begun) >= count)


async def closing(work: Awaitable[None]) -> None:
    """Await the end of a close or unsubscribe, which must come soon."""
    async with asyncio.timeout(SOON):
        await work


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


# --- unsubscribing -------------------------------------------------------------------------------


async def test_after_unsubscribe_the_address_is_free_for_another_owner() -> None:
    node, before, after = Node(), Taking(9), Taking(9)
    node.dispatcher.subscribe("a", before)
    await node.dispatcher.unsubscribe("a")
    node.dispatcher.subscribe("a", after)
    node.dispatcher.deliver("a", b"frame")
    assert (before.taken, after.taken) == ([], [b"frame"])


async def test_unsubscribing_an_unknown_address_does_nothing() -> None:
    node = Node()
    await node.dispatcher.unsubscribe("nobody")
    assert node.dropped == []


async def test_unsubscribe_cancels_the_handler_and_counts_what_it_had_and_what_waited() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    await begun(handler)
    await closing(node.dispatcher.unsubscribe("a"))
    assert lane_tasks() == []
    assert handler.cancelled == [b"f0"]
    assert sorted(frame for _, frame in node.dropped) == frames(3)


async def test_unsubscribe_before_the_handler_has_begun_counts_its_frames() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"frame")
    await closing(node.dispatcher.unsubscribe("a"))
    assert lane_tasks() == []
    assert handler.done == []
    assert [frame for _, frame in node.dropped] == [b"frame"]


async def test_a_handler_may_unsubscribe_itself_and_goes_on_to_its_end() -> None:
    node = Node()
    finished: list[bytes] = []

    async def handler(frame: bytes) -> None:
        await node.dispatcher.unsubscribe("a")
        await asyncio.sleep(0)
        finished.append(frame)

    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    await until_idle()
    assert finished == [b"f0"]
    assert [frame for _, frame in node.dropped] == [b"f1", b"f2"]
    assert "a" not in node.dispatcher


async def test_a_handler_that_swallows_its_cancellation_gets_nothing_more() -> None:
    node = Node()
    got: list[bytes] = []
    began = asyncio.Event()

    async def handler(frame: bytes) -> None:
        got.append(frame)
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    node.dispatcher.subscribe("a", handler)
    for frame in frames(3):
        node.dispatcher.deliver("a", frame)
    await began.wait()
    await closing(node.dispatcher.unsubscribe("a"))
    assert got == [b"f0"]
    assert [frame for _, frame in node.dropped] == [b"f1", b"f2"]


# --- closing -------------------------------------------------------------------------------------


async def test_close_lets_handlers_finish_all_that_waits() -> None:
    node, one, other = Node(), Waiting(), Waiting()
    for address, handler in (("one", one), ("other", other)):
        node.dispatcher.subscribe(address, handler)
        for frame in frames(3):
            node.dispatcher.deliver(address, frame)
    ending = asyncio.create_task(node.dispatcher.close(LONG))
    await begun(one)
    for handler in (one, other):
        handler.opened.set()
    await closing(ending)
    assert (one.done, other.done) == (frames(3), frames(3))
    assert node.dropped == []
    assert node.dispatcher.addresses() == []


async def test_when_its_time_is_over_close_cancels_and_counts() -> None:
    node, stuck, steady = Node(), Waiting(), Waiting()
    steady.opened.set()
    for address, handler in (("stuck", stuck), ("steady", steady)):
        node.dispatcher.subscribe(address, handler)
        for frame in frames(2):
            node.dispatcher.deliver(address, frame)
    await closing(node.dispatcher.close(0.05))
    assert lane_tasks() == []
    assert stuck.cancelled == [b"f0"]
    assert steady.done == frames(2)
    assert sorted(frame for _, frame in node.dropped) == frames(2)


async def test_while_it_closes_nothing_new_is_taken() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"in time")
    ending = asyncio.create_task(node.dispatcher.close(LONG))
    await begun(handler)
    node.dispatcher.deliver("a", b"too late")
    handler.opened.set()
    await closing(ending)
    assert handler.done == [b"in time"]
    assert node.dropped == [("nobody is subscribed", b"too late")]


async def test_closing_twice_or_without_subscriptions_does_no_harm() -> None:
    node = Node()
    await node.dispatcher.close(LONG)
    node.dispatcher.subscribe("a", Waiting())
    await node.dispatcher.close(LONG)
    await node.dispatcher.close()
    assert node.dropped == []


async def test_a_closed_dispatcher_can_be_used_again() -> None:
    node, handler = Node(), Taking(9)
    node.dispatcher.subscribe("a", Waiting())
    await node.dispatcher.close()
    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"second life")
    assert handler.taken == [b"second life"]


async def test_a_handler_may_close_it_all_and_goes_on_to_its_end() -> None:
    node, other = Node(), Waiting()
    other.opened.set()
    finished: list[bytes] = []

    async def handler(frame: bytes) -> None:
        await node.dispatcher.close(LONG)
        finished.append(frame)

    node.dispatcher.subscribe(SYSTEM, handler)
    node.dispatcher.subscribe("other", other)
    for address in (SYSTEM, "other"):
        for frame in frames(2):
            node.dispatcher.deliver(address, frame)
    await until_idle()
    assert finished == [b"f0"]
    assert other.done == frames(2)
    assert [frame for _, frame in node.dropped] == [b"f1"]


@pytest.mark.parametrize("how", ["close", "unsubscribe"])
async def test_a_closer_that_is_cancelled_leaves_no_task_and_loses_no_count(how: str) -> None:
    node, handlers = Node(), [Waiting(), Waiting()]
    for handler in handlers:
        node.dispatcher.subscribe(SYSTEM, handler)
    node.dispatcher.deliver(SYSTEM, b"f0")
    node.dispatcher.deliver(SYSTEM, b"f1")
    for handler in handlers:
        await begun(handler)
    work = node.dispatcher.close(LONG) if how == "close" else node.dispatcher.unsubscribe(SYSTEM)
    closer = asyncio.create_task(work)
    await asyncio.sleep(0)  # it waits for the handlers now
    closer.cancel()
    await asyncio.wait((closer,), timeout=SOON)
    assert closer.cancelled()
    assert lane_tasks() == []
    assert sorted(frame for _, frame in node.dropped) == [b"f0", b"f0", b"f1", b"f1"]


async def test_whoever_cancels_all_tasks_ends_the_lanes_too() -> None:
    node, handler = Node(), Waiting()
    node.dispatcher.subscribe("a", handler)
    for frame in frames(2):
        node.dispatcher.deliver("a", frame)
    await begun(handler)
    [task] = lane_tasks()
    task.cancel()
    await asyncio.wait((task,), timeout=SOON)
    assert lane_tasks() == []
    await node.dispatcher.close()
    assert sorted(frame for _, frame in node.dropped) == frames(2)


async def test_no_error_is_left_that_nobody_saw() -> None:
    unseen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: unseen.append(str(context.get("message")))
    )
    node = Node()

    async def handler(frame: bytes) -> None:
        await node.dispatcher.close(LONG)
        raise ValueError("no good")

    node.dispatcher.subscribe("a", handler)
    node.dispatcher.deliver("a", b"frame")
    await until_idle()
    gc.collect()
    assert unseen == []
    assert node.reasons == ["handler raised"]
