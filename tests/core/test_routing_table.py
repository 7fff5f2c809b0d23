"""RoutingTable: who waits for a name gets its route, or hears why there is none."""

from __future__ import annotations

import asyncio

import pytest

from civitas._bus.routes import RemoteRoute
from civitas.errors import MessageRoutingError, OutcomeUnknownError
from support.routing import LONG, SHORT, ask, started, table, there, turns

# --- finding ------------------------------------------------------------------------------------


async def test_a_route_that_is_there_is_found_at_once() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.add(route)
    assert await routes.find("agent", 0.0) is route
    assert routes.get("agent") is route


async def test_a_name_that_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(MessageRoutingError, match="there is no agent called"):
        await table().find("agent", LONG)


async def test_an_expected_name_is_awaited() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["agent"] = "worker"
    finders = [await started(routes.find("agent", LONG)) for _ in range(2)]
    routes.add(route)
    assert await asyncio.gather(*finders) == [route, route]


async def test_an_expected_name_that_does_not_come_says_which_process_to_start() -> None:
    routes = table()
    routes.expected["agent"] = "worker"
    with pytest.raises(MessageRoutingError, match="is its process 'worker' started"):
        await routes.find("agent", SHORT)


async def test_any_name_is_awaited_while_nodes_find_each_other_and_not_after_it() -> None:
    routes = table()
    routes.discovering = True
    routes.expected["mine"] = "worker"
    finder = await started(routes.find("any", LONG))
    patient = await started(routes.find("mine", LONG))
    routes.discovered()
    with pytest.raises(MessageRoutingError, match="there is no agent called"):
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
        await routes.find("agent", LONG)
    routes.add(RemoteRoute("agent", "02" * 8, "worker"))
    await routes.find("agent", LONG)


async def test_a_cancelled_finder_leaves_the_others_waiting() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["agent"] = "worker"
    first = await started(routes.find("agent", LONG))
    second = await started(routes.find("agent", LONG))
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
    with pytest.raises(OutcomeUnknownError):
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
    with pytest.raises(OutcomeUnknownError):
        await task


async def test_the_end_tells_all_who_wait_and_leaves_nothing_behind() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.expected["other"] = "worker"
    routes.add(route)
    asking = await started(ask(route, asyncio.Future()))
    finding = await started(routes.find("other", None))
    routes.end("this node has stopped")
    with pytest.raises(OutcomeUnknownError, match="this node has stopped"):
        await asking
    with pytest.raises(MessageRoutingError, match="this node has stopped"):
        await finding
    assert routes.remote() == routes.of("01" * 8) == []


async def test_names_that_have_gone_are_not_remembered_without_end() -> None:
    routes = table()
    for number in range(10_001):
        routes.add(RemoteRoute(f"agent{number}", "01" * 8, "worker"))
        routes.retire(there(routes, f"agent{number}"), "gone")
    with pytest.raises(MessageRoutingError, match="there is no agent called"):
        await routes.find("agent0", LONG)
    with pytest.raises(MessageRoutingError, match="gone"):
        await routes.find("agent10000", LONG)


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
            await routes.find(name, LONG)
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


async def test_what_was_sent_is_followed_to_an_agent_that_takes_no_more() -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.add(route)
    number = await route.number(LONG)
    routes.retire(route, "it takes no more")
    assert routes.to(route.node, "agent") is route
    delivered = await started(routes.delivered("agent"))
    route.credit(number)
    await delivered
    await routes.delivered("agent")
    assert routes.retired() == []
    assert routes.to(route.node, "agent") is None


@pytest.mark.parametrize("retired", [False, True])
async def test_what_became_of_it_is_not_known_when_the_node_has_gone(retired: bool) -> None:
    routes, route = table(), RemoteRoute("agent", "01" * 8, "worker")
    routes.add(route)
    await route.number(LONG)
    if retired:
        routes.retire(route, "it takes no more")
    routes.remove(route, "its process has gone")
    with pytest.raises(OutcomeUnknownError, match="may have been handled"):
        await routes.delivered("agent")


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
