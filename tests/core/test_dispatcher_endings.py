"""Dispatcher: unsubscribing and closing, also from within, leave nothing and lose no count."""

from __future__ import annotations

import asyncio
import gc

import pytest

from support.dispatching import (
    LONG,
    SOON,
    SYSTEM,
    Node,
    Taking,
    Waiting,
    begun,
    closing,
    frames,
    lane_tasks,
    until_idle,
)

# --- unsubscribing -------------------------------------------------------------------------------


async def test_after_unsubscribe_the_address_is_free_for_another_owner() -> None:
    node, before, after = Node(), Taking(9), Taking(9)
    node.dispatcher.subscribe("a", before)
    await node.dispatcher.unsubscribe("a")
    node.dispatcher.subscribe("a", after)
    node.dispatcher.deliver("a", b"frame")
    assert (before.taken, after.taken) == ([], [b"frame"])


async def test_what_nodes_say_to_one_that_has_stopped_is_no_loss_and_a_message_is() -> None:
    node = Node()
    node.dispatcher.subscribe(SYSTEM, Taking(9))
    await node.dispatcher.close()
    node.dispatcher.deliver(SYSTEM, b"are you there?")
    node.dispatcher.deliver("a", b"message")
    assert node.dropped == [("nobody is subscribed", b"message")]
    node.dispatcher.subscribe("a", Taking(9))  # it starts again
    node.dispatcher.deliver(SYSTEM, b"are you there?")
    assert node.dropped[1:] == [("nobody is subscribed", b"are you there?")]


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
