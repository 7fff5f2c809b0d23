"""How the streams are made, what of a stream that is there does not fit, and what enters them."""

from __future__ import annotations

import asyncio

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from civitas import envelope
from civitas.errors import (
    CivitasError,
    ConfigurationError,
)
from civitas.messages import RESERVED_PREFIX
from civitas.transport.reply_inbox import published_at
from civitas_nats.errors import StreamMismatchError
from support.nats.inspection import state_of
from support.nats.nodes import Node, bare, body_of, durable, frame_of, until, within

SYSTEM = f"{RESERVED_PREFIX}test"


# --- how they are made --------------------------------------------------------------------------


async def test_the_stream_is_a_work_queue_that_refuses_what_has_no_room(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique, max_bytes=102_400):
        config = shared_jetstream.streams()[unique]["config"]
    assert config["retention"] == "workqueue"
    assert config["discard"] == "new"
    assert config["storage"] == "file"
    assert config["subjects"] == [f"{unique}.*"]
    assert config["max_bytes"] == 102_400
    assert config["num_replicas"] == 1
    assert config["duplicate_window"] == 120 * 10**9


async def test_dead_letters_have_a_stream_of_their_own_that_keeps_them(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique):
        config = shared_jetstream.streams()[f"{unique}_DEAD"]["config"]
    assert config["retention"] == "limits"
    assert config["discard"] == "new"
    assert config["storage"] == "file"
    assert config["subjects"] == [f"{unique}-dead.*"]


async def test_nodes_that_start_together_make_one_stream(shared_jetstream, unique):
    nodes = [durable(shared_jetstream.url, unique) for _ in range(5)]
    try:
        await within(asyncio.gather(*(node.transport.start() for node in nodes)))
        await asyncio.gather(*(node.send("worker", "hello") for node in nodes))
        assert state_of(shared_jetstream, unique)["messages"] == 5
    finally:
        await within(asyncio.gather(*(node.transport.stop() for node in nodes)))


@pytest.mark.each_release
async def test_a_cluster_keeps_as_many_copies_as_the_options_say(cluster, unique):
    async with durable(cluster.urls, unique, replicas=3, connect_timeout=20, send_timeout=20):
        streams = cluster.leader(unique).streams()
    assert streams[unique]["config"]["num_replicas"] == 3
    assert streams[f"{unique}_DEAD"]["config"]["num_replicas"] == 3


async def test_a_stream_that_fits_is_used_with_what_is_in_it(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique) as node:
        await node.send("worker", "1")
    async with durable(shared_jetstream.url, unique, create_stream=False) as node:
        agent = await node.agent("worker")
        assert await agent.has_done(1) == ["1"]


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"retention": RetentionPolicy.LIMITS}, "retention is limits, not workqueue"),
        ({"discard": DiscardPolicy.OLD}, "discard is old, not new"),
        ({"subjects": ["elsewhere.>"]}, "subjects is elsewhere.>, not"),
        ({"max_bytes": 5_120_000}, "max_bytes is 5120000, not 1024000"),
        ({"duplicate_window": 1.0}, "duplicate_window is 1 s, less than send_timeout (2 s)"),
    ],
)
async def test_a_stream_that_does_not_fit_is_refused_with_the_difference(
    shared_jetstream, unique, there, said
):
    fits = {
        "name": unique,
        "subjects": [f"{unique}.*"],
        "retention": RetentionPolicy.WORK_QUEUE,
        "discard": DiscardPolicy.NEW,
        "max_bytes": 1_024_000,
        "duplicate_window": 120.0,
    }
    if "subjects" in there:
        there = {"subjects": [f"{unique}.elsewhere.>"]}
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(StreamConfig(**{**fits, **there}))
    node = durable(shared_jetstream.url, unique, max_bytes=1_024_000)
    with pytest.raises(StreamMismatchError) as caught:
        await within(node.transport.start())
    await within(node.transport.stop())
    text = str(caught.value)
    assert f"stream {unique} exists and does not fit" in text
    assert said.replace("elsewhere", f"{unique}.elsewhere") in text
    assert text.count(" is ") == 1, "more was told than the difference"


async def test_a_stream_with_fewer_copies_is_refused(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique):
        pass
    node = durable(shared_jetstream.url, unique, replicas=3)
    with pytest.raises(StreamMismatchError, match="num_replicas is 1, not 3"):
        await within(node.transport.start())
    await within(node.transport.stop())


async def test_a_stream_of_dead_letters_that_does_not_fit_is_refused(shared_jetstream, unique):
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(
            name=f"{unique}_DEAD", subjects=[f"{unique}-dead.*"], discard=DiscardPolicy.OLD
        )
    node = durable(shared_jetstream.url, unique)
    with pytest.raises(StreamMismatchError, match=f"stream {unique}_DEAD exists .* discard is old"):
        await within(node.transport.start())
    await within(node.transport.stop())


async def test_a_stream_of_another_name_with_our_subjects_is_an_error_that_names_the_reason(
    shared_jetstream, unique
):
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(name=f"{unique}other", subjects=[f"{unique}.>"])
    node = durable(shared_jetstream.url, unique)
    with pytest.raises(CivitasError, match=f"stream {unique}.* overlap"):
        await within(node.transport.start())
    await within(node.transport.stop())


async def test_without_create_stream_a_missing_stream_is_an_error_that_says_what_to_create(
    shared_jetstream, unique
):
    node = durable(shared_jetstream.url, unique, create_stream=False)
    with pytest.raises(ConfigurationError) as caught:
        await within(node.transport.start())
    await within(node.transport.stop())
    text = str(caught.value)
    assert f"there is no stream {unique}, and create_stream is off" in text
    assert f"subjects {unique}.*, retention workqueue, discard new" in text
    assert unique not in shared_jetstream.streams()


# --- what enters them ---------------------------------------------------------------------------


async def test_replies_and_system_frames_never_enter_the_stream(shared_jetstream, unique):
    async with (
        durable(shared_jetstream.url, unique) as asker,
        durable(shared_jetstream.url, unique) as other,
    ):

        async def answer(frame: bytes) -> None:
            reply_to = envelope.reply_to_of(frame)
            origin = envelope.Origin(bytes(8), 1)
            reply = envelope.seal(
                b"answer", "msgpack", origin, kind=envelope.KIND_REPLY, reply_to=reply_to
            )
            await other.transport.publish(published_at(reply_to), reply)

        async def hear(frame: bytes) -> None:
            heard.append(body_of(frame))

        heard: list[str] = []
        await other.transport.subscribe("worker", answer)
        await other.transport.subscribe(SYSTEM, hear)
        await within(other.transport.wait_ready())
        for _ in range(10):
            reply = await within(asker.transport.request("worker", frame_of("question"), 10))
            assert body_of(reply) == "answer"
            await asker.send(SYSTEM, "news")
        await until(lambda: heard == ["news"] * 10)
        assert state_of(shared_jetstream, unique)["last_seq"] == 10  # the questions


async def test_the_control_plane_stores_nothing_and_asks_nothing_of_jetstream(server, unique):
    node = durable(server.url, unique)  # a server without JetStream
    assert node.options.jetstream
    control = Node(server.url, control=True, **node.options.model_dump(exclude={"servers"}))
    async with control:
        heard = await control.agent(SYSTEM)
        await within(control.transport.wait_ready())
        await control.send(SYSTEM, "news")
        await heard.has_done(1)


# --- what waits in them -------------------------------------------------------------------------


@pytest.mark.parametrize(("together", "requests"), [(100_000, 1), (3, 3)])
async def test_the_backlog_of_many_agents_is_counted_by_one_request_unless_an_answer_may_be_cut(
    shared_jetstream, unique, monkeypatch, together, requests
):
    monkeypatch.setattr(
        "civitas_nats.jetstream.durable_delivery._COUNTED_TOGETHER", together, raising=True
    )
    expected = {"cook": 2, "cook.2": 1, "waiter": 3}
    async with durable(shared_jetstream.url, unique) as node:
        for name, count in expected.items():
            await node.send(name, *"123"[:count])
        async with bare(shared_jetstream.url) as watcher:
            heard = await watcher.subscribe(f"$JS.API.STREAM.INFO.{unique}")
            await watcher.flush()
            counted = await node.transport.backlog([*expected, "nobody", "away"])
            await watcher.flush()
            assert len([await heard.next_msg(1) for _ in range(requests)]) == requests
            assert heard.pending_msgs == 0
    assert counted == {**expected, "nobody": 0, "away": 0}
