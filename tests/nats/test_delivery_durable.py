"""From the stream to the handler: order, retries, dead letters, and who takes over from whom."""

from __future__ import annotations

import asyncio
import json
import random
import time

import pytest

from civitas.errors import DeserializationError, FrameError
from support.nats.inspection import consumer_of, dead_letters, numbered, stream_of
from support.nats.nodes import (
    Held,
    Node,
    bare,
    body_of,
    durable,
    failed,
    frame_of,
    taken,
    until,
    within,
)
from support.tcp_proxy import tcp_proxy

PULL = b"$JS.API.CONSUMER.MSG.NEXT."

# --- retries ------------------------------------------------------------------------------------


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
    held, url = Held("1"), shared_jetstream.url
    async with durable(url, unique, ack_wait=600) as node, bare(url) as thief:
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
    url = shared_jetstream.url
    async with durable(url, unique, ack_wait=600) as node, bare(url) as thief:
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
    await thief.publish(f"{PULL.decode()}{name}", request, inbox)
    await thief.flush()
    return stolen


@pytest.mark.slow
@pytest.mark.parametrize("is_refused", [False, True], ids=["in silence", "no responders"])
async def test_a_pull_request_that_is_lost_is_noticed_and_made_again(
    shared_jetstream, unique, is_refused
):
    """No end of it ever comes: the server knows nothing of it."""

    async def misdirect(data: bytes) -> bytes | None:
        if lost.is_set() or PULL not in data:
            return None
        lost.set()
        return data.replace(PULL, b"elsewhere.")

    lost = asyncio.Event()
    async with (
        bare(shared_jetstream.url) as elsewhere,
        tcp_proxy(shared_jetstream, misdirect) as url,
        durable(url, unique) as node,
    ):
        if not is_refused:
            await elsewhere.subscribe("elsewhere.>")
            await taken(elsewhere)
        agent = await node.agent("worker")
        await within(lost.wait())
        await node.send("worker", "1")
        await agent.has_done(1)
        assert agent.given == [("1", 0)]


# --- names --------------------------------------------------------------------------------------


async def test_names_that_look_alike_are_distinct_consumers(shared_jetstream, unique):
    names = [
        "a-b", "a_b", "a%b", "a=b", "a=25b", "a%3Db", "a=3Db", "a.b", "a=2Eb", "a#b",
        "größe", "groesse", "研究者", "👩‍🔬", "x" * 200, "x" * 199 + "y", "%" * 200, "=" * 200,
        "%" * 199 + "=", "workers.eu.1", "workers", "a." * 99 + "bc",
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
