"""DataPlane: who says in the name of another node that it leaves closes none of its routes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from civitas._bus.mailbox import Mailbox
from civitas._cluster.leaving import ALL
from civitas._cluster.protocol import Credit, Ended, Leaving, Staying
from civitas.errors import MessageRoutingError
from core.cluster.test_data_plane import ELSEWHERE, THERE, Here, info
from core.cluster.test_last_numbers import send, talking
from support.routing import LONG, started


def done(agent: str) -> dict[str, tuple[str, int]]:
    return {agent: ("STOPPED", 0)}


@pytest.mark.parametrize("who", [ALL, "a"])
async def test_the_routes_open_again_where_they_were_when_the_node_says_that_it_stays(
    who: str,
) -> None:
    here = Here().meet(info(THERE, "a", "b"))
    await send(here, "a", 3)
    here.hear(THERE, Credit("a", 3))
    here.hear(THERE, Leaving(who))
    assert here.node_of("a") is None
    here.hear(THERE, Staying(who))
    assert (here.node_of("a"), here.node_of("b")) == (THERE, THERE)
    route = here.bus.routes.get("a")
    assert route is not None
    assert await route.number(LONG) == 4


async def test_a_node_says_that_it_stays_to_who_sends_no_more_to_it() -> None:
    here = Here().meet(info(THERE))
    await here.bus.attach(Mailbox("mine"))
    async with talking(here) as said:
        for who in (ALL, "mine"):
            here.hear(THERE, Ended(who))
            assert await said.take() == [Staying(who)]
        here.hear(THERE, Ended("nobody"))
        here.hear(ELSEWHERE, Ended(ALL))
        assert await said.take() == []


@pytest.mark.parametrize("who", [ALL, "mine"])
async def test_who_leaves_or_has_left_does_not_say_that_it_stays(who: str) -> None:
    here = Here().meet(info(THERE))
    await here.bus.attach(Mailbox("mine"))
    async with talking(here) as said:
        leaving = await started(here.plane.leave(who))
        assert await said.take() == [Leaving(who)]
        for _ in range(2):
            here.hear(THERE, Ended("mine"))
            here.hear(THERE, Ended(who))
            await leaving
        assert await said.take() == []


@pytest.mark.parametrize("who", [ALL, "a"])
async def test_a_node_that_has_not_announced_that_it_leaves_is_asked_until_it_says_so(
    who: str,
) -> None:
    here = Here().meet(info(THERE, "a"))
    async with talking(here) as said:
        here.hear(THERE, Leaving(who))
        await said.take()
        for _ in range(2):
            here.plane.ask_for_credit()
            assert await said.take() == [Ended(who)]
        agents = done("a") if who == "a" else {}
        here.plane.node_seen(replace(info(THERE), agents=agents, leaving=who == ALL))
        here.plane.ask_for_credit()
        assert await said.take() == []
        here.hear(THERE, Staying(who))
        assert here.node_of("a") is None
        with pytest.raises(MessageRoutingError, match="takes no more"):
            await here.bus.routes.find("a", LONG)


async def test_an_agent_that_has_moved_stays_where_it_is_when_its_old_node_stays() -> None:
    here = Here().meet(info(THERE, "a"))
    here.hear(THERE, Leaving(ALL))
    here.meet(info(ELSEWHERE, "a"))
    here.hear(THERE, Staying(ALL))
    assert here.node_of("a") == ELSEWHERE


async def test_what_a_node_has_that_is_not_reached_any_more_opens_when_it_is() -> None:
    here = Here().meet(info(THERE, "a"))
    await send(here, "a", 1)
    here.hear(THERE, Leaving(ALL))
    here.plane.link_up()
    here.hear(THERE, Staying(ALL))
    assert here.node_of("a") is None
    here.meet(info(THERE, "a"))
    route = here.bus.routes.get("a")
    assert route is not None
    assert await route.number(LONG) == 2


async def test_over_a_durable_transport_nobody_says_that_it_leaves() -> None:
    here = Here(windowed=False).meet(info(THERE, "a"))
    here.hear(THERE, Leaving(ALL))
    assert here.node_of("a") == THERE


async def test_nothing_is_kept_of_agents_that_have_really_left() -> None:
    here = Here().meet(info(THERE, "a"))
    await send(here, "a", 1)
    here.hear(THERE, Leaving("a"))
    here.plane.node_seen(replace(info(THERE), agents=done("a")))
    assert [route.name for route in here.bus.routes.retired()] == ["a"]
    here.hear(THERE, Credit("a", 1))
    assert here.bus.routes.retired() == []
