"""Who reads an agent's messages next: after a stop, a crash, a take-over, a lost connection."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.commands import Running
from support.nats.inspection import consumer_of, dead_letters, numbered, stream_of
from support.nats.nodes import Held, Node, bare, durable, failed, frame_of, until, within
from support.nats.server import NatsServer

TESTS = Path(__file__).parents[1]


# --- who takes over -----------------------------------------------------------------------------


async def test_what_a_node_gives_back_in_order_is_given_to_the_next_uncounted_and_in_order(
    shared_jetstream, unique
):
    held = Held("2")
    async with durable(shared_jetstream.url, unique, ack_wait=60) as first:
        before = await first.agent("worker", held)
        await first.send("worker", *numbered(1, 6))
        await held.begun.wait()
    assert before.done == ["1"]
    async with durable(shared_jetstream.url, unique) as second:
        agent = await second.agent("worker")
        await agent.has_done(5)
        assert agent.given == [(body, 0) for body in numbered(2, 6)]


async def test_the_next_node_makes_the_consumer_once_though_messages_were_delivered_before(
    shared_jetstream, unique
):
    """One that kept its deliveries would be found behind, and be made again, message or not."""
    async with durable(shared_jetstream.url, unique) as first:
        before = await first.agent("worker")
        await first.send("worker", "1", "2")
        await before.has_done(2)
    async with durable(shared_jetstream.url, unique) as second:
        agent = await second.agent("worker")
        taken = await consumer_of(shared_jetstream, second)
        await second.send("worker", "3")
        await agent.has_done(1)
        consumer = await consumer_of(shared_jetstream, second)
        assert consumer["created"] == taken["created"]
        assert agent.given == [("3", 0)]


async def test_a_message_that_failed_is_given_to_the_next_node_with_its_count(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        raise failed()

    async with durable(shared_jetstream.url, unique, retry_delay=60) as first:
        before = await first.agent("worker", act)
        await first.send("worker", "1", "2")
        await before.has(1)
    async with durable(shared_jetstream.url, unique) as second:
        agent = await second.agent("worker")
        await agent.has_done(2)
        assert agent.given == [("1", 1), ("2", 0)]


async def test_an_agent_that_is_subscribed_again_gets_what_it_had_not_processed_once(
    shared_jetstream, unique
):
    held = Held("2")
    async with durable(shared_jetstream.url, unique, ack_wait=60) as node:
        before = await node.agent("worker", held)
        await node.send("worker", *numbered(1, 4))
        await held.begun.wait()
        await node.transport.unsubscribe("worker")
        agent = await node.agent("worker")
        await node.send("worker", "5")
        assert await agent.has_done(4) == numbered(2, 5)
        assert before.done == ["1"]


@pytest.mark.slow
async def test_after_a_crash_only_the_message_in_hand_counts_as_given_before(
    shared_jetstream, unique
):
    node = durable(shared_jetstream.url, unique, ack_wait=60)
    with reading("worker", node) as reader:
        async with node:
            await node.send("worker", "1", "hang 2", "3", "4", "5")
            await asyncio.to_thread(reader.until, "given hang 2 0")
            consumer = await until(
                lambda: consumer_of(shared_jetstream, node),
                lambda seen: seen["num_ack_pending"] == 4,
            )
            assert consumer["ack_floor"]["stream_seq"] == 1
            reader.process.kill()
            agent = await node.agent("worker")
            await agent.has_done(4)
            assert agent.given == [("hang 2", 1), ("3", 0), ("4", 0), ("5", 0)]


@pytest.mark.slow
async def test_a_crash_after_a_failure_counts_as_another_delivery(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique, ack_wait=60) as node:
        await node.send("worker", "weak")
        with reading("worker", node) as reader:
            await asyncio.to_thread(reader.until, "given weak 1")
        agent = await node.agent("worker")
        await agent.has_done(1)
        assert agent.given == [("weak", 2)]


@pytest.mark.slow
async def test_a_message_that_kills_its_process_each_time_is_a_dead_letter_in_the_end(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique, ack_wait=60, max_deliver=2) as node:
        await node.send("worker", "1", "poison", "3")
        for attempt in range(2):
            with reading("worker", node) as reader:
                await asyncio.to_thread(reader.until, f"given poison {attempt}")
                await asyncio.to_thread(reader.wait)
        agent = await node.agent("worker")
        await agent.has_done(1)
        assert agent.given == [("3", 0)]
        (letter,) = await dead_letters(shared_jetstream, node)
        assert letter.data == frame_of("poison")
        assert letter.headers is not None
        assert letter.headers["Civitas-Reason"] == "its process ended while it was handled"
        assert letter.headers["Civitas-Deliveries"] == "2"


@pytest.mark.slow
@pytest.mark.each_release
async def test_a_message_that_kills_its_process_behind_a_burst_is_given_no_more_than_max_deliver(
    shared_jetstream, unique
):
    """Which one was in hand, the server can't tell: the acknowledgements of 2 to 5 are not sent."""
    async with durable(shared_jetstream.url, unique, ack_wait=60, max_deliver=2) as node:
        await node.send("worker", *numbered(1, 5), "poison", "7")
        for _ in range(2):
            with reading("worker", node) as reader:
                await asyncio.to_thread(reader.until, "given poison")
                await asyncio.to_thread(reader.wait)
        agent = await node.agent("worker")
        await agent.has_done(1)
        assert agent.given == [("7", 0)]
        (letter,) = await dead_letters(shared_jetstream, node)
        assert letter.headers is not None
        assert letter.headers["Civitas-Deliveries"] == "2"


async def test_a_node_whose_agent_was_taken_over_reads_no_more(shared_jetstream, unique, caplog):
    caplog.set_level(logging.WARNING, "civitas.tests.nats")
    first, second = (durable(shared_jetstream.url, unique) for _ in range(2))
    async with first, second:
        before = await first.agent("worker")
        await first.send("worker", "1")
        await before.has_done(1)
        await until(lambda: stream_of(shared_jetstream, first), lambda state: not state["messages"])
        agent = await second.agent("worker")
        await until(lambda: "another process reads the messages to agent 'worker'" in caplog.text)
        await second.send("worker", *numbered(2, 20))
        assert await agent.has_done(19) == numbered(2, 20)
        assert before.bodies == ["1"]


async def test_what_a_node_holds_when_another_takes_over_is_handled_by_that_one_only(
    shared_jetstream, unique
):
    held = Held("1")
    first, second = (durable(shared_jetstream.url, unique) for _ in range(2))
    async with first, second:
        before = await first.agent("worker", held)
        await first.send("worker", *numbered(1, 6))
        await held.begun.wait()
        await until(
            lambda: consumer_of(shared_jetstream, first), lambda seen: seen["num_ack_pending"] == 6
        )
        agent = await second.agent("worker")
        assert await agent.has_done(6) == numbered(1, 6)
        held.go_on.set()
        await second.send("worker", "7")
        assert await agent.has_done(7) == numbered(1, 7)
        assert before.bodies == ["1"]


async def test_a_node_whose_agent_was_taken_over_ends_its_handler(shared_jetstream, unique):
    async def act(body: str, attempt: int) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise

    begun, ended = asyncio.Event(), asyncio.Event()
    first, second = (durable(shared_jetstream.url, unique) for _ in range(2))
    async with first, second:
        await first.agent("worker", act)
        await first.send("worker", "1")
        await begun.wait()
        agent = await second.agent("worker")
        await within(ended.wait())
        assert await agent.has_done(1) == ["1"]


async def test_a_message_that_fails_at_a_node_whose_agent_was_taken_over_does_not_take_it_back(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        if attempt == 0:
            await write_down(shared_jetstream, unique, "somebody else")
            raise failed()

    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", "1")
        await agent.has(2)
        consumer = await consumer_of(shared_jetstream, node)
        assert consumer["config"]["description"] == "somebody else"


async def write_down(server: NatsServer, stream: str, description: str) -> None:
    """Change the description of the worker's consumer."""
    async with bare(server.url) as client:
        manager = client.jetstream()
        config = (await manager.consumer_info(stream, "worker")).config
        await manager.add_consumer(stream, config, description=description)


async def test_of_two_nodes_that_begin_to_read_together_one_goes_on(shared_jetstream, unique):
    first, second = (durable(shared_jetstream.url, unique) for _ in range(2))
    async with first, second:
        agents = await asyncio.gather(first.agent("worker"), second.agent("worker"))
        sent = 0
        while min(len(agent.done) for agent in agents) == 0 and sent < 20:
            sent += 1
            await first.send("worker", f"{sent}")
        sent += 100
        await first.send("worker", *numbered(sent - 99, sent))
        await until(lambda: {*agents[0].done, *agents[1].done} >= {*numbered(1, sent)})
        owner = json.loads((await consumer_of(shared_jetstream, second))["config"]["description"])
        reader = agents[[first.id, second.id].index(owner["owner"])]
        before = len(reader.done)
        await second.send("worker", *numbered(sent + 1, sent + 50))
        await reader.has_done(before + 50)
        assert reader.done[before:] == numbered(sent + 1, sent + 50)


async def test_a_node_with_other_options_takes_the_consumer_over(shared_jetstream, unique):
    before = {"ack_wait": 60, "max_ack_pending": 64}
    async with durable(shared_jetstream.url, unique, **before) as first:
        await (await first.agent("worker")).has_done(0)
        await first.send("worker", "1")
    async with durable(shared_jetstream.url, unique, ack_wait=5, max_ack_pending=4) as second:
        agent = await second.agent("worker")
        await second.send("worker", *numbered(2, 20))
        await until(lambda: "20" in agent.done)
        config = (await consumer_of(shared_jetstream, second))["config"]
        assert (config["ack_wait"], config["max_ack_pending"]) == (5 * 10**9, 4)


async def test_what_two_nodes_that_are_gone_have_left_is_given_to_the_third(
    shared_jetstream, unique
):
    async with durable(shared_jetstream.url, unique) as first:
        before = [await first.agent("worker", Held("1"))]
        await first.send("worker", "1", "2")
        await before[0].has(1)
        async with durable(shared_jetstream.url, unique) as second:
            before.append(await second.agent("worker", Held("1")))
        async with durable(shared_jetstream.url, unique) as third:
            agent = await third.agent("worker")
            assert await agent.has_done(2) == ["1", "2"]
        assert [each.done for each in before] == [[], []]


# --- the connection -----------------------------------------------------------------------------


async def test_a_connection_that_is_lost_in_the_middle_of_a_window_loses_and_repeats_nothing(
    jetstream, unique
):
    held = Held("2")
    async with durable(jetstream.url, unique, send_timeout=10) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", *numbered(1, 6))
        await held.begun.wait()
        await asyncio.to_thread(jetstream.restart)
        held.go_on.set()
        await node.send("worker", *numbered(7, 9))
        assert await agent.has_done(9) == numbered(1, 9)
        assert agent.given == [(body, 0) for body in numbered(1, 9)]


async def test_a_message_that_is_processed_while_no_server_is_there_is_not_given_again(
    jetstream, unique
):
    held = Held("1")
    async with durable(jetstream.url, unique, send_timeout=10) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", "1", "2")
        await held.begun.wait()
        await asyncio.to_thread(jetstream.kill)
        await until(lambda: node.told == ["down"])
        held.go_on.set()
        await agent.has_done(1)
        await asyncio.to_thread(jetstream.start)
        await agent.has_done(2)
        await node.send("worker", "3")
        await agent.has_done(3)
        assert agent.bodies == ["1", "2", "3"]
        await until(lambda: stream_of(jetstream, node), lambda state: not state["messages"])


@contextmanager
def reading(name: str, node: Node) -> Iterator[Running]:
    """Run a process that reads for an agent."""
    options = node.options.model_dump(mode="json", exclude_unset=True)
    arguments = ["-m", "support.nats.reader", name, json.dumps(options)]
    path = os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
    running = Running(arguments, TESTS, {"PYTHONPATH": path}, command=Path(sys.executable))
    try:
        yield running
    finally:
        running.close()
