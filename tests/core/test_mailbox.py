"""Mailbox: bounded, in order, and fair to the senders that wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas._bus.mailbox import Mailbox, has_entered
from civitas.errors import MailboxFullError, MessageRoutingError

LONG = 30.0


async def turn() -> None:
    """Let every task that can run do so once."""
    await asyncio.sleep(0)


def full(size: int = 2) -> Mailbox[int]:
    mailbox: Mailbox[int] = Mailbox("agent", size)
    for item in range(size):
        assert mailbox.put_nowait(item)
    return mailbox


async def waiting(mailbox: Mailbox[int], item: int, timeout: float = LONG) -> asyncio.Task[None]:
    """Start a sender, and return when it waits."""
    pending = mailbox.pending
    task = asyncio.create_task(mailbox.put(item, timeout))
    while mailbox.pending == pending:
        await turn()
    return task


def drain(mailbox: Mailbox[int]) -> list[int]:
    items = []
    while (item := mailbox.get_nowait()) is not None:
        items.append(item)
    return items


async def wait(mailbox: Mailbox[Any]) -> None:
    """Wait as a consumer does, until there is an item, or until it is woken."""
    wakeup = mailbox.wakeup()
    if wakeup is None:
        return
    try:
        await wakeup
    except BaseException:
        mailbox.forget(wakeup)
        raise


async def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    assert drain(full(5)) == [0, 1, 2, 3, 4]


async def test_a_sender_does_not_wait_while_there_is_room() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 2)
    await asyncio.wait_for(mailbox.put(1, LONG), LONG)
    assert drain(mailbox) == [1]


async def test_a_full_mailbox_takes_nothing_more_at_once() -> None:
    mailbox = full()
    assert not mailbox.put_nowait(9)
    assert len(mailbox) == 2


async def test_senders_that_wait_enter_in_their_order_and_before_later_ones() -> None:
    mailbox = full()
    second, third = await waiting(mailbox, 2), await waiting(mailbox, 3)
    assert mailbox.get_nowait() == 0
    assert not mailbox.put_nowait(9), "a newcomer must not overtake those who wait"
    assert drain(mailbox) == [1, 2, 3]
    await asyncio.gather(second, third)
    assert mailbox.put_nowait(9)


async def test_a_sender_gives_up_after_its_timeout_and_its_item_never_enters() -> None:
    mailbox = full()
    with pytest.raises(MailboxFullError, match=r"agent.*full.*0\.01 s"):
        await mailbox.put(9, 0.01)
    assert mailbox.pending == 2
    assert drain(mailbox) == [0, 1]
    assert mailbox.put_nowait(3), "a sender that gave up leaves no place reserved"


async def test_a_cancelled_sender_leaves_no_trace_and_the_next_one_enters() -> None:
    mailbox = full()
    cancelled, patient = await waiting(mailbox, 2), await waiting(mailbox, 3)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert mailbox.pending == 3
    assert drain(mailbox) == [0, 1, 3]
    await patient


async def test_a_sender_whose_item_has_entered_succeeds_though_its_time_is_up() -> None:
    mailbox = full()
    sender = await waiting(mailbox, 2, timeout=0.01)
    assert mailbox.get_nowait() == 0  # the item enters now ...
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.05
    while loop.time() < until:  # ... and its sender is kept from noticing until too late
        pass
    await sender
    assert drain(mailbox) == [1, 2]


async def test_the_consumer_can_not_wait_for_room_that_only_it_makes() -> None:
    mailbox = full()
    task = asyncio.current_task()
    assert task is not None
    mailbox.consumers = (task,)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(MailboxFullError, match="only it can make room"):
        await mailbox.put(9, LONG)
    assert loop.time() - began < LONG / 2


async def test_closing_fails_those_who_wait_and_returns_what_is_left() -> None:
    mailbox = full()
    sender = await waiting(mailbox, 2)
    assert mailbox.close("gone") == [0, 1]
    with pytest.raises(MessageRoutingError, match="gone"):
        await sender
    with pytest.raises(MessageRoutingError, match="gone"):
        mailbox.put_nowait(3)
    with pytest.raises(MessageRoutingError, match="gone"):
        await mailbox.put(3, LONG)
    assert mailbox.pending == 0


async def test_a_closed_mailbox_takes_nothing_though_it_is_empty() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 2)
    mailbox.close("gone")
    with pytest.raises(MessageRoutingError, match="gone"):
        mailbox.put_nowait(1)


async def test_each_refused_sender_gets_an_error_of_its_own() -> None:
    mailbox = full()
    waiting_ones = [await waiting(mailbox, 2), await waiting(mailbox, 3)]
    mailbox.close("gone")
    errors = await asyncio.gather(*waiting_ones, return_exceptions=True)
    assert [type(error) for error in errors] == [MessageRoutingError] * 2
    assert errors[0] is not errors[1]


async def test_closing_disturbs_no_sender_whose_time_has_just_passed() -> None:
    mailbox = full()
    late, patient = await waiting(mailbox, 2, timeout=0.01), await waiting(mailbox, 3)
    loop = asyncio.get_running_loop()
    closed: list[list[int]] = []
    # Runs between the timer of the first sender and that sender, in one turn of the event loop.
    loop.call_at(
        loop.time() + 0.011, lambda: closed.append(mailbox.close(MessageRoutingError("x")))
    )
    until = loop.time() + 0.03
    while loop.time() < until:
        pass
    with pytest.raises(MailboxFullError):
        await late
    with pytest.raises(MessageRoutingError):
        await patient
    assert closed == [[0, 1]]


async def test_an_item_that_is_withdrawn_makes_room_for_a_sender() -> None:
    mailbox: Mailbox[object] = Mailbox("agent", 2)
    first, second, third = object(), object(), object()
    for item in (first, second):
        assert mailbox.put_nowait(item)
    sender = asyncio.create_task(mailbox.put(third, LONG))
    await turn()
    assert mailbox.withdraw(first)
    assert not mailbox.withdraw(first)
    await sender
    assert [mailbox.get_nowait() for _ in range(3)] == [second, third, None]


async def test_only_the_very_item_is_withdrawn_and_not_one_that_equals_it() -> None:
    mailbox: Mailbox[list[int]] = Mailbox("agent", 2)
    inside, equal = [1], [1]
    assert mailbox.put_nowait(inside)
    assert not mailbox.withdraw(equal)
    assert mailbox.get_nowait() is inside


async def test_the_consumer_wakes_for_an_item_and_when_it_is_told_to() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 1)
    for rouse in (lambda: mailbox.put_nowait(1), mailbox.wake):
        consumer = asyncio.create_task(wait(mailbox))
        await turn()
        assert not consumer.done()
        rouse()
        await asyncio.wait_for(consumer, LONG)
        drain(mailbox)


async def test_a_sender_that_is_cancelled_as_its_item_enters_hears_that_it_has() -> None:
    mailbox = full()
    sender = await waiting(mailbox, 2)
    assert mailbox.get_nowait() == 0
    sender.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await sender
    assert has_entered(caught.value)
    assert drain(mailbox) == [1, 2]


async def test_a_sender_that_is_cancelled_while_it_waits_has_put_nothing_in() -> None:
    mailbox = full()
    sender = await waiting(mailbox, 2)
    sender.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await sender
    assert not has_entered(caught.value)
    assert drain(mailbox) == [0, 1]


# --- several consumers ----------------------------------------------------------------------------


async def consumers(mailbox: Mailbox[int], count: int) -> list[asyncio.Task[None]]:
    """Start consumers that wait for one item each."""
    tasks = [asyncio.create_task(wait(mailbox)) for _ in range(count)]
    await turn()
    return tasks


async def test_each_item_wakes_one_consumer_in_the_order_in_which_they_waited() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 5)
    first, second, third = await consumers(mailbox, 3)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)
    await turn()
    assert (first.done(), second.done(), third.done()) == (True, True, False)
    mailbox.wake()
    await third


async def test_an_item_that_enters_late_wakes_a_consumer() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 1)
    first, second = await consumers(mailbox, 2)
    mailbox.put_nowait(1)
    sender = await waiting(mailbox, 2)
    await first
    assert mailbox.get_nowait() == 1
    await asyncio.gather(sender, second)
    assert mailbox.get_nowait() == 2


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_consumer_that_is_cancelled_takes_no_wakeup_with_it(place: int) -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 5)
    tasks = await consumers(mailbox, 3)
    tasks.pop(place).cancel()
    await turn()
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)
    await asyncio.gather(*tasks)


async def test_a_consumer_that_is_cancelled_once_woken_wakes_the_next_one() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 5)
    first, second = await consumers(mailbox, 2)
    mailbox.put_nowait(1)
    first.cancel()
    await second
    assert first.cancelled()
    assert mailbox.get_nowait() == 1


async def test_all_consumers_wake_when_they_are_to_look_again() -> None:
    mailbox: Mailbox[int] = Mailbox("agent", 5)
    tasks = await consumers(mailbox, 3)
    mailbox.wake()
    await asyncio.gather(*tasks)
