"""What the permissions of a login forbid: a start says so, and nothing goes without a word."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Worker
from civitas.errors import AccessDeniedError, OutcomeUnknownError
from civitas.plugins import TransportContext
from civitas.transport import Kept
from civitas_nats.client import RefusedError
from civitas_nats.jetstream.dead_letter_store import NATSDeadLetterStore
from civitas_nats.options import NATSOptions
from support.agents import Scripted
from support.nats.nodes import Node, durable, frame_of, until, within
from support.nats.server import NatsServer
from support.nats.starts import SYSTEM

pytestmark = [pytest.mark.slow, pytest.mark.each_release]

LOGIN = {"user": "ali", "password": "sesame"}
REFUSED = "the network refused it"


def forbidding(verb: str, *subjects: str) -> str:
    """Return the configuration of a server at which one login may do all but this."""
    denied = ", ".join(f'"{each}"' for each in subjects)
    permissions = f"{{ {verb}: {{ deny: [{denied}] }} }}"
    return (
        f"authorization {{ users: [ {{ user: ali, password: sesame, permissions: {permissions} }},"
        " { user: root, password: sesame } ] }"
    )


# --- a start ------------------------------------------------------------------------------------


async def test_who_may_not_subscribe_for_an_agent_is_told_and_others_are_not(tmp_path):
    """The client's library gives the subject in small letters, and these are two agents."""
    config = forbidding("subscribe", "civitas.agent.Till")
    with NatsServer(tmp_path, config=config) as server:
        async with Node(server.url, **LOGIN) as node:
            await node.agent("till")
            await within(node.transport.wait_ready())
            await node.agent("Till")
            with pytest.raises(AccessDeniedError, match=r'Subscription to "civitas\.agent\.Till"'):
                await within(node.transport.wait_ready())
            await within(node.transport.unsubscribe("Till"))
            await within(node.transport.wait_ready())


async def test_a_worker_that_may_not_subscribe_for_its_agent_does_not_start(tmp_path):
    with NatsServer(tmp_path, config=forbidding("subscribe", "civitas.agent.till")) as server:
        options = {"nats_servers": server.url, "nats_user": "ali", "nats_password": "sesame"}
        worker = Worker([Scripted("till")], transport="nats", **options)
        with pytest.raises(AccessDeniedError, match="civitas.agent.till"):
            await within(worker.start())
        await within(worker.stop())


async def test_with_its_next_connection_a_login_may_be_allowed_more(tmp_path):
    with NatsServer(tmp_path, config=forbidding("subscribe", "civitas.agent.till")) as server:
        async with Node(server.url, **LOGIN) as node:
            agent = await node.agent("till")
            with pytest.raises(AccessDeniedError):
                await within(node.transport.wait_ready())
            server.configure(forbidding("subscribe", "civitas.agent.other"))
            await asyncio.to_thread(server.restart)
            await until(lambda: node.told == ["down", "up"])
            await within(node.transport.wait_ready())
            async with Node(server.url, **LOGIN) as sender:
                await sender.send("till", "1")
                assert await agent.has_done(1) == ["1"]


async def test_a_request_to_jetstream_that_is_forbidden_fails_the_start_with_the_reason(
    tmp_path, unique
):
    config = forbidding("publish", "$JS.API.STREAM.CREATE.>")
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        node = durable(server.url, unique, send_timeout=60, **LOGIN)
        with pytest.raises(AccessDeniedError, match=rf"JS\.API\.STREAM\.CREATE\.{unique}"):
            await within(node.transport.start(), 10)
        await within(node.transport.stop())


async def test_a_dead_letter_store_that_may_not_ask_jetstream_says_so_at_once(tmp_path, unique):
    config = forbidding("publish", "$JS.API.STREAM.INFO.>")
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        options = NATSOptions(servers=server.url, send_timeout=60, stream_name=unique, **LOGIN)
        store = NATSDeadLetterStore(options, TransportContext())
        await within(store.start())
        with pytest.raises(AccessDeniedError, match=r"JS\.API\.STREAM\.INFO"):
            await within(store.survey(Kept.DEAD), 10)
        await within(store.stop())


# --- what was sent ------------------------------------------------------------------------------


async def test_each_message_that_is_refused_is_counted_as_dropped_and_none_else(tmp_path):
    with NatsServer(tmp_path, config=forbidding("publish", "civitas.agent.till")) as server:
        async with Node(server.url, **LOGIN) as node:
            heard = await node.agent(SYSTEM)
            await within(node.transport.wait_ready())
            for number in range(5):
                await node.send("till", f"{number}")
                await node.send(SYSTEM, f"{number}")
            await heard.has_done(5)
            assert node.drops == [(REFUSED, b"")] * 5
            assert node.told == []


async def test_a_request_that_is_refused_fails_at_once_with_the_reason_and_others_wait(tmp_path):
    with NatsServer(tmp_path, config=forbidding("publish", "civitas.agent.till")) as server:
        async with Node(server.url, **LOGIN) as node:
            ask = node.transport.request
            other = asyncio.ensure_future(ask("oven", frame_of("hello"), 60))
            refused = ask("till", frame_of("hello"), None)
            with pytest.raises(OutcomeUnknownError, match='Publish to "civitas.agent.till"'):
                await within(refused, 10)
            assert not other.done()
            other.cancel()
            await asyncio.wait((other,))


async def test_a_message_for_a_stream_that_is_refused_fails_at_once_with_the_reason(
    tmp_path, unique
):
    config = forbidding("publish", f"{unique}.till")
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        async with durable(server.url, unique, send_timeout=60, **LOGIN) as node:
            with pytest.raises(OutcomeUnknownError, match=rf'Publish to "{unique}\.till"'):
                await within(node.transport.publish("till", frame_of("1")), 10)
            await node.send("oven", "1")


@pytest.mark.parametrize(
    ("text", "what", "subject"),
    [
        ('Permissions Violation for Publish to "a.B"', "publish", "a.B"),
        ('Permissions Violation for Subscription to "a"', "subscription", "a"),
        ('Permissions Violation for Subscription to "a" using queue "q"', "subscription", "a"),
        ('Permissions Violation for Publish to "a"b"', "publish", 'a"b'),
        ('Permissions Violation for Publish with Reply of "a"', "", ""),
    ],
)
def test_the_words_of_a_server_are_read(text, what, subject):
    error = RefusedError(text)
    assert (error.what, error.subject) == (what, subject)
