"""Links: who waits for credit or for a name gets it in order, and is told when it can't be."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from civitas._bus.routes import Link, Links
from civitas._bus.windows import WINDOW
from civitas.errors import MailboxFullError, MessageRoutingError

LONG = 30.0
SHORT = 0.01


async def turns(count: int = 5) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def started(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start something and return when it waits."""
    task = asyncio.create_task(work)
    await turns()
    return task


async def used_up(windowed: bool = True) -> Link:
    """Return a link whose window is full."""
    link = Link("agent", "01" * 8, "worker", windowed=windowed)
    for number in range(1, WINDOW + 1):
        assert await link.number(LONG) == number
    return link


def unknown() -> MessageRoutingError:
    return MessageRoutingError("nobody knows it")


# --- credit -------------------------------------------------------------------------------------


async def test_frames_are_numbered_from_one() -> None:
    link = Link("agent", "01" * 8, "worker")
    assert [await link.number(LONG) for _ in range(3)] == [1, 2, 3]


async def test_a_link_without_a_window_numbers_nothing_and_never_waits() -> None:
    link = Link("agent", "01" * 8, "worker", windowed=False)
    assert {await link.number(SHORT) for _ in range(2 * WINDOW)} == {0}


async def test_senders_get_credit_in_the_order_in_which_they_came() -> None:
    link = await used_up()
    senders = [await started(link.number(LONG)) for _ in range(3)]
    link.credit(2)
    await turns()
    assert [task.done() for task in senders] == [True, True, False]
    assert [task.result() for task in senders[:2]] == [WINDOW + 1, WINDOW + 2]
    link.credit(3)
    assert await senders[2] == WINDOW + 3


async def test_a_newcomer_does_not_overtake_a_sender_that_was_just_woken() -> None:
    link = await used_up()
    first = await started(link.number(LONG))
    link.credit(1)
    second = await started(link.number(LONG))
    assert first.result() == WINDOW + 1
    assert not second.done()
    link.credit(2)
    assert await second == WINDOW + 2


async def test_a_sender_without_credit_gives_up_in_time_and_says_why() -> None:
    link = await used_up()
    with pytest.raises(MailboxFullError, match=r"'agent' in process 'worker' took no more"):
        await link.number(SHORT)


async def test_a_sender_that_gave_up_leaves_its_turn_to_the_next_one() -> None:
    link = await used_up()
    first = await started(link.number(SHORT))
    second = await started(link.number(LONG))
    with pytest.raises(MailboxFullError):
        await first
    link.credit(1)
    assert await second == WINDOW + 1


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "just woken"])
async def test_a_cancelled_sender_leaves_its_turn_to_the_next_one(woken: bool) -> None:
    link = await used_up()
    first = await started(link.number(LONG))
    second = await started(link.number(LONG))
    if woken:
        link.credit(1)
    first.cancel()
    await turns()
    assert first.cancelled()
    link.credit(1)
    assert await second == WINDOW + 1


async def test_a_number_that_was_not_used_goes_to_the_next_sender() -> None:
    link = await used_up()
    waiting = await started(link.number(LONG))
    link.give_back(WINDOW)
    assert await waiting == WINDOW


async def test_a_paused_link_lets_senders_wait_in_order_until_it_goes_on() -> None:
    link = Link("agent", "01" * 8, "worker")
    link.pause()
    senders = [await started(link.number(LONG)) for _ in range(2)]
    assert not any(task.done() for task in senders)
    link.resume()
    assert await asyncio.gather(*senders) == [1, 2]


# --- closing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refuse", "close"])
async def test_a_link_that_closes_refuses_those_who_wait_and_those_who_come(how: str) -> None:
    link = await used_up()
    waiting = await started(link.number(LONG))
    getattr(link, how)("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await waiting
    with pytest.raises(MessageRoutingError, match="it has left"):
        await link.number(LONG)


async def test_a_sender_that_was_woken_when_the_link_closed_sends_to_nobody() -> None:
    link = await used_up()
    waiting = await started(link.number(LONG))
    link.credit(1)
    link.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await waiting


async def test_a_closed_link_tells_how_many_frames_are_not_accounted_for() -> None:
    link = await used_up()
    link.credit(WINDOW - 3)
    assert link.close("it has left") == 3


async def test_settled_returns_when_all_is_accounted_for() -> None:
    link = await used_up()
    settled = await started(link.settled())
    link.credit(WINDOW - 1)
    await turns()
    assert not settled.done()
    link.credit(WINDOW)
    await settled


async def test_settled_fails_when_the_link_closes_first() -> None:
    link = await used_up()
    settled = await started(link.settled())
    link.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await settled


# --- asks ---------------------------------------------------------------------------------------


async def ask(link: Link, answer: asyncio.Future[str]) -> str:
    with link.asking():
        return await answer


async def test_an_ask_is_interrupted_once_when_the_link_closes() -> None:
    link = Link("agent", "01" * 8, "worker")
    task = await started(ask(link, asyncio.Future()))
    link.close("it has left")
    link.close("again")
    with pytest.raises(MessageRoutingError):
        await task
    assert task.cancelling() == 0


async def test_an_ask_that_only_a_retirement_meets_may_still_be_answered() -> None:
    link, answer = Link("agent", "01" * 8, "worker"), asyncio.Future[str]()
    task = await started(ask(link, answer))
    link.refuse("it takes no more")
    answer.set_result("done")
    assert await task == "done"


async def test_an_answered_ask_is_not_interrupted_later() -> None:
    link, answer = Link("agent", "01" * 8, "worker"), asyncio.Future[str]()

    async def work() -> str:
        said = await ask(link, answer)
        await turns()
        return said

    task = await started(work())
    answer.set_result("done")
    await asyncio.sleep(0)
    link.close("it has left")
    assert await task == "done"
    assert not link.asked


@pytest.mark.parametrize("order", ["outer first", "link first"])
async def test_who_is_cancelled_from_outside_stays_cancelled(order: str) -> None:
    link = Link("agent", "01" * 8, "worker")
    task = await started(ask(link, asyncio.Future()))
    if order == "outer first":
        task.cancel()
    link.close("it has left")
    if order == "link first":
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_an_ask_that_is_interrupted_leaves_the_timeouts_around_it_alone() -> None:
    link = Link("agent", "01" * 8, "worker")

    async def work() -> str:
        try:
            async with asyncio.timeout(LONG):
                return await ask(link, asyncio.Future())
        except MessageRoutingError:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
            raise

    task = await started(work())
    link.close("it has left")
    with pytest.raises(TimeoutError):
        await task


async def test_an_interruption_that_the_transport_swallowed_does_not_stay_with_the_task() -> None:
    link = Link("agent", "01" * 8, "worker")

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        # As a transport does that has a reply scheme of its own.
        with link.asking(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return task.cancelling()

    task = await started(work())
    link.close("it has left")
    assert await task == 0


async def test_a_closed_link_is_not_asked() -> None:
    link = Link("agent", "01" * 8, "worker")
    link.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"), link.asking():
        pytest.fail("it was asked")


# --- finding ------------------------------------------------------------------------------------


async def test_a_link_that_is_there_is_found_at_once() -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.add(link)
    assert await links.find("agent", 0.0, unknown) is link
    assert links.get("agent") is link


async def test_a_name_that_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await Links().find("agent", LONG, unknown)


async def test_an_expected_name_is_awaited() -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.expected["agent"] = "worker"
    finders = [await started(links.find("agent", LONG, unknown)) for _ in range(2)]
    links.add(link)
    assert await asyncio.gather(*finders) == [link, link]


async def test_an_expected_name_that_does_not_come_says_which_process_to_start() -> None:
    links = Links()
    links.expected["agent"] = "worker"
    with pytest.raises(MessageRoutingError, match="is its process 'worker' started"):
        await links.find("agent", SHORT, unknown)


async def test_any_name_is_awaited_while_nodes_find_each_other_and_not_after_it() -> None:
    links = Links()
    links.discovering = True
    links.expected["mine"] = "worker"
    finder = await started(links.find("any", LONG, unknown))
    patient = await started(links.find("mine", LONG, unknown))
    links.discovered()
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await finder
    assert not patient.done()
    links.add(Link("mine", "01" * 8, "worker"))
    await patient


@pytest.mark.parametrize("how", ["retire", "remove"])
async def test_a_name_that_went_is_refused_at_once_until_it_is_back(how: str) -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.expected["agent"] = "worker"
    links.add(link)
    if how == "retire":
        links.retire("agent", "it has left")
    else:
        links.remove(link, "it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await links.find("agent", LONG, unknown)
    links.add(Link("agent", "02" * 8, "worker"))
    await links.find("agent", LONG, unknown)


async def test_a_cancelled_finder_leaves_the_others_waiting() -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.expected["agent"] = "worker"
    first = await started(links.find("agent", LONG, unknown))
    second = await started(links.find("agent", LONG, unknown))
    first.cancel()
    await turns()
    links.add(link)
    assert await second is link


async def test_a_retired_link_is_kept_only_while_answers_are_awaited() -> None:
    links, idle, asked = Links(), Link("idle", "01" * 8, "w"), Link("asked", "01" * 8, "w")
    links.add(idle)
    links.add(asked)
    task = await started(ask(asked, asyncio.Future()))
    links.retire("idle", "done")
    links.retire("asked", "done")
    assert links.of("01" * 8) == [asked]
    assert links.remove(asked, "its process has gone") == 0
    with pytest.raises(MessageRoutingError):
        await task
    assert links.of("01" * 8) == []


async def test_removing_an_old_link_leaves_the_new_one_of_its_name_alone() -> None:
    links, old, new = Links(), Link("agent", "01" * 8, "w"), Link("agent", "02" * 8, "w")
    links.add(old)
    task = await started(ask(old, asyncio.Future()))
    links.retire("agent", "moving")
    links.add(new)
    links.remove(old, "gone")
    assert links.get("agent") is new
    with pytest.raises(MessageRoutingError):
        await task


async def test_the_end_tells_all_who_wait_and_leaves_nothing_behind() -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.expected["other"] = "worker"
    links.add(link)
    asking = await started(ask(link, asyncio.Future()))
    finding = await started(links.find("other", None, unknown))
    links.end("this node has stopped")
    for task in (asking, finding):
        with pytest.raises(MessageRoutingError, match="this node has stopped"):
            await task
    assert list(links) == links.of("01" * 8) == []


async def test_names_that_have_gone_are_not_remembered_without_end() -> None:
    links = Links()
    for number in range(10_001):
        links.add(Link(f"agent{number}", "01" * 8, "worker"))
        links.retire(f"agent{number}", "gone")
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await links.find("agent0", LONG, unknown)
    with pytest.raises(MessageRoutingError, match="gone"):
        await links.find("agent10000", LONG, unknown)


# --- what a durable transport keeps ---------------------------------------------------------------


def test_nothing_is_kept_for_anyone_who_is_away_unless_the_transport_is_durable() -> None:
    links, link = Links(), Link("agent", "01" * 8, "worker")
    links.expected["other"] = "worker"
    links.add(link)
    links.remove(link, "its process has gone")
    assert not links.keeps("agent")
    assert not links.keeps("other")


def test_messages_for_an_agent_that_is_expected_are_kept_and_for_a_stranger_not() -> None:
    links = Links(durable=True)
    links.expected["agent"] = "worker"
    assert links.keeps("agent")
    assert not links.keeps("stranger")


def test_messages_are_kept_for_an_agent_whose_node_goes_or_has_gone() -> None:
    links = Links(durable=True)
    for name in ("lost", "leaving"):
        links.add(Link(name, "01" * 8, "worker", windowed=False))
    [lost] = [link for link in links if link.name == "lost"]
    links.remove(lost, "its process has gone")
    links.retire("leaving", "its process stops", done=False)
    assert links.keeps("lost")
    assert links.keeps("leaving")


async def test_messages_are_not_kept_for_an_agent_that_is_done_until_it_is_there_again() -> None:
    links = Links(durable=True)
    for name in ("agent", "other"):
        links.expected[name] = "worker"
    links.add(Link("agent", "01" * 8, "worker", windowed=False))
    links.retire("agent", "it is done")
    links.done("other", "it is done")
    for name in ("agent", "other"):
        assert not links.keeps(name)
        with pytest.raises(MessageRoutingError, match="it is done"):
            await links.find(name, LONG, unknown)
        back = Link(name, "02" * 8, "worker", windowed=False)
        links.add(back)
        links.done(name, "an old word")
        links.remove(back, "its process has gone")
        assert links.keeps(name)


async def test_what_is_kept_is_settled() -> None:
    links = Links(durable=True)
    links.expected["agent"] = "worker"
    await links.settled("agent")
    with pytest.raises(MessageRoutingError, match="no way to 'stranger'"):
        await links.settled("stranger")


def test_a_node_that_starts_anew_knows_of_nobody_who_is_away() -> None:
    links, link = Links(durable=True), Link("agent", "01" * 8, "worker", windowed=False)
    links.add(link)
    links.remove(link, "its process has gone")
    links.end("this node has stopped")
    assert not links.keeps("agent")


async def test_a_paused_link_without_a_window_holds_nobody() -> None:
    link = Link("agent", "01" * 8, "worker", windowed=False)
    link.pause()
    assert await link.number(SHORT) == 0
