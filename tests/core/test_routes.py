"""Routes: who waits for credit or for a name gets it in order, and is told when it can't be."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from civitas._bus.routes import RemoteRoute
from civitas._bus.windows import WINDOW
from civitas.errors import MailboxFullError, MessageRoutingError, OutcomeUnknownError
from support.routing import LONG, SHORT, ask, started, turns, used_up

# --- credit -------------------------------------------------------------------------------------


async def test_frames_are_numbered_from_one() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    assert [await route.number(LONG) for _ in range(3)] == [1, 2, 3]


async def test_a_route_without_a_window_numbers_nothing_and_never_waits() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker", windowed=False)
    assert {await route.number(SHORT) for _ in range(2 * WINDOW)} == {0}


async def test_senders_get_credit_in_the_order_in_which_they_came() -> None:
    route = await used_up()
    senders = [await started(route.number(LONG)) for _ in range(3)]
    route.credit(2)
    await turns()
    assert [task.done() for task in senders] == [True, True, False]
    assert [task.result() for task in senders[:2]] == [WINDOW + 1, WINDOW + 2]
    route.credit(3)
    assert await senders[2] == WINDOW + 3


async def test_a_newcomer_does_not_overtake_a_sender_that_was_just_woken() -> None:
    route = await used_up()
    first = await started(route.number(LONG))
    route.credit(1)
    second = await started(route.number(LONG))
    assert first.result() == WINDOW + 1
    assert not second.done()
    route.credit(2)
    assert await second == WINDOW + 2


async def test_a_sender_without_credit_gives_up_in_time_and_says_why() -> None:
    route = await used_up()
    with pytest.raises(MailboxFullError, match=r"'agent' in process 'worker' took no more"):
        await route.number(SHORT)


async def test_a_sender_that_gave_up_leaves_its_turn_to_the_next_one() -> None:
    route = await used_up()
    first = await started(route.number(SHORT))
    second = await started(route.number(LONG))
    with pytest.raises(MailboxFullError):
        await first
    route.credit(1)
    assert await second == WINDOW + 1


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "just woken"])
async def test_a_cancelled_sender_leaves_its_turn_to_the_next_one(woken: bool) -> None:
    route = await used_up()
    first = await started(route.number(LONG))
    second = await started(route.number(LONG))
    if woken:
        route.credit(1)
    first.cancel()
    await turns()
    assert first.cancelled()
    route.credit(1)
    assert await second == WINDOW + 1


async def test_a_number_that_was_not_used_goes_to_the_next_sender() -> None:
    route = await used_up()
    waiting = await started(route.number(LONG))
    route.give_back(WINDOW)
    assert await waiting == WINDOW


async def test_a_paused_route_lets_senders_wait_in_order_until_it_goes_on() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    route.pause()
    senders = [await started(route.number(LONG)) for _ in range(2)]
    assert not any(task.done() for task in senders)
    route.resume()
    assert await asyncio.gather(*senders) == [1, 2]


# --- closing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refuse", "close"])
async def test_a_route_that_closes_refuses_those_who_wait_and_those_who_come(how: str) -> None:
    route = await used_up()
    waiting = await started(route.number(LONG))
    getattr(route, how)("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await waiting
    with pytest.raises(MessageRoutingError, match="it has left"):
        await route.number(LONG)


async def test_a_sender_that_was_woken_when_the_route_closed_sends_to_nobody() -> None:
    route = await used_up()
    waiting = await started(route.number(LONG))
    route.credit(1)
    route.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await waiting


async def test_a_closed_route_knows_how_many_frames_are_not_accounted_for() -> None:
    route = await used_up()
    route.credit(WINDOW - 3)
    route.close("it has left")
    assert route.outstanding == 3


async def test_settled_returns_when_all_is_accounted_for() -> None:
    route = await used_up()
    delivered = await started(route.delivered())
    route.credit(WINDOW - 1)
    await turns()
    assert not delivered.done()
    route.credit(WINDOW)
    await delivered


async def test_settled_waits_also_for_an_agent_that_takes_no_more() -> None:
    route = await used_up()
    delivered = await started(route.delivered())
    route.refuse("it takes no more")
    await turns()
    assert not delivered.done()
    route.credit(WINDOW)
    await delivered


async def test_settled_does_not_know_what_became_of_it_when_the_other_end_goes_first() -> None:
    route = await used_up()
    delivered = await started(route.delivered())
    route.lose("it has gone")
    with pytest.raises(OutcomeUnknownError, match="it has gone; what was sent may have been"):
        await delivered


# --- asks ---------------------------------------------------------------------------------------


async def test_an_ask_is_interrupted_once_when_the_route_closes() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    task = await started(ask(route, asyncio.Future()))
    route.close("it has left")
    route.close("again")
    with pytest.raises(OutcomeUnknownError):
        await task
    assert task.cancelling() == 0


async def test_an_ask_that_only_a_retirement_meets_may_still_be_answered() -> None:
    route, answer = RemoteRoute("agent", "01" * 8, "worker"), asyncio.Future[str]()
    task = await started(ask(route, answer))
    route.refuse("it takes no more")
    answer.set_result("done")
    assert await task == "done"


async def test_an_answered_ask_is_not_interrupted_later() -> None:
    route, answer = RemoteRoute("agent", "01" * 8, "worker"), asyncio.Future[str]()

    async def work() -> str:
        said = await ask(route, answer)
        await turns()
        return said

    task = await started(work())
    answer.set_result("done")
    await asyncio.sleep(0)
    route.close("it has left")
    assert await task == "done"
    assert not route.has_requests


@pytest.mark.parametrize("order", ["outer first", "route first"])
async def test_who_is_cancelled_from_outside_stays_cancelled(order: str) -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    task = await started(ask(route, asyncio.Future()))
    if order == "outer first":
        task.cancel()
    route.close("it has left")
    if order == "route first":
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_an_ask_that_is_interrupted_leaves_the_timeouts_around_it_alone() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")

    async def work() -> str:
        try:
            async with asyncio.timeout(LONG):
                return await ask(route, asyncio.Future())
        except OutcomeUnknownError:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
            raise

    task = await started(work())
    route.close("it has left")
    with pytest.raises(TimeoutError):
        await task


async def test_an_interruption_that_the_transport_swallowed_does_not_stay_with_the_task() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")

    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        # As a transport does that has a reply scheme of its own.
        with route.requesting(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return task.cancelling()

    task = await started(work())
    route.close("it has left")
    assert await task == 0


async def test_a_closed_route_is_not_asked() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    route.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"), route.requesting():
        pytest.fail("it was asked")
