"""Routes: who waits for credit or for a name gets it in order, and is told when it can't be."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from civitas._bus.routes import RemoteRoute
from civitas._bus.routing_table import RoutingTable
from civitas._bus.windows import WINDOW
from civitas.errors import MailboxFullError, MessageRoutingError
from civitas.registry import LocalRegistry

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


async def used_up(windowed: bool = True) -> RemoteRoute:
    """Return a route whose window is full."""
    route = RemoteRoute("agent", "01" * 8, "worker", windowed=windowed)
    for number in range(1, WINDOW + 1):
        assert await route.number(LONG) == number
    return route


def table(*, durable: bool = False) -> RoutingTable:
    return RoutingTable(LocalRegistry(), durable=durable)


def there(routes: RoutingTable, name: str) -> RemoteRoute:
    route = routes.get(name)
    assert route is not None
    return route


def unknown() -> MessageRoutingError:
    return MessageRoutingError("nobody knows it")


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


async def test_settled_fails_when_the_route_closes_first() -> None:
    route = await used_up()
    delivered = await started(route.delivered())
    route.close("it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await delivered


# --- asks ---------------------------------------------------------------------------------------


async def ask(route: RemoteRoute, answer: asyncio.Future[str]) -> str:
    with route.requesting():
        return await answer


async def test_an_ask_is_interrupted_once_when_the_route_closes() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker")
    task = await started(ask(route, asyncio.Future()))
    route.close("it has left")
    route.close("again")
    with pytest.raises(MessageRoutingError):
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
        except MessageRoutingError:
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


# --- finding ------------------------------------------------------------------------------------


async def test_a_route_that_is_there_is_found_at_once() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.add(route)
    assert await routes.find("agent", 0.0, unknown) is route
    assert routes.get("agent") is route


async def test_a_name_that_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await table().find("agent", LONG, unknown)


async def test_an_expected_name_is_awaited() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["agent"] = "worker"
    finders = [await started(routes.find("agent", LONG, unknown)) for _ in range(2)]
    routes.add(route)
    assert await asyncio.gather(*finders) == [route, route]


async def test_an_expected_name_that_does_not_come_says_which_process_to_start() -> None:
    routes = table()
    routes.expected["agent"] = "worker"
    with pytest.raises(MessageRoutingError, match="is its process 'worker' started"):
        await routes.find("agent", SHORT, unknown)


async def test_any_name_is_awaited_while_nodes_find_each_other_and_not_after_it() -> None:
    routes = table()
    routes.discovering = True
    routes.expected["mine"] = "worker"
    finder = await started(routes.find("any", LONG, unknown))
    patient = await started(routes.find("mine", LONG, unknown))
    routes.discovered()
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await finder
    assert not patient.done()
    routes.add(RemoteRoute("mine", "01" * 8, "worker"))
    await patient


@pytest.mark.parametrize("how", ["retire", "remove"])
async def test_a_name_that_went_is_refused_at_once_until_it_is_back(how: str) -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["agent"] = "worker"
    routes.add(route)
    if how == "retire":
        routes.retire(there(routes, "agent"), "it has left")
    else:
        routes.remove(route, "it has left")
    with pytest.raises(MessageRoutingError, match="it has left"):
        await routes.find("agent", LONG, unknown)
    routes.add(RemoteRoute("agent", "02" * 8, "worker"))
    await routes.find("agent", LONG, unknown)


async def test_a_cancelled_finder_leaves_the_others_waiting() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["agent"] = "worker"
    first = await started(routes.find("agent", LONG, unknown))
    second = await started(routes.find("agent", LONG, unknown))
    first.cancel()
    await turns()
    routes.add(route)
    assert await second is route


async def test_a_retired_route_is_kept_only_while_answers_are_awaited() -> None:
    routes, idle, asked = (
        table(),
        RemoteRoute("idle", "01" * 8, "w"),
        RemoteRoute("asked", "01" * 8, "w"),
    )
    routes.add(idle)
    routes.add(asked)
    task = await started(ask(asked, asyncio.Future()))
    routes.retire(there(routes, "idle"), "done")
    routes.retire(there(routes, "asked"), "done")
    assert routes.of("01" * 8) == [asked]
    routes.remove(asked, "its process has gone")
    with pytest.raises(MessageRoutingError):
        await task
    assert routes.of("01" * 8) == []


async def test_removing_an_old_route_leaves_the_new_one_of_its_name_alone() -> None:
    routes, old, new = (
        table(),
        RemoteRoute("agent", "01" * 8, "w"),
        RemoteRoute("agent", "02" * 8, "w"),
    )
    routes.add(old)
    task = await started(ask(old, asyncio.Future()))
    routes.retire(there(routes, "agent"), "moving")
    routes.add(new)
    routes.remove(old, "gone")
    assert routes.get("agent") is new
    with pytest.raises(MessageRoutingError):
        await task


async def test_the_end_tells_all_who_wait_and_leaves_nothing_behind() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["other"] = "worker"
    routes.add(route)
    asking = await started(ask(route, asyncio.Future()))
    finding = await started(routes.find("other", None, unknown))
    routes.end("this node has stopped")
    for task in (asking, finding):
        with pytest.raises(MessageRoutingError, match="this node has stopped"):
            await task
    assert routes.remote() == routes.of("01" * 8) == []


async def test_names_that_have_gone_are_not_remembered_without_end() -> None:
    routes = table()
    for number in range(10_001):
        routes.add(RemoteRoute(f"agent{number}", "01" * 8, "worker"))
        routes.retire(there(routes, f"agent{number}"), "gone")
    with pytest.raises(MessageRoutingError, match="nobody knows it"):
        await routes.find("agent0", LONG, unknown)
    with pytest.raises(MessageRoutingError, match="gone"):
        await routes.find("agent10000", LONG, unknown)


# --- what a durable transport keeps ---------------------------------------------------------------


def test_nothing_is_kept_for_anyone_who_is_away_unless_the_transport_is_durable() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["other"] = "worker"
    routes.add(route)
    routes.remove(route, "its process has gone")
    assert not routes.keeps("agent")
    assert not routes.keeps("other")


def test_messages_for_an_agent_that_is_expected_are_kept_and_for_a_stranger_not() -> None:
    routes = table(durable=True)
    routes.expected["agent"] = "worker"
    assert routes.keeps("agent")
    assert not routes.keeps("stranger")


def test_messages_are_kept_for_an_agent_whose_node_goes_or_has_gone() -> None:
    routes = table(durable=True)
    for name in ("lost", "leaving"):
        routes.add(RemoteRoute(name, "01" * 8, "worker", windowed=False))
    routes.remove(there(routes, "lost"), "its process has gone")
    routes.retire(there(routes, "leaving"), "its process stops", done=False)
    assert routes.keeps("lost")
    assert routes.keeps("leaving")


async def test_messages_are_not_kept_for_an_agent_that_is_done_until_it_is_there_again() -> None:
    routes = table(durable=True)
    for name in ("agent", "other"):
        routes.expected[name] = "worker"
    routes.add(RemoteRoute("agent", "01" * 8, "worker", windowed=False))
    routes.retire(there(routes, "agent"), "it is done")
    routes.done("other", "it is done")
    for name in ("agent", "other"):
        assert not routes.keeps(name)
        with pytest.raises(MessageRoutingError, match="it is done"):
            await routes.find(name, LONG, unknown)
        back = RemoteRoute(name, "02" * 8, "worker", windowed=False)
        routes.add(back)
        routes.done(name, "an old word")
        routes.remove(back, "its process has gone")
        assert routes.keeps(name)


async def test_what_is_kept_is_settled() -> None:
    routes = table(durable=True)
    routes.expected["agent"] = "worker"
    await routes.delivered("agent")
    with pytest.raises(MessageRoutingError, match="no route to 'stranger'"):
        await routes.delivered("stranger")


def test_a_node_that_starts_anew_knows_of_nobody_who_is_away() -> None:
    routes, route = table(durable=True), RemoteRoute("agent", "01" * 8, "worker", windowed=False)
    routes.add(route)
    routes.remove(route, "its process has gone")
    routes.end("this node has stopped")
    assert not routes.keeps("agent")


async def test_a_paused_route_without_a_window_holds_nobody() -> None:
    route = RemoteRoute("agent", "01" * 8, "worker", windowed=False)
    route.pause()
    assert await route.number(SHORT) == 0
