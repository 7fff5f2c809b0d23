"""The permissions that the page shows for JetStream: they suffice, and none is too many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from nats.js.api import ConsumerConfig

from civitas.errors import CivitasError
from civitas.plugins import TransportContext
from civitas.transport import Kept, Selection
from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore
from civitas_nats.jetstream.streams import create_streams
from civitas_nats.options import NATSOptions
from support.nats.nodes import bare, frame_of, taken
from support.nats.permissions import (
    Line,
    User,
    authorization,
    lines_of,
    moved,
    refusals,
    users_of,
    was_refused,
)
from support.nats.server import NatsServer
from support.restaurant import Options, see_it_work

pytestmark = pytest.mark.slow

TITLE: Final = "jetstream.conf"
AGENTS: Final = ("front", "till", "oven", "fridge")
PLENTY: Final = 15.0
"""Seconds for each step of a system that works."""

SOON: Final = 3.0
"""Seconds for each step of one that does not, at first; each further try has twice as many."""

TOGETHER: Final = 6
"""Systems that run at the same time."""

TRIES: Final = 4
"""Of a system that fails and was refused nothing: the machine was too slow."""

ROOT: Final = User("root", (">",), (">",))
"""Whoever may do everything, for what the tests themselves have to do."""


def options_of(server: NatsServer, user: str, suffix: str, limit: float) -> dict[str, Any]:
    """Return the options of a login; those with one suffix have streams of their own."""
    return {
        "servers": server.url,
        "user": f"{user}{suffix}",
        "password": "x",
        "inbox_prefix": f"_INBOX.{user}{suffix}",
        "subject_prefix": f"civitas{suffix}.agent",
        "dead_letter_subject": f"civitas{suffix}.dead",
        "stream_name": f"AGENCY{suffix}",
        "jetstream": True,
        "create_stream": False,
        "max_deliver": 1,
        "retry_delay": 0,
        "connect_timeout": limit / 2,
        "send_timeout": limit / 2,
    }


def login(server: NatsServer, suffix: str, limit: float) -> Options:
    """Return the options of each login for a node."""

    def options(user: str) -> dict[str, Any]:
        values = options_of(server, user, suffix, limit)
        return {"transport": "nats", **{f"nats_{name}": value for name, value in values.items()}}

    return options


async def serve(server: NatsServer, suffix: str, limit: float) -> None:
    """See a system work, with streams that are there and consumers that somebody else has made."""
    root = {**options_of(server, "root", suffix, PLENTY), "user": "root"}
    await create_streams(NATSOptions(**root), logging.getLogger("civitas.tests.nats"))
    stream = f"AGENCY{suffix}"
    async with bare(server.url, user="root", password="x") as client:
        for agent in AGENTS:
            filtered = f"civitas{suffix}.agent.{agent}"
            odd = ConsumerConfig(durable_name=agent, filter_subject=filtered, headers_only=True)
            await client.jetstream().add_consumer(stream, odd, ack_policy="explicit")

    def settled() -> bool:
        kept = server.streams()
        left, dead = (kept[name]["state"]["messages"] for name in (stream, f"{stream}_DEAD"))
        return (left, dead) == (0, len(AGENTS))

    await see_it_work(login(server, suffix, limit), limit, settled)


async def test_a_system_works_with_the_permissions_that_are_shown(tmp_path):
    users = (*users_of(TITLE).values(), ROOT)
    with NatsServer(tmp_path, jetstream=True, config=authorization(users)) as server:
        await serve(server, "", PLENTY)
        assert refusals(server) == {}


async def administer(server: NatsServer, suffix: str, limit: float) -> None:
    """Do all that is the work of `admin`: create the streams, list, replay and drop letters."""
    logger = logging.getLogger("civitas.tests.nats")
    options = NATSOptions(**options_of(server, "admin", suffix, limit))
    await create_streams(options, logger)
    async with bare(server.url, user="root", password="x") as client:
        for _ in range(2):
            await client.jetstream().publish(f"civitas{suffix}.dead.oven", frame_of("burnt"))
    store = NATSDeadLetterStore(options, TransportContext(process="admin", logger=logger))
    try:
        await store.start()
        letters = [each async for each in store.read(Selection())]
        assert len(letters) == 2
        await store.add("oven", letters[0].frame, "1")
        for each in letters:
            await store.remove(each)
        assert (await store.survey(Kept.DEAD)).counts == {}
        [moved] = [each async for each in store.read(Selection(Kept.WAITING, "oven"))]
        await store.add("fridge", moved.frame, "2")
        await store.remove(moved)
        assert (await store.survey(Kept.WAITING)).counts == {"fridge": 1}
    finally:
        await store.stop()


async def test_an_administrator_creates_the_streams_and_works_on_dead_letters(tmp_path):
    users = (*users_of(TITLE).values(), ROOT)
    with NatsServer(tmp_path, jetstream=True, config=authorization(users)) as server:
        await administer(server, "", PLENTY)
        assert refusals(server) == {}


def test_what_has_nothing_to_do_with_streams_is_as_without_them():
    shown = users_of("restaurant.conf")
    for name, user in users_of(TITLE).items():
        for verb, subject in user.lines():
            if "AGENCY" not in subject and "dead" not in subject and name != "admin":
                assert (verb, subject) in shown[name].lines()


@pytest.mark.mutants
async def test_without_any_line_of_them_it_does_not(tmp_path):
    """Lines that are those of core NATS are proved there."""
    users, known = users_of(TITLE), set(lines_of(users_of("restaurant.conf")))
    lines = [each for each in lines_of(users) if each not in known]
    suffixes = {line: [f"-{n}-{again}" for again in range(TRIES)] for n, line in enumerate(lines)}
    config = [
        moved(user.without(line), suffix)
        for line in lines
        for suffix in suffixes[line]
        for user in users.values()
    ]
    turns = asyncio.Semaphore(TOGETHER)
    with NatsServer(tmp_path, jetstream=True, config=authorization([ROOT, *config])) as server:

        async def fails(line: Line) -> bool:
            work: Callable[..., Any] = administer if line.user == "admin" else serve
            for attempt, suffix in enumerate(suffixes[line]):
                async with turns:
                    try:
                        await work(server, suffix, SOON * 2**attempt)
                    except (CivitasError, TimeoutError, AssertionError):
                        if await was_refused(server, f"{line.user}{suffix}"):
                            return True
                    else:
                        return False
            return False

        outcomes = await asyncio.gather(*map(fails, lines))
        assert [line for line, did in zip(lines, outcomes, strict=True) if not did] == []


FORBIDDEN: Final = {
    "guest": [
        "civitas.agent.oven",
        "civitas.dead.front",
        "$JS.API.STREAM.MSG.GET.AGENCY",
        "$JS.API.DIRECT.GET.AGENCY",
        "$JS.API.STREAM.PURGE.AGENCY",
        "$JS.API.STREAM.DELETE.AGENCY",
        "$JS.API.STREAM.UPDATE.AGENCY",
        "$JS.API.STREAM.CREATE.SPY",
        "$JS.API.CONSUMER.CREATE.AGENCY",
        "$JS.API.CONSUMER.CREATE.AGENCY.front.civitas.agent.front",
        "$JS.API.CONSUMER.MSG.NEXT.AGENCY.front",
        "$JS.ACK.AGENCY.front.1.1.1.1.0",
    ],
    "kitchen": [
        "civitas.dead.front",
        "$JS.API.STREAM.MSG.GET.AGENCY",
        "$JS.API.STREAM.PURGE.AGENCY",
        "$JS.API.STREAM.DELETE.AGENCY",
        "$JS.API.STREAM.CREATE.AGENCY",
        "$JS.API.STREAM.UPDATE.AGENCY",
        "$JS.API.CONSUMER.CREATE.AGENCY.oven.civitas.agent.front",
        "$JS.API.CONSUMER.CREATE.AGENCY.oven",
        "$JS.API.CONSUMER.DURABLE.CREATE.AGENCY.oven",
        "$JS.API.CONSUMER.DELETE.AGENCY.front",
        "$JS.API.CONSUMER.MSG.NEXT.AGENCY.front",
        "$JS.ACK.AGENCY.front.1.1.1.1.0",
    ],
    "admin": ["$JS.API.STREAM.PURGE.AGENCY", "$JS.API.STREAM.DELETE.AGENCY", "civitas.dead.oven"],
}
"""What each login must not be able to ask of JetStream, whatever client it uses."""


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_a_login_can_not_ask_of_a_stream_what_is_not_its_own(tmp_path, user):
    users = (*users_of(TITLE).values(), ROOT)
    with NatsServer(tmp_path, jetstream=True, config=authorization(users)) as server:
        async with bare(server.url, user=user, password="x") as client:
            for subject in FORBIDDEN[user]:
                await client.publish(subject, b"{}")
            await taken(client)
        assert refusals(server) == {user: {f"Publish {each}" for each in FORBIDDEN[user]}}
