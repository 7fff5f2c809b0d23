"""What the transport has going on never ends in silence: its node hears of it."""

from __future__ import annotations

import asyncio

import pytest

from civitas.transport import Dispatcher
from civitas_nats.jetstream.acknowledgements import Acknowledger
from support.failing import DEFECTS, cancel, raising
from support.nats.nodes import Node, durable, until


async def failure_of(node: Node) -> str:
    await until(lambda: node.failures)
    return str(node.failures[0])


@pytest.mark.parametrize("kind", DEFECTS)
async def test_a_reader(shared_nats, monkeypatch, kind):
    monkeypatch.setattr(Dispatcher, "deliver", raising(kind("a defect")))
    async with Node(shared_nats.url) as node:
        await node.agent("_agency.news")
        await node.transport.wait_ready()
        await node.send("_agency.news", "1")
        assert f"has ended unexpectedly: {kind.__name__}: a defect" in await failure_of(node)


async def test_the_keeper_of_a_connection(shared_nats):
    async with Node(shared_nats.url) as node:
        cancel(f"civitas nats node {node.id}")
        assert f"'civitas nats node {node.id}' has ended" in await failure_of(node)


@pytest.mark.parametrize(
    "task",
    [
        "civitas nats agent worker",
        "civitas nats reader worker",
        "civitas nats acks",
        "civitas nats node {id} jetstream",
    ],
)
async def test_a_task_of_durable_delivery(shared_jetstream, unique, task):
    async with durable(shared_jetstream.url, unique) as node:
        await node.agent("worker")
        cancel(task.format(id=node.id))
        assert f"{task.format(id=node.id)!r} has ended" in await failure_of(node)


async def test_a_reader_whose_acknowledgements_fail(shared_jetstream, unique, monkeypatch):
    async with durable(shared_jetstream.url, unique) as node:
        await node.agent("worker")
        monkeypatch.setattr(Acknowledger, "settle", raising(SystemExit("a defect")))
        await node.send("worker", "1")
        assert "SystemExit: a defect" in await failure_of(node)
        monkeypatch.undo()


@pytest.mark.parametrize("kind", [*DEFECTS, asyncio.CancelledError])
async def test_a_handler_that_raises_anything_is_called_again(shared_jetstream, unique, kind):
    async def act(body: str, attempt: int) -> None:
        if len(agent.given) == 1:
            raise kind("on purpose")

    async with durable(shared_jetstream.url, unique, retry_delay=0.05) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", "1")
        assert await agent.has_done(1) == ["1"]
    assert node.failures == []
