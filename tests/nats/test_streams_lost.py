"""Streams and consumers that somebody deletes under running nodes."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from civitas.errors import (
    TransportError,
)
from support.nats.inspection import state_of, stored
from support.nats.nodes import Held, bare, durable, failed, until
from support.nats.server import NatsServer


async def test_a_stream_that_is_deleted_under_a_reader_is_made_again(
    shared_jetstream, unique, caplog
):
    caplog.set_level(logging.ERROR, "civitas.tests.nats")
    held = Held("2")
    options = {"send_timeout": 10}
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", "1", "2")
        await held.begun.wait()
        await delete_stream(shared_jetstream, unique)
        await until(lambda: shared_jetstream.streams().get(unique))
        await node.send("worker", "3", "4")
        await until(lambda: "messages to agent 'worker' are lost" in caplog.text)
        held.go_on.set()
        await agent.has_done(4)
        assert agent.given == [("1", 0), ("2", 0), ("3", 0), ("4", 0)]
        await until(lambda: state_of(shared_jetstream, unique)["messages"] == 0)


async def test_the_message_in_hand_is_not_acknowledged_into_a_stream_that_was_made_again(
    shared_jetstream, unique
):
    """Its number stands for another message there, which would be lost if this process ended."""
    held, stuck = Held("1"), Held("new")
    async with durable(shared_jetstream.url, unique, send_timeout=10) as node:
        agent = await node.agent("worker", lambda body, attempt: both(held, stuck, body, attempt))
        await node.send("worker", "1")
        await held.begun.wait()
        await delete_stream(shared_jetstream, unique)
        await until(lambda: shared_jetstream.streams().get(unique))
        await node.send("worker", "new")
        await until(lambda: consumers_of(shared_jetstream, unique))
        held.go_on.set()
        await stuck.begun.wait()
        assert agent.done == ["1"]
        assert await stored(shared_jetstream, unique) == ["new"]
    async with durable(shared_jetstream.url, unique) as other:
        assert await (await other.agent("worker")).has_done(1) == ["new"]


async def both(first: Held, second: Held, body: str, attempt: int) -> None:
    await first(body, attempt)
    await second(body, attempt)


def consumers_of(server: NatsServer, name: str) -> list[dict[str, Any]]:
    """Return what the server says of the consumers of a stream."""
    consumers: list[dict[str, Any]] = server.streams()[name].get("consumer_detail", [])
    return consumers


async def delete_stream(server: NatsServer, name: str) -> None:
    async with bare(server.url) as client:
        await client.jetstream().delete_stream(name)


async def test_a_stream_that_is_deleted_under_a_sender_is_made_again(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique, send_timeout=10) as node:
        await node.send("worker", "lost with the stream")
        await delete_stream(shared_jetstream, unique)
        await node.send("worker", "1", "2")
        assert await stored(shared_jetstream, unique) == ["1", "2"]
        assert shared_jetstream.streams()[unique]["config"]["retention"] == "workqueue"


async def test_a_stream_that_is_deleted_and_must_not_be_created_is_an_error_to_the_sender(
    shared_jetstream, unique, caplog
):
    caplog.set_level(logging.WARNING, "civitas.tests.nats")
    async with durable(shared_jetstream.url, unique):
        pass
    async with durable(shared_jetstream.url, unique, create_stream=False) as node:
        await delete_stream(shared_jetstream, unique)
        with pytest.raises(TransportError, match=f"no stream for this message: {unique}"):
            await node.send("worker", "1")
        assert "create_stream is off" in caplog.text
        assert unique not in shared_jetstream.streams()


async def test_a_consumer_that_is_deleted_underneath_is_made_again_and_order_is_kept(
    shared_jetstream, unique
):
    held = Held("2")
    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", "1", "2", "3", "4")
        await held.begun.wait()
        async with bare(shared_jetstream.url) as client:
            await client.jetstream().delete_consumer(unique, "worker")
        await node.send("worker", "5")
        await until(lambda: consumers_of(shared_jetstream, unique))
        held.go_on.set()
        await agent.has_done(5)
        assert agent.given == [("1", 0), ("2", 0), ("3", 0), ("4", 0), ("5", 0)]
        await until(lambda: state_of(shared_jetstream, unique)["messages"] == 0)


async def test_a_consumer_that_is_deleted_while_nothing_is_there_is_made_again(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker")
        async with bare(shared_jetstream.url) as client:
            await client.jetstream().delete_consumer(unique, "worker")
        await node.send("worker", "1")
        assert await agent.has_done(1) == ["1"]


async def test_a_stream_of_dead_letters_that_is_deleted_underneath_is_made_again(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        if body == "poison":
            raise failed()

    options = {"send_timeout": 10, "max_deliver": 1}
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", act)
        await delete_stream(shared_jetstream, f"{unique}_DEAD")
        await node.send("worker", "poison", "next")
        assert await agent.has_done(1) == ["next"]
        assert await stored(shared_jetstream, f"{unique}_DEAD") == ["poison"]


async def test_a_message_that_can_not_be_put_aside_stays_in_the_stream(
    shared_jetstream, unique, caplog
):
    """And those behind it wait: what cannot be kept must not be lost."""
    caplog.set_level(logging.WARNING, "civitas.tests.nats")

    async def act(body: str, attempt: int) -> None:
        if body == "poison":
            raise failed()

    options = {"create_stream": False, "send_timeout": 0.5, "max_deliver": 1}
    async with durable(shared_jetstream.url, unique):
        pass
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", act)
        await delete_stream(shared_jetstream, f"{unique}_DEAD")
        await node.send("worker", "poison", "next")
        await until(lambda: "a dead letter of 'worker' is not stored" in caplog.text)
        assert await stored(shared_jetstream, unique) == ["poison", "next"]
        assert agent.given == [("poison", 0)]
        async with durable(shared_jetstream.url, unique):  # makes it again
            assert await agent.has_done(1) == ["next"]
            assert await stored(shared_jetstream, f"{unique}_DEAD") == ["poison"]
