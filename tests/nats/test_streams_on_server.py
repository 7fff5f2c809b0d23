"""What is stored: how the streams are made, what enters them, and what if they fill or vanish."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from civitas import envelope
from civitas.errors import (
    CivitasError,
    ConfigurationError,
    MailboxFullError,
    NotConnectedError,
    OutcomeUnknownError,
    TransportError,
)
from civitas.messages import RESERVED_PREFIX
from civitas.transport.reply_inbox import published_at
from civitas_nats.errors import StreamMismatchError
from support.disks import small_disk
from support.nats.nodes import Held, Node, bare, body_of, durable, frame_of, until, within
from support.nats.server import NatsServer

SYSTEM = f"{RESERVED_PREFIX}test"


def state_of(server: NatsServer, name: str) -> dict[str, Any]:
    """Return the state of a stream: counts of messages and bytes, the first and last number."""
    state: dict[str, Any] = server.streams()[name]["state"]
    return state


async def stored(server: NatsServer, name: str) -> list[str]:
    """Return the bodies of all that is in a stream, in order."""
    async with bare(server.url) as client:
        stream = client.jetstream()
        state = (await stream.stream_info(name)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [body_of((await stream.get_msg(name, number)).data) for number in numbers]


async def send_all(node: Node, bodies: list[str]) -> list[str]:
    """Send to the worker all at once; return what was acknowledged, and raise nothing of ours."""

    async def send(body: str) -> str:
        await node.transport.publish("worker", frame_of(body))
        return body

    sent = await asyncio.gather(*map(send, bodies), return_exceptions=True)
    return [each for each in sent if isinstance(each, str)]


async def send_each(node: Node, bodies: list[str], accepted: list[str]) -> None:
    """Send to the worker one after the other, and note what was acknowledged."""
    for body in bodies:
        await within(node.send("worker", body), 3 * node.options.send_timeout)
        accepted.append(body)


# --- how they are made --------------------------------------------------------------------------


async def test_the_stream_is_a_work_queue_that_refuses_what_has_no_room(shared_jetstream, unique):
    async with durable(shared_jetstream.url, unique, max_bytes=100_000):
        config = shared_jetstream.streams()[unique]["config"]
    assert config["retention"] == "workqueue"
    assert config["discard"] == "new"
    assert config["storage"] == "file"
    assert config["subjects"] == [f"{unique}.*"]
    assert config["max_bytes"] == 100_000
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
        ({"max_bytes": 5_000_000}, "max_bytes is 5000000, not 1000000"),
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
        "max_bytes": 1_000_000,
        "duplicate_window": 120.0,
    }
    if "subjects" in there:
        there = {"subjects": [f"{unique}.elsewhere.>"]}
    async with bare(shared_jetstream.url) as client:
        await client.jetstream().add_stream(StreamConfig(**{**fits, **there}))
    node = durable(shared_jetstream.url, unique, max_bytes=1_000_000)
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
            reply = envelope.with_reply_to(frame_of("answer"), reply_to)
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


# --- no room ------------------------------------------------------------------------------------


async def test_a_full_stream_is_an_error_to_the_sender_and_nothing_is_lost(
    shared_jetstream, unique
):
    options = {"max_bytes": 10_000, "send_timeout": 0.5}
    async with durable(shared_jetstream.url, unique, **options) as node:
        bodies = [f"{number}".ljust(500, ".") for number in range(40)]
        accepted: list[str] = []
        with pytest.raises(MailboxFullError, match=f"stream {unique} is full .*max_bytes"):
            await send_each(node, bodies, accepted)
        assert 10 < len(accepted) < 20
        agent = await node.agent("worker")
        assert await agent.has_done(len(accepted)) == accepted
        await until(lambda: state_of(shared_jetstream, unique)["messages"] == 0)
        await node.send("worker", "there is room again")
        assert await agent.has_done(len(accepted) + 1) == [*accepted, "there is room again"]


async def test_a_sender_waits_for_room_until_send_timeout(shared_jetstream, unique):
    held = Held("0".ljust(500, "."))
    options = {"max_bytes": 10_000, "send_timeout": 20.0}
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", held)
        bodies = [f"{number}".ljust(500, ".") for number in range(40)]
        sending = asyncio.ensure_future(send_all(node, bodies))
        await until(lambda: state_of(shared_jetstream, unique)["bytes"] > 9_000)
        assert not sending.done()
        held.go_on.set()
        assert await within(sending) == bodies
        assert sorted(await agent.has_done(40)) == sorted(bodies)


# --- streams and consumers that vanish ----------------------------------------------------------


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


# --- what became of it --------------------------------------------------------------------------


async def test_what_is_acknowledged_is_stored_once_though_the_server_is_killed_in_between(
    jetstream, unique
):
    async with durable(jetstream.url, unique, send_timeout=20) as node:
        bodies = [f"{number}" for number in range(500)]
        sending = asyncio.ensure_future(send_all(node, bodies))
        await until(lambda: state_of(jetstream, unique)["messages"] > 0)
        await asyncio.to_thread(jetstream.restart)
        assert await within(sending) == bodies
        assert sorted(await stored(jetstream, unique), key=int) == bodies


async def test_a_message_whose_acknowledgement_is_lost_is_sent_again_and_stored_once(
    jetstream, unique
):
    """Paused, a server has taken what it has not acknowledged; it is sent again when it goes on."""
    async with durable(jetstream.url, unique, send_timeout=20) as node:
        jetstream.pause()
        sending = asyncio.ensure_future(node.send("worker", "1"))
        await until(lambda: node.told == ["down"])
        jetstream.resume()
        await within(sending)
        assert await stored(jetstream, unique) == ["1"]
        await node.send("worker", "2")
        assert await stored(jetstream, unique) == ["1", "2"]


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_of_what_was_sent_and_never_acknowledged_the_outcome_is_unknown(
    jetstream, unique, fault
):
    async with durable(jetstream.url, unique, send_timeout=1.0) as node:
        jetstream.pause()
        sending = [asyncio.ensure_future(node.send("worker", f"{n}")) for n in range(3)]
        await asyncio.sleep(0)  # it is handed to the socket
        if fault is signal.SIGKILL:
            jetstream.kill()
        for each in sending:
            with pytest.raises(OutcomeUnknownError, match=f"stream {unique} .*may or may not"):
                await within(each)


async def test_what_could_not_be_sent_at_all_is_known_not_to_be_stored(jetstream, unique):
    async with durable(jetstream.url, unique, send_timeout=1.0) as node:
        jetstream.kill()
        await until(lambda: node.told == ["down"])
        with pytest.raises(NotConnectedError) as caught:
            await node.send("worker", "1")
        assert not isinstance(caught.value, OutcomeUnknownError)
        jetstream.start()
        await node.send("worker", "2")
        assert await stored(jetstream, unique) == ["2"]


# --- a full disk --------------------------------------------------------------------------------


@pytest.mark.slow
async def test_while_the_disk_is_full_sends_end_in_time_and_all_goes_on_when_there_is_room(
    tmp_path, unique
):
    """Room alone does not help: nats-server 2.9.10 stands still until it is started again."""
    with (
        small_disk(tmp_path / "disk", megabytes=8) as disk,
        NatsServer(tmp_path, jetstream=True, store=disk, max_file_store=1 << 30) as server,
    ):
        options = {"send_timeout": 1.0, "connect_timeout": 20}
        async with durable(server.url, unique, **options) as node:
            heard = await node.agent(SYSTEM)
            await within(node.transport.wait_ready())
            filler = disk / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(disk).free - 1_000_000))
            accepted: list[str] = []
            bodies = [f"{number}".ljust(50_000, ".") for number in range(100)]
            with pytest.raises(TransportError) as caught:
                await send_each(node, bodies, accepted)
            assert isinstance(caught.value, OutcomeUnknownError | NotConnectedError)
            for number in range(10):
                await node.send(SYSTEM, f"{number}")
                await heard.has_done(number + 1)
            assert node.told == []  # the link, over which heartbeats and replies travel

            filler.unlink()
            await asyncio.to_thread(server.restart)
            await until(lambda: send_all(node, ["room"]))
            agent = await node.agent("worker")
            done = await until(lambda: agent.done, lambda done: "room" in done)
            assert [body for body in done if body in accepted] == accepted
