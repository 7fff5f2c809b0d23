"""The permissions that the page shows: they suffice, none is too many, and what they keep off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import pytest
import redis
from redis.exceptions import NoPermissionError

from civitas.errors import CivitasError
from support.redis.nodes import Node, until, within
from support.redis.permissions import moved, settings, users, without_each
from support.redis.server import RedisServer
from support.restaurant import Options, Restaurant, see_it_work

pytestmark = pytest.mark.slow

PLENTY: Final = 15.0
"""Seconds for each step of a system that works."""

SOON: Final = 3.0
"""Seconds for each step of one that does not, at first; each further try has twice as many."""

TOGETHER: Final = 6
"""Systems that run at the same time."""

TRIES: Final = 4
"""Of a system that fails and was refused nothing: the machine was too slow."""


def login(server: RedisServer, limit: float, suffix: str = "") -> Options:
    """Return the options of each login; those with one suffix have channels of their own."""

    def options(user: str) -> dict[str, Any]:
        values = {
            "url": server.url,
            "username": f"{user}{suffix}",
            "password": "x",
            "prefix": f"civitas{suffix}:",
            "connect_timeout": limit / 2,
            "probe_timeout": limit / 2,
        }
        return {"transport": "redis", **{f"redis_{name}": value for name, value in values.items()}}

    return options


def refusals(server: RedisServer) -> set[str]:
    """Return the users to whom a server has refused something."""
    with server.client() as client:
        return {each["username"] for each in client.acl_log(count=100_000)}


async def test_a_system_works_with_the_permissions_that_are_shown(tmp_path):
    with RedisServer(tmp_path, settings=settings(users().items())) as server:
        await see_it_work(login(server, PLENTY), PLENTY)
        assert refusals(server) == set()


async def test_without_any_rule_of_them_it_does_not(tmp_path):
    """A connection that is refused an UNSUBSCRIBE ends, and another is made."""
    lacking = [(name, less) for name, rules in users().items() for less in without_each(rules)]
    config = {}
    for number, (name, less) in enumerate(lacking):
        for user, rules in {**users(), name: less}.items():
            config[f"{user}-{number}"] = moved(rules, f"civitas-{number}:")
    turns = asyncio.Semaphore(TOGETHER)
    config_lines = {**settings(config.items()), "acllog-max-len": "100000"}
    with RedisServer(tmp_path, settings=config_lines) as server:

        async def is_refused(number: int) -> bool:
            name = f"{lacking[number][0]}-{number}"
            for attempt in range(TRIES):
                limit = SOON * 2**attempt
                async with turns:
                    with suppress(CivitasError, TimeoutError, AssertionError):
                        await see_it_work(login(server, limit, f"-{number}"), limit)
                        return name in refusals(server)
                if name in refusals(server):
                    return True
            return False

        outcomes = await asyncio.gather(*map(is_refused, range(len(lacking))))
        assert [each for each, did in zip(lacking, outcomes, strict=True) if not did] == []


FORBIDDEN: Final = {
    "guest": [
        ("PUBLISH", "civitas:oven", "x"),
        ("PUBLISH", "civitas:_reply.0123456789abcdef", "x"),
        ("SUBSCRIBE", "civitas:front"),
        ("SUBSCRIBE", "civitas:oven"),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", "civitas:_reply.*"),
        ("PUBSUB", "CHANNELS"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "pubsub"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("SET", "a", "b"),
        ("EVAL", "return 1", "0"),
    ],
    "kitchen": [
        ("PUBLISH", "civitas:front", "x"),
        ("SUBSCRIBE", "civitas:front"),
        ("SUBSCRIBE", "civitas:till"),
        ("PSUBSCRIBE", "*"),
    ],
}
"""What each user must not be able to do, whatever client she uses."""


@pytest.mark.parametrize("user", FORBIDDEN)
def test_a_user_can_not_read_nor_write_what_is_of_others(tmp_path, user):
    with RedisServer(tmp_path, settings=settings(users().items())) as server:
        for command in FORBIDDEN[user]:
            with (
                redis.Redis(port=server.port, username=user, password="x") as client,
                pytest.raises(NoPermissionError),
            ):
                client.execute_command(*command)


async def test_a_guest_reaches_no_agent_but_the_one_that_it_may_ask(tmp_path):
    with RedisServer(tmp_path, settings=settings(users().items())) as server:
        async with Restaurant(login(server, PLENTY), PLENTY) as restaurant:
            await restaurant.order()
            before = restaurant.kitchen.stats().delivered
            for agent in ("oven", "fridge", "till"):
                with pytest.raises(CivitasError, match="too little"):
                    await within(restaurant.guest.ask(agent, {}), PLENTY)
            assert restaurant.kitchen.stats().delivered == before
            await restaurant.order()


async def test_what_is_larger_than_the_server_is_told_to_take_cuts_off_its_sender_alone(tmp_path):
    """Without that, 40 MB would end the connections of all who are subscribed."""
    limit = {"proto-max-bulk-len": "2mb"}
    with RedisServer(tmp_path, settings=limit) as server:
        async with Node(server.url) as one, Node(server.url) as other:
            agents = [await node.agent("_agency.all") for node in (one, other)]
            with server.client() as client, pytest.raises(redis.ConnectionError):
                client.publish("civitas:_agency.all", b"x" * (40 << 20))
            await one.send("_agency.all", "right")
            for agent in agents:
                assert await agent.has_done(1) == ["right"]
            assert one.told == other.told == []


async def test_what_ends_every_connection_is_survived_by_all(tmp_path):
    with RedisServer(tmp_path) as server:
        async with Node(server.url) as one, Node(server.url) as other:
            agents = [await node.agent("_agency.all") for node in (one, other)]
            with server.client() as client:
                client.publish("civitas:_agency.all", b"x" * (40 << 20))
            await until(lambda: one.told == other.told == ["down", "up"])
            await one.send("_agency.all", "right")
            for agent in agents:
                assert await agent.has_done(1) == ["right"]
