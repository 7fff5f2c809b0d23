"""From the stream to the handler: order, retries, dead letters, and who takes over from whom."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nats.js.api import RawStreamMsg

from civitas.errors import DeserializationError, FrameError
from civitas_nats.subjects import consumer_name
from support.commands import Running
from support.nats.nodes import Held, Node, bare, body_of, durable, failed, frame_of, until, within
from support.nats.server import NatsServer

TESTS = Path(__file__).parents[1]


def numbered(first: int, last: int) -> list[str]:
    """Return bodies that tell their order."""
    return [f"{number}" for number in range(first, last + 1)]


async def consumer_of(server: NatsServer, node: Node, agent: str = "worker") -> dict:
    """Return what the server says of an agent's consumer."""
    async with bare(server.url) as client:
        info = await client.jetstream().consumer_info(
            node.options.stream_name, consumer_name(agent)
        )
    return info.as_dict()


async def stream_of(server: NatsServer, node: Node) -> dict:
    """Return the state of the stream."""
    return server.streams()[node.options.stream_name]["state"]


async def dead_letters(server: NatsServer, node: Node) -> list[RawStreamMsg]:
    """Return the dead letters, the oldest first."""
    async with bare(server.url) as client:
        stream = client.jetstream()
        name = node.options.dead_letter_stream
        state = (await stream.stream_info(name)).state
        return [
            await stream.get_msg(name, number)
            for number in range(state.first_seq, state.last_seq + 1)
        ]


# --- retries ------------------------------------------------------------------------------------


async def test_a_message_that_fails_twice_is_handled_again_before_the_next(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        if body == "2" and attempt < 2:
            raise failed()

    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", *numbered(1, 4))
        await agent.has_done(4)
        assert agent.given == [("1", 0), ("2", 0), ("2", 1), ("2", 2), ("3", 0), ("4", 0)]


async def test_a_message_that_failed_is_given_again_after_retry_delay(shared_jetstream, unique):
    times: list[float] = []

    async def act(body: str, attempt: int) -> None:
        times.append(time.monotonic())
        if attempt == 0:
            raise failed()

    async with durable(shared_jetstream.url, unique, retry_delay=0.4) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", "1")
        await agent.has_done(1)
        assert times[1] - times[0] >= 0.4


async def test_after_max_deliver_a_message_is_a_dead_letter_and_the_next_is_handled(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        if body == "poison":
            raise failed(f"no good: é\n{attempt}")

    async with durable(shared_jetstream.url, unique, max_deliver=3) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", "poison", "next")
        assert await agent.has_done(1) == ["next"]
        assert agent.given == [("poison", 0), ("poison", 1), ("poison", 2), ("next", 0)]
        (letter,) = await dead_letters(shared_jetstream, node)
        assert letter.subject == f"{unique}-dead.worker"
        assert letter.data == frame_of("poison")
        assert letter.headers is not None
        assert letter.headers["Civitas-Reason"] == r"ValueError: no good: \xe9 2"
        assert letter.headers["Civitas-Deliveries"] == "3"
        assert letter.headers["Civitas-Stream-Sequence"] == "1"
        assert ("given up after max_deliver deliveries", frame_of("poison")) in node.drops


@pytest.mark.parametrize("error", [FrameError, DeserializationError])
async def test_what_can_not_be_read_is_a_dead_letter_at_once(shared_jetstream, unique, error):
    async def act(body: str, attempt: int) -> None:
        if body == "nonsense":
            raise error("gibberish")

    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", "nonsense", "next")
        assert await agent.has_done(1) == ["next"]
        assert agent.given == [("nonsense", 0), ("next", 0)]
        (letter,) = await dead_letters(shared_jetstream, node)
        assert letter.data == frame_of("nonsense")
        assert letter.headers is not None
        assert letter.headers["Civitas-Reason"] == "unreadable: gibberish"


async def test_bytes_that_are_no_frame_are_a_dead_letter_as_they_are(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker")
        await node.transport.publish("worker", b"no frame")
        await node.send("worker", "next")
        assert await agent.has_done(1) == ["next"]
        (letter,) = await dead_letters(shared_jetstream, node)
        assert letter.data == b"no frame"


async def test_a_message_is_acknowledged_only_after_its_handler(shared_jetstream, unique):
    held = Held("1")
    async with durable(shared_jetstream.url, unique) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", "1")
        await held.begun.wait()
        assert (await stream_of(shared_jetstream, node))["messages"] == 1
        held.go_on.set()
        await agent.has_done(1)
        await until(lambda: stream_of(shared_jetstream, node), lambda state: not state["messages"])


# --- the window ---------------------------------------------------------------------------------


async def test_a_handler_that_takes_longer_than_ack_wait_runs_once(shared_jetstream, unique):
    async def act(body: str, attempt: int) -> None:
        if body == "1":
            await asyncio.sleep(1.5)  # it is at work

    async with durable(shared_jetstream.url, unique, ack_wait=0.5) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", *numbered(1, 3))
        await agent.has_done(3)
        assert agent.given == [("1", 0), ("2", 0), ("3", 0)]
        assert (await consumer_of(shared_jetstream, node))["num_redelivered"] == 0
        assert (await consumer_of(shared_jetstream, node))["delivered"]["consumer_seq"] == 3


async def test_a_handler_that_blocks_the_loop_for_longer_than_ack_wait_runs_once(
    shared_jetstream, unique
):
    async def act(body: str, attempt: int) -> None:
        if body == "1":
            time.sleep(1.0)  # noqa: ASYNC251 - as work on a GPU does

    async with durable(shared_jetstream.url, unique, ack_wait=0.3) as node:
        agent = await node.agent("worker", act)
        await node.send("worker", *numbered(1, 3))
        await agent.has_done(3)
        await until(lambda: stream_of(shared_jetstream, node), lambda state: not state["messages"])
        assert agent.given == [("1", 0), ("2", 0), ("3", 0)]


async def test_2000_messages_of_which_some_fail_are_handled_in_order(shared_jetstream, unique):
    chance = random.Random(2000)

    async def act(body: str, attempt: int) -> None:
        if chance.random() < 0.05:
            raise failed()

    options = {"retry_delay": 0, "max_deliver": 50, "max_ack_pending": 64}
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", act)
        sent = numbered(1, 2000)
        for start in range(0, len(sent), 100):
            batch = sent[start : start + 100]
            async with asyncio.TaskGroup() as group:
                for body in batch:
                    group.create_task(node.send("worker", body))
        assert await agent.has_done(2000) == sent
        assert len(agent.given) > 2050


async def test_no_more_than_max_ack_pending_messages_are_held_by_a_process(
    shared_jetstream, unique
):
    held = Held("1")
    async with durable(shared_jetstream.url, unique, max_ack_pending=8) as node:
        agent = await node.agent("worker", held)
        await node.send("worker", *numbered(1, 30))
        await held.begun.wait()
        consumer = await until(
            lambda: consumer_of(shared_jetstream, node), lambda seen: seen["num_ack_pending"] >= 8
        )
        assert consumer["num_ack_pending"] == 8
        assert consumer["config"]["max_ack_pending"] == 8
        held.go_on.set()
        assert await agent.has_done(30) == numbered(1, 30)


async def test_a_window_is_pulled_again_when_half_of_it_is_processed(shared_jetstream, unique):
    """One message at a time would come if it were pulled only when all are processed."""
    held = Held("5")
    async with durable(shared_jetstream.url, unique, max_ack_pending=8) as node:
        await node.agent("worker", held)
        await node.send("worker", *numbered(1, 30))
        await held.begun.wait()
        await until(
            lambda: consumer_of(shared_jetstream, node), lambda seen: seen["num_ack_pending"] == 8
        )
        held.go_on.set()


async def test_a_lost_delivery_is_noticed_and_order_is_kept(shared_jetstream, unique):
    held = Held("1")
    async with durable(shared_jetstream.url, unique) as node, bare(shared_jetstream.url) as thief:
        agent = await node.agent("worker", held)
        await node.send("worker", "1")
        await held.begun.wait()
        stolen = await steal(thief, node)
        await node.send("worker", *numbered(2, 6))
        assert body_of((await stolen.next_msg(10)).data) in numbered(2, 6)
        held.go_on.set()
        assert await agent.has_done(6) == numbered(1, 6)
        assert agent.bodies == numbered(1, 6)


async def test_the_last_delivery_that_is_lost_is_noticed_without_another(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique) as node, bare(shared_jetstream.url) as thief:
        agent = await node.agent("worker")
        stolen = await steal(thief, node)
        sent = 0
        while not stolen.pending_msgs:  # the two are served in turn
            sent += 1
            await node.send("worker", str(sent))
            await until(lambda: len(agent.done) + stolen.pending_msgs == sent)  # noqa: B023
        assert await agent.has_done(sent) == numbered(1, sent)
        assert agent.bodies == numbered(1, sent)


async def steal(thief, node: Node):
    """Have the next message of the worker go to a client that does nothing with it."""
    name = f"{node.options.stream_name}.worker"
    inbox = thief.new_inbox()
    stolen = await thief.subscribe(inbox)
    request = json.dumps({"batch": 1, "expires": 20_000_000_000}).encode()
    await thief.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}", request, inbox)
    await thief.flush()
    return stolen


# --- names --------------------------------------------------------------------------------------


async def test_names_that_look_alike_are_distinct_consumers(shared_jetstream, unique):
    names = [
        "a-b", "a_b", "a%b", "a=b", "a=25b", "a%3Db", "a=3Db", "a~b", "a#b",
        "größe", "groesse", "研究者", "👩‍🔬", "x" * 200, "x" * 199 + "y", "%" * 200, "=" * 200,
        "%" * 199 + "=",
    ]  # fmt: skip
    async with durable(shared_jetstream.url, unique) as node:
        agents = {name: await node.agent(name) for name in names}
        for name in names:
            await node.send(name, f"for {name}")
        for name, agent in agents.items():
            assert await agent.has_done(1) == [f"for {name}"]
        consumers = shared_jetstream.streams()[unique]["consumer_detail"]
        assert len({each["name"] for each in consumers}) == len(names)
        await until(lambda: stream_of(shared_jetstream, node), lambda state: not state["messages"])
        assert [agent.done for agent in agents.values()] == [[f"for {name}"] for name in names]


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


async def test_a_node_whose_agent_was_taken_over_reads_no_more(shared_jetstream, unique, caplog):
    caplog.set_level(logging.WARNING, "civitas.tests.nats")
    first, second = (durable(shared_jetstream.url, unique) for _ in range(2))
    async with first, second:
        before = await first.agent("worker")
        await first.send("worker", "1")
        await before.has_done(1)
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
