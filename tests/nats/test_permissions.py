"""The permissions that the page shows: they suffice, none is too many, and what they keep off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from nats.aio.msg import Msg

from civitas import client as civitas_client
from civitas._cluster.codec import encode
from civitas._cluster.protocol import Command, control_address
from civitas.errors import AccessDeniedError, CivitasError, OutcomeUnknownError
from support.nats.nodes import Node, bare, taken, until, within
from support.nats.permissions import (
    Line,
    authorization,
    lines_of,
    moved,
    refusals,
    users_of,
    was_refused,
)
from support.nats.server import NatsServer
from support.restaurant import Restaurant, see_it_work

pytestmark = pytest.mark.slow

TITLE: Final = "restaurant.conf"
PLENTY: Final = 15.0
"""Seconds for each step of a system that works."""

SOON: Final = 3.0
"""Seconds for each step of one that does not, at first; each further try has twice as many."""

TOGETHER: Final = 6
"""Systems that run at the same time."""

TRIES: Final = 4
"""Of a system that fails and was refused nothing: the machine was too slow."""


def login(server: NatsServer, limit: float, suffix: str = "") -> Callable[[str], dict[str, Any]]:
    """Return the options of each login; those with one suffix have subjects of their own."""

    def options(user: str) -> dict[str, Any]:
        own = {
            "servers": server.url,
            "user": f"{user}{suffix}",
            "password": "x",
            "inbox_prefix": f"_INBOX.{user}{suffix}",
            "subject_prefix": f"civitas{suffix}.agent",
            "connect_timeout": limit / 2,
        }
        return {"transport": "nats", **{f"nats_{name}": value for name, value in own.items()}}

    return options


# --- they suffice, and none is too many ----------------------------------------------------------


async def test_a_system_works_with_the_permissions_that_are_shown(tmp_path):
    with NatsServer(tmp_path, config=authorization(users_of(TITLE).values())) as server:
        await see_it_work(login(server, PLENTY), PLENTY)
        assert "Violation" not in server.log


@pytest.mark.mutants
async def test_without_any_line_of_them_it_does_not(tmp_path):
    users = users_of(TITLE)
    lines = lines_of(users)
    config, suffixes = [], [f"-{number}" for number in range(len(lines))]
    for suffix, line in zip(suffixes, lines, strict=True):
        config += [moved(user.without(line), suffix) for user in users.values()]
    turns = asyncio.Semaphore(TOGETHER)
    with NatsServer(tmp_path, config=authorization(config)) as server:

        async def fails(suffix: str, line: Line) -> bool:
            for attempt in range(TRIES):
                limit = SOON * 2**attempt
                async with turns:
                    try:
                        await see_it_work(login(server, limit, suffix), limit)
                    except (CivitasError, TimeoutError, AssertionError):
                        if await was_refused(server, f"{line.user}{suffix}"):
                            return True
                    else:
                        return False
            return False

        outcomes = await asyncio.gather(*map(fails, suffixes, lines))
        assert [line for line, did in zip(lines, outcomes, strict=True) if not did] == []


# --- what they keep off --------------------------------------------------------------------------


async def test_a_guest_reaches_no_agent_but_the_one_that_it_may_ask(tmp_path):
    with NatsServer(tmp_path, config=authorization(users_of(TITLE).values())) as server:
        async with Restaurant(login(server, PLENTY), PLENTY) as restaurant:
            await restaurant.order()
            before = restaurant.kitchen.stats().delivered
            for agent in ("oven", "fridge", "till"):
                with pytest.raises(OutcomeUnknownError, match=f"civitas.agent.{agent}"):
                    await restaurant.guest.ask(agent, {}, timeout=PLENTY)
            assert restaurant.kitchen.stats().delivered == before
        assert refusals(server) == {
            "guest": {f"Publish civitas.agent.{agent}" for agent in ("oven", "fridge", "till")}
        }


FORBIDDEN: Final = {
    "guest": [
        "pub civitas.agent.oven",
        "pub civitas.agent._reply.0123456789abcdef",
        "pub _INBOX.kitchen.x.pull.y",
        "sub civitas.agent.front",
        "sub civitas.agent.*",
        "sub civitas.agent.>",
        "sub civitas.>",
        "sub >",
        "sub civitas.agent._agency.>",
        "sub _INBOX.>",
        "sub _INBOX.*.*.probe.*",
        "sub _INBOX.kitchen.>",
    ],
    "kitchen": [
        "pub civitas.agent.front",
        "pub civitas.agent.oven",
        "pub _INBOX.restaurant.x.probe.1",
        "sub civitas.agent.front",
        "sub civitas.agent.till",
        "sub civitas.agent.*",
        "sub _INBOX.>",
    ],
    "restaurant": ["pub civitas.agent.front", "sub civitas.agent.oven", "sub _INBOX.>"],
}
"""What each login must not be able to do, whatever client it uses."""

ADMITTED: Final = [
    "sub civitas.agent._agency.nodes",
    "sub civitas.agent._agency.node.*",
    "sub civitas.agent._agency.data.*",
    "sub civitas.agent._reply.*",
    "pub civitas.agent._agency.node.0123456789abcdef",
    "pub civitas.agent._agency.data.0123456789abcdef",
]
"""What each login can do, as the page says."""


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_a_login_can_not_read_nor_write_what_is_of_others(tmp_path, user):
    with NatsServer(tmp_path, config=authorization(users_of(TITLE).values())) as server:
        for action in (*FORBIDDEN[user], *ADMITTED):
            await attempt(server, user, action)
        words = {"pub": "Publish", "sub": "Subscription"}
        wanted = {f"{words[each[:3]]} {each[4:]}" for each in FORBIDDEN[user]}
        assert refusals(server) == {user: wanted}


async def attempt(server: NatsServer, user: str, action: str) -> None:
    """Publish or subscribe as a user, with a bare client; return when the server has judged it."""
    verb, subject = action.split()
    async with bare(server.url, user=user, password="x") as client:
        if verb == "pub":
            await client.publish(subject, b"forged")
        else:
            await client.subscribe(subject)
        await taken(client)


async def test_a_guest_can_not_command_an_agent_in_its_own_name(tmp_path):
    """It may publish to the addresses of nodes, and only a primary is believed there.

    In the primary's name it can where there is no key: `tests/faults/test_false_primary.py`.
    """
    with NatsServer(tmp_path, config=authorization(users_of(TITLE).values())) as server:
        async with Restaurant(login(server, PLENTY), PLENTY) as restaurant:
            kitchen = restaurant.kitchen.stats().node
            origin = restaurant.guest.components.origin
            async with bare(server.url, user="guest", password="x") as client:
                for verb in ("stop", "start", "finish"):
                    command = encode(Command(1, verb, "oven", 1), origin)
                    subject = f"civitas.agent.{control_address(kitchen)}"
                    await client.publish(subject, command)
                await taken(client)
            for _ in range(3):
                await restaurant.order()
            [oven] = [each for each in restaurant.kitchen.stats().agents if each.name == "oven"]
            assert oven.restarts == 0
        assert refusals(server) == {}


# --- what a process says of a refusal ------------------------------------------------------------


async def test_what_a_server_refuses_is_logged_once_for_each_cause(tmp_path, caplog):
    users = users_of(TITLE)
    users["guest"] = users["guest"].without(
        Line("guest", "publish", "civitas.agent._agency.data.*")
    )
    users["guest"] = users["guest"].without(Line("guest", "publish", "civitas.agent.front"))
    with NatsServer(tmp_path, config=authorization(users.values())) as server:
        options = {
            name.removeprefix("nats_"): each
            for name, each in login(server, PLENTY)("guest").items()
        }
        del options["transport"]
        async with Node(options.pop("servers"), **options) as node:
            for number in range(10):
                await node.send(f"_agency.data.{number:016x}", "hello")
                await node.send("front", "hello")
            await within(node.transport.wait_ready())
            assert node.told == []
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(said) == 2
    for text, subject in zip(said, ("_agency.data.", "front"), strict=True):
        assert "refuses what this process needs" in text
        assert f'for Publish to "civitas.agent.{subject}' in text


@pytest.mark.parametrize(
    "line",
    [("publish", "_INBOX.guest.*.probe.*"), ("subscribe", "_INBOX.guest.>")],
    ids=lambda line: line[0],
)
async def test_a_start_that_is_refused_its_inbox_ends_in_time_with_the_reason(tmp_path, line):
    users = users_of(TITLE)
    users["guest"] = users["guest"].without(Line("guest", *line))
    with NatsServer(tmp_path, config=authorization(users.values())) as server:
        client = civitas_client.Client(connect_timeout=PLENTY, **login(server, PLENTY)("guest"))
        with pytest.raises(AccessDeniedError, match="Permissions Violation for .*_INBOX.guest"):
            await within(client.start(), PLENTY)


async def test_without_an_inbox_of_its_own_a_login_reads_what_servers_answer_another(jetstream):
    """So the page gives each login its own; these have the default."""
    overheard: list[str] = []

    async def hear(message: Msg) -> None:
        overheard.append(message.subject)

    async with bare(jetstream.url) as spy:
        await spy.subscribe("_INBOX.>", cb=hear)
        await taken(spy)
        async with Node(jetstream.url, inbox_prefix="inboxes.kitchen", jetstream=True):
            pass
        await taken(spy)
        assert overheard == []
        async with Node(jetstream.url, jetstream=True):
            pass
        await until(lambda: overheard)
