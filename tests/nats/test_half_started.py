"""A start that fails, is cancelled, or is overtaken by a stop is cleaned up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy

from civitas.errors import NotConnectedError, TransportError
from support.cancelling import cancelled_at
from support.nats.impostor import impostor
from support.nats.nodes import Agent, Node, bare, durable, until, within
from support.nats.server import NatsServer
from support.nats.starts import start_fails, works
from support.ports import free_port

STOPPED_AT = ["down", "silent", "still", "without jetstream"]

ROUND_TRIPS_OF_A_START = 4
"""The server's greeting, its first answer, the stream, and the consumer: none comes at once."""


@asynccontextmanager
async def somewhere(kind: str, server: NatsServer) -> AsyncIterator[str]:
    """Have a place at which a start can't end."""
    if kind == "down":
        yield f"nats://127.0.0.1:{free_port()}"
    elif kind == "silent":
        async with impostor(b"") as somebody:
            yield somebody.url
    else:
        if kind == "still":
            server.pause()
        yield server.url


@pytest.mark.parametrize("kind", STOPPED_AT)
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5])
async def test_a_start_that_is_cancelled_leaves_nothing_after_a_stop(server, unique, kind, seconds):
    async with somewhere(kind, server) as url:
        node = durable(url, unique, connect_timeout=60, send_timeout=60)
        await node.agent("worker")
        starting = asyncio.ensure_future(node.transport.start())
        await asyncio.wait((starting,), timeout=seconds)  # it may be anywhere
        starting.cancel()
        await asyncio.wait((starting,))
        assert starting.cancelled()
        async with asyncio.timeout(10):
            await node.transport.stop()


async def test_a_start_that_is_cancelled_at_any_step_leaves_nothing_after_a_stop(
    shared_jetstream, unique
):
    """One place further each time, until it comes to its end."""
    places, was_there = 0, True
    while was_there:
        places += 1
        node = durable(shared_jetstream.url, unique)
        await node.agent("worker")
        was_there = await cancelled_at(places, node.transport.start())
        await within(node.transport.stop())
    assert places > ROUND_TRIPS_OF_A_START


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(server, unique):
    node = durable(server.url, unique, send_timeout=60)  # JetStream is looked for in vain
    starting = asyncio.ensure_future(node.transport.start())
    await until(lambda: len(server.clients()) == 2)
    async with asyncio.timeout(10):
        await node.transport.stop()
    done: Any = await asyncio.wait((starting,), timeout=10)
    assert done[0], "the start went on"
    assert starting.exception() is not None
    await within(node.transport.stop())


async def test_a_failed_start_may_be_tried_again(server):
    await asyncio.to_thread(server.kill)
    node = Node(server.url, connect_timeout=0.3)
    await start_fails(node, NotConnectedError)
    await asyncio.to_thread(server.start)
    async with node:
        await works(node)


async def test_a_start_of_which_one_consumer_is_refused_leaves_none_of_the_others(
    shared_jetstream, unique
):
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(
            name=unique,
            subjects=[f"{unique}.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_consumers=2,
        )
    node = durable(shared_jetstream.url, unique)
    for number in range(8):
        await node.agent(f"agent{number}")
    text = await start_fails(node, TransportError)
    assert "consumer 'agent" in text
    assert "maximum consumers" in text


@pytest.mark.parametrize("consumers", [0, 1, 10])
async def test_a_stop_while_agents_are_subscribed_leaves_none_of_them(
    shared_jetstream, unique, consumers
):
    async with durable(shared_jetstream.url, unique) as node:
        subscribing = [
            asyncio.ensure_future(node.transport.subscribe(f"agent{number}", Agent()))
            for number in range(20)
        ]
        await until(lambda: consumers_of(shared_jetstream, unique) >= consumers)
        await within(node.transport.stop())
        outcomes = await within(asyncio.gather(*subscribing, return_exceptions=True))
        assert {type(each) for each in outcomes} <= {type(None), NotConnectedError}


def consumers_of(server: NatsServer, stream: str) -> int:
    return len(server.streams()[stream].get("consumer_detail", ()))


async def test_an_agent_that_is_unsubscribed_while_it_is_subscribed_gets_nothing(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique) as node:
        before = Agent()
        subscribing = asyncio.ensure_future(node.transport.subscribe("worker", before))
        await asyncio.sleep(0)
        await within(node.transport.unsubscribe("worker"))
        await asyncio.wait((subscribing,))
        agent = await node.agent("worker")
        await node.send("worker", "1", "2")
        assert await agent.has_done(2) == ["1", "2"]
        assert before.given == []
