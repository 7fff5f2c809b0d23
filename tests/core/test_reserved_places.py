"""Reserved places of a mailbox: beside the room of the others, of which they take and give none."""

from __future__ import annotations

import asyncio

from civitas._bus.mailbox import Mailbox


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_reserved_item_enters_a_full_mailbox_and_leaves_its_room_as_it_was() -> None:
    box = Mailbox[str]("a", 1)
    assert box.put_nowait("one")
    box.put_reserved("tick", "owner")
    assert not box.put_nowait("two")
    assert box.holds("owner")
    assert box.get_nowait() == "one"
    assert box.put_nowait("two")  # the tick takes no room
    assert not box.put_nowait("three")
    assert box.get_nowait() == "tick"
    assert not box.holds("owner")
    assert not box.put_nowait("three")  # and gives none
    assert box.get_nowait() == "two"
    assert box.put_nowait("three")


async def test_ticks_let_no_more_senders_in_than_there_is_room_for() -> None:
    box = Mailbox[str]("a", 1)
    box.put_nowait("first")
    senders = [asyncio.create_task(box.put(f"s{n}", None)) for n in range(5)]
    await settled()
    for _ in range(5):
        box.put_reserved("tick", box)
        while box.get_nowait() != "tick":
            pass
        assert len(box) <= 1
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)


async def test_waiting_senders_enter_in_order_beside_reserved_items() -> None:
    box = Mailbox[str]("a", 1)
    box.put_nowait("0")
    senders = [asyncio.create_task(box.put(str(n), 10.0)) for n in (1, 2)]
    await settled()
    box.put_reserved("tick", "owner")
    got = []
    while (item := box.get_nowait()) is not None:
        got.append(item)
        await settled()
    assert got == ["0", "tick", "1", "2"]
    await asyncio.gather(*senders)


async def test_reserved_items_are_withdrawn_by_their_owner_or_all_at_once() -> None:
    box = Mailbox[str]("a", 1)
    for owner in ("x", "y", "z"):
        box.put_reserved(f"tick of {owner}", owner)
    box.withdraw_reserved("y")
    box.withdraw_reserved("nobody")
    assert (len(box), box.holds("y"), box.holds("x")) == (2, False, True)
    box.put_nowait("one")
    box.withdraw_reserved(None)
    assert (len(box), box.get_nowait(), box.get_nowait()) == (1, "one", None)
    assert box.put_nowait("two")
    assert not box.put_nowait("three")


async def test_a_closed_mailbox_takes_no_reserved_item() -> None:
    box = Mailbox[str]("a", 1)
    box.put_reserved("tick", "owner")
    assert box.close("it has ended") == ["tick"]
    box.put_reserved("tock", "owner")
    assert (len(box), box.holds("owner")) == (0, False)


async def test_a_reserved_item_wakes_the_consumer() -> None:
    box = Mailbox[str]("a", 1)
    waiting = box.wakeup()
    assert waiting is not None
    box.put_reserved("tick", "owner")
    await asyncio.wait_for(waiting, 10)
    assert box.get_nowait() == "tick"
