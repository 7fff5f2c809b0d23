"""Whoever may use a stream: what others stored stays, and comes where it belongs."""

from __future__ import annotations

from typing import Any, Final

import pytest
from nats.js.api import ConsumerConfig, RePublish, StreamConfig, StreamSource

from civitas_nats.errors import StreamMismatchError
from support.nats.inspection import state_of
from support.nats.nodes import Held, bare, durable, frame_of, until, within
from support.nats.starts import SYSTEM

# --- the headers of a publisher ------------------------------------------------------------------


async def test_no_id_that_others_can_guess_makes_a_message_a_duplicate(shared_jetstream, unique):
    """A stream drops what has an id that it knows, and acknowledges it."""
    async with durable(shared_jetstream.url, unique) as node, bare(shared_jetstream.url) as client:
        await node.send("worker", "1")
        message = await client.jetstream().get_msg(unique, 1)
        known = message.headers["Nats-Msg-Id"]
        head, _, last = known.rpartition(".")
        guesses = [f"{node.id}.{number}" for number in range(1, 20)]
        guesses += [f"{head}.{int(last) + n}" for n in range(1, 20) if last.isdecimal()]
        for guess in guesses:
            headers = {"Nats-Msg-Id": guess}
            await client.jetstream().publish(f"{unique}.other", b"taken", headers=headers)
        await node.send("worker", *map(str, range(2, 10)))
        agent = await node.agent("worker")
        assert await agent.has_done(9) == [str(number) for number in range(1, 10)]


HEADERS: Final[list[dict[str, str]]] = [
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"Nats-Expected-Last-Sequence": "99"},
    {"Nats-Expected-Last-Subject-Sequence": "99"},
    {"Nats-Expected-Last-Msg-Id": "x"},
    {"Nats-Expected-Stream": "OTHER"},
    {"Nats-TTL": "1s"},
    {"Nats-Msg-Size": "99"},
    {"Nats-Last-Consumer": "99"},
    {"Status": "409", "Description": "Consumer Deleted"},
    {"Civitas-Padding": "x" * 4000},
    {"Civitas-Reason": "x", "Civitas-Deliveries": "99", "Civitas-Stream-Sequence": "1"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: next(iter(headers)))
async def test_no_header_of_a_publisher_touches_what_others_have_stored(
    shared_jetstream, unique, headers
):
    async with durable(shared_jetstream.url, unique) as node, bare(shared_jetstream.url) as client:
        await node.send("worker", "1", "2")
        await client.publish(f"{unique}.worker", frame_of("theirs"), headers=headers)
        await node.send("worker", "3")
        agent = await node.agent("worker")
        done = await agent.has_done(3)
        assert [body for body in done if body != "theirs"] == ["1", "2", "3"]
        assert {attempt for _, attempt in agent.given} == {0}
        await until(lambda: state_of(shared_jetstream, unique)["messages"] == 0)


# --- a stream, or a consumer, that somebody else has made ----------------------------------------


FOREIGN: Final[dict[str, dict[str, Any]]] = {
    "allow_rollup_hdrs": {"allow_rollup_hdrs": True},
    "republish": {"republish": RePublish(src=">", dest="spied.>")},
    "sources": {"sources": [StreamSource(name="ELSEWHERE")]},
    "sealed": {"sealed": True},
}
"""What a stream of our name may be made with, so that messages are lost, read or added."""


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("suffix", ["", "_DEAD"], ids=["messages", "dead letters"])
async def test_a_stream_that_loses_or_gives_away_messages_is_not_used(
    jetstream, unique, what, suffix
):
    async with durable(jetstream.url, unique):
        pass
    async with bare(jetstream.url) as client:
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="ELSEWHERE", subjects=["elsewhere"]))
        made = (await stream.stream_info(unique + suffix)).config
        await stream.delete_stream(unique + suffix)
        values = {**FOREIGN[what]}
        sealed = values.pop("sealed", False)
        await stream.add_stream(made.evolve(**values))
        if sealed:
            await stream.update_stream(made.evolve(sealed=True))
    node = durable(jetstream.url, unique)
    with pytest.raises(StreamMismatchError, match=f"{unique}{suffix} exists .*{what} is"):
        await within(node.transport.start())
    await within(node.transport.stop())


async def test_a_consumer_that_somebody_else_has_made_does_not_keep_its_agent_out(
    jetstream, unique
):
    async with durable(jetstream.url, unique) as node:
        await node.send("worker", "1", "2")
    for odd in (
        {"deliver_subject": "spied"},
        {"headers_only": True},
        {"filter_subject": f"{unique}.other"},
        {"max_deliver": 1, "ack_wait": 0.01},
    ):
        async with bare(jetstream.url) as client:
            stream = client.jetstream()
            fits = {"durable_name": "worker", "filter_subject": f"{unique}.worker"}
            config = ConsumerConfig(**{**fits, "ack_policy": "explicit", **odd})
            await stream.add_consumer(unique, config)
        async with durable(jetstream.url, unique) as node:
            held = Held("1")
            agent = await node.agent("worker", held)
            await within(held.begun.wait())
            assert agent.given == [("1", 0)]
            await node.transport.stop()
        async with bare(jetstream.url) as client:
            await client.jetstream().delete_consumer(unique, "worker")


# --- what a server delivers elsewhere ------------------------------------------------------------


async def test_what_a_server_delivers_to_another_subject_than_its_own_is_dropped(jetstream, unique):
    """Who may pull from a consumer names the subject to which the server delivers."""
    async with durable(jetstream.url, unique) as node, bare(jetstream.url) as client:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        stream = client.jetstream()
        await stream.add_consumer(
            unique, durable_name="theirs", filter_subject=f"{unique}.theirs", ack_policy="explicit"
        )
        await client.publish(f"{unique}.theirs", frame_of("forged"))
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{unique}.theirs"
        await client.publish(pull, b"1", reply=f"{unique}.{SYSTEM}")
        await until(lambda: node.drops)
        await node.send(SYSTEM, "right")
        assert await heard.has_done(1) == ["right"]
        assert [reason for reason, _ in node.drops] == ["delivered to another subject than its own"]


async def test_what_a_server_answers_to_somebody_who_names_our_subject_is_no_frame(
    jetstream, unique
):
    async with durable(jetstream.url, unique) as node, bare(jetstream.url) as client:
        heard = await node.agent(SYSTEM)
        await within(node.transport.wait_ready())
        reply = f"{unique}.{SYSTEM}"
        await client.publish(f"{unique}.other", frame_of("x"), reply=reply)
        await client.publish("$JS.API.STREAM.INFO." + unique, b"", reply=reply)
        await until(lambda: len(node.drops) == 2)
        await node.send(SYSTEM, "right")
        assert await heard.has_done(1) == ["right"]
