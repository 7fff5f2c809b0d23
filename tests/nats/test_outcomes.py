"""Outcomes for a sender: stored once, no room, not sent, or not known; and a full disk."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal

import pytest
from nats.aio.msg import Msg

from civitas.errors import (
    MailboxFullError,
    NotConnectedError,
    OutcomeUnknownError,
    TransportError,
)
from civitas.messages import RESERVED_PREFIX
from support.disks import small_disk
from support.nats.cluster import ELECTED_WITHIN
from support.nats.inspection import state_of, stored
from support.nats.nodes import Held, Node, bare, durable, frame_of, taken, until, within
from support.nats.server import NatsServer

SYSTEM = f"{RESERVED_PREFIX}test"


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


# --- no room ------------------------------------------------------------------------------------


@pytest.mark.each_release
async def test_a_full_stream_is_an_error_to_the_sender_and_nothing_is_lost(
    shared_jetstream, unique
):
    options = {"max_bytes": 10_240, "send_timeout": 0.5}
    async with durable(shared_jetstream.url, unique, **options) as node:
        bodies = [f"{number}".ljust(500, ".") for number in range(40)]
        accepted: list[str] = []
        with pytest.raises(MailboxFullError, match=f"stream {unique} is full .*max_bytes"):
            await send_each(node, bodies, accepted)
        assert 5 < len(accepted) < 30
        agent = await node.agent("worker")
        assert await agent.has_done(len(accepted)) == accepted
        await until(lambda: state_of(shared_jetstream, unique)["messages"] == 0)
        await node.send("worker", "there is room again")
        assert await agent.has_done(len(accepted) + 1) == [*accepted, "there is room again"]


@pytest.mark.each_release
async def test_a_sender_waits_for_room_until_send_timeout(shared_jetstream, unique):
    held = Held("0".ljust(500, "."))
    options = {"max_bytes": 10_240, "send_timeout": 20.0}
    async with durable(shared_jetstream.url, unique, **options) as node:
        agent = await node.agent("worker", held)
        bodies = [f"{number}".ljust(500, ".") for number in range(40)]
        sending = asyncio.ensure_future(send_all(node, bodies))
        await until(lambda: state_of(shared_jetstream, unique)["bytes"] > 9_000)
        assert not sending.done()
        held.go_on.set()
        assert await within(sending) == bodies
        assert sorted(await agent.has_done(40)) == sorted(bodies)


@pytest.mark.each_release
async def test_a_stream_that_is_full_again_and_again_loses_nothing(shared_jetstream, unique):
    """With `discard: new` a server may drop the oldest all the same (nats-server 2.9.10)."""
    chance = random.Random(10_240)
    bodies = [f"{number}".ljust(chance.randrange(5, 3000), ".") for number in range(60)]
    options = {"max_bytes": 10_240, "send_timeout": 60}
    async with durable(shared_jetstream.url, unique, **options) as node:
        sending = asyncio.ensure_future(send_all(node, bodies))
        await until(lambda: state_of(shared_jetstream, unique)["bytes"] > 6_000)
        agent = await node.agent("worker")
        assert await within(sending) == bodies
        assert sorted(await agent.has_done(60)) == sorted(bodies)


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


async def test_a_send_that_is_under_way_at_a_stop_is_told_that_its_outcome_is_unknown(
    jetstream, unique
):
    async with durable(jetstream.url, unique, send_timeout=60, linger=0.3) as node:
        jetstream.pause()
        sending = asyncio.ensure_future(node.send("worker", "1"))
        await asyncio.sleep(0)  # it is handed to the socket
        await within(node.transport.stop(), 10)
        with pytest.raises(OutcomeUnknownError, match="the transport stopped"):
            await within(sending)


async def test_a_stop_waits_for_the_acknowledgements_of_what_is_under_way(jetstream, unique):
    async with durable(jetstream.url, unique, send_timeout=60, linger=20, ping_interval=60) as node:
        jetstream.pause()
        sending = asyncio.ensure_future(node.send("worker", "1"))
        await asyncio.sleep(0)  # it is handed to the socket
        stopping = asyncio.ensure_future(node.transport.stop())
        done, _ = await asyncio.wait((stopping,), timeout=0.2)
        assert not done
        jetstream.resume()
        await within(asyncio.gather(sending, stopping))
    assert await stored(jetstream, unique) == ["1"]


@pytest.mark.each_release
@pytest.mark.slow
async def test_what_is_acknowledged_is_stored_once_though_the_leader_of_the_stream_is_killed(
    cluster, unique
):
    options = {"replicas": 3, "connect_timeout": 20, "send_timeout": 60}
    async with durable(cluster.urls, unique, **options) as node:
        accepted: list[str] = []
        enough = asyncio.Event()
        sending = [asyncio.ensure_future(press(node, f"{n}", accepted, enough)) for n in range(20)]
        await until(lambda: len(accepted) >= 200)
        leader = cluster.leader(unique)
        await asyncio.to_thread(leader.kill)
        before = len(accepted)
        await until(lambda: len(accepted) >= before + 200, seconds=3 * ELECTED_WITHIN)
        enough.set()
        await within(asyncio.gather(*sending))
        left = await asyncio.to_thread(cluster.leader, unique)
        assert sorted(await stored(left, unique)) == sorted(accepted)


async def press(node: Node, name: str, accepted: list[str], enough: asyncio.Event) -> None:
    """Send one message after the other, each of which has to be acknowledged."""
    number = 0
    while not enough.is_set():
        number += 1
        await node.transport.publish("worker", frame_of(f"{name}.{number}"))
        accepted.append(f"{name}.{number}")


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


@pytest.mark.each_release
@pytest.mark.slow
async def test_while_the_disk_is_full_sends_end_in_time_and_all_goes_on_when_there_is_room(
    tmp_path, unique
):
    """Room alone does not help: 2.9.10 stands still until it is started again.

    It answers nothing meanwhile, and neither does 2.15.1; 2.10 says that there is no space left.
    """
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
            is_open = isinstance(caught.value, OutcomeUnknownError | NotConnectedError)
            assert is_open or "no space left" in str(caught.value), caught.value
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


async def test_a_message_for_which_the_disk_has_no_space_is_known_not_to_be_stored(
    shared_jetstream, unique
):
    """The answer of nats-server 2.10, by somebody who takes the place of the stream."""
    details = {"code": 503, "err_code": 10077, "description": "1.blk: no space left on device"}

    async def refuse(message: Msg) -> None:
        await message.respond(json.dumps({"error": details}).encode())

    async with (
        durable(shared_jetstream.url, unique, send_timeout=0.5) as node,
        bare(shared_jetstream.url) as client,
    ):
        await client.jetstream().delete_stream(unique)
        await client.subscribe(f"{unique}.worker", cb=refuse)
        await taken(client)
        with pytest.raises(TransportError, match="not stored: the disk .*no space left") as caught:
            await node.send("worker", "1")
        assert not isinstance(caught.value, OutcomeUnknownError)
