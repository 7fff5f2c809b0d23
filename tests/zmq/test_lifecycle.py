"""Start and stop: what was accepted is sent, and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket

import pytest
import zmq

from civitas.errors import NotConnectedError, TransportError
from civitas.plugins import TransportContext
from civitas.transport import Transport
from civitas_zmq.sockets import topic_of
from civitas_zmq.transport import ZMQTransport
from support.zmq import (
    PATIENCE,
    Process,
    frame_in,
    frame_of,
    options_for,
    proxy_at,
    started,
    until,
    within,
)


async def test_a_stop_loses_nothing_that_publish_accepted():
    options = options_for()
    receiver = Process(options, primary=True)
    [inbox] = await receiver.listen("agent")
    frames = [frame_of(b"%d" % number + b"x" * 100_000) for number in range(300)]
    async with started(receiver):
        sender = Process(options)
        await sender.transport.start()
        await within(sender.transport.wait_ready())
        for frame in frames:
            await sender.transport.publish("agent", frame)
        await within(sender.transport.stop())
        assert await inbox.first(len(frames)) == frames


async def test_a_stop_of_the_primary_lets_its_own_frames_out():
    options = options_for(linger=10.0)  # as long as a busy machine may need
    primary, receiver = Process(options, primary=True), Process(options)
    [inbox] = await receiver.listen("agent")
    frames = [frame_of(b"%d" % number + b"x" * 100_000) for number in range(100)]
    async with started(primary, receiver):
        for frame in frames:
            await primary.transport.publish("agent", frame)
        await within(primary.transport.stop())
        assert await inbox.first(len(frames)) == frames


async def test_a_stop_of_the_proxy_lets_out_what_a_slow_process_has_not_taken():
    options = options_for(linger=PATIENCE)
    primary = Process(options, primary=True)
    frames = [frame_of(b"%d" % number + b"x" * 100_000) for number in range(300)]
    with zmq.Context() as context, context.socket(zmq.SUB) as slow:
        slow.set(zmq.LINGER, 0)
        slow.set(zmq.RCVHWM, 1)  # the rest waits in the proxy, as it is more than the system takes
        slow.subscribe(topic_of("agent"))
        async with started(primary):
            slow.connect(options.sub_addr)
            while not slow.poll(50):  # until the proxy has its subscription
                await primary.transport.publish("agent", frame_of(b"first"))
            for frame in frames:
                await primary.transport.publish("agent", frame)
            stopping = asyncio.create_task(primary.transport.stop())
            await until(lambda: not accepts(options.pub_addr))  # it has closed its sockets
            taken = await asyncio.to_thread(all_until, slow, frames[-1])
            await within(stopping)
    assert [frame for frame in taken if not frame.endswith(b"first")] == frames


def accepts(address: str) -> bool:
    """Return whether somebody listens at an address."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE):
            return True
    except ConnectionError:
        return False


def all_until(subscriber: zmq.Socket[bytes], last: bytes) -> list[bytes]:
    """Return the frames that come, up to one of them, or until none comes any more."""
    taken: list[bytes] = []
    while (not taken or taken[-1] != last) and subscriber.poll(5000):
        taken.append(frame_in(subscriber.recv_multipart()))
    return taken


async def test_a_stop_waits_for_no_proxy_that_is_lost_meanwhile(caplog):
    options = options_for(linger=2 * PATIENCE, heartbeat_interval=0.1, heartbeat_timeout=0.5)
    process = Process(options)
    with proxy_at(options) as proxy:
        await process.transport.start()
        await within(process.transport.wait_ready())
        proxy.pause()  # it takes nothing more, and its silence is noticed after the stop has begun
        await within(process.transport.stop())
    assert process.link_events == ["down"]
    assert caplog.text.count("stopped before the proxy had taken all frames") == 1


async def test_a_handler_that_is_at_work_finishes_and_may_answer():
    options = options_for()
    one, other = Process(options, primary=True), Process(options)
    [answers] = await one.listen("answers")
    begun = asyncio.Event()

    async def work(frame: bytes) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        await other.transport.publish("answers", frame)

    await other.transport.subscribe("worker", work)
    async with started(one, other):
        await one.transport.publish("worker", frame_of())
        await within(begun.wait())
        await within(other.transport.stop())
        await answers.first()


async def test_after_a_stop_nobody_is_ready():
    process = Process(options_for(), primary=True)
    async with started(process):
        pass
    with pytest.raises(NotConnectedError):
        await process.transport.wait_ready()


async def test_a_stop_before_the_proxy_came_ends_those_who_wait():
    process = Process(options_for())
    await process.transport.start()
    waiting = [
        asyncio.create_task(process.transport.wait_ready()),
        asyncio.create_task(process.transport.publish("agent", frame_of())),
    ]
    await asyncio.sleep(0)
    await within(process.transport.stop())
    for each in waiting:
        with pytest.raises(NotConnectedError):
            await within(each)


async def test_a_cancelled_stop_leaves_nothing_open():
    process = Process(options_for(linger=5), primary=True)
    await process.transport.start()
    await within(process.transport.wait_ready())
    stopping = asyncio.create_task(process.transport.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    await within(process.transport.stop())


async def test_it_starts_again_after_a_stop_without_the_subscriptions_of_before():
    process = Process(options_for(), primary=True)
    await process.listen("agent", "_agency.all")
    for _ in range(2):
        async with started(process):
            [inbox] = await process.listen("_agency.all")
            await within(process.transport.wait_ready())
            await process.transport.publish("_agency.all", frame_of())
            await inbox.first()


async def test_a_failed_start_leaves_nothing():
    options = options_for()
    async with started(Process(options, primary=True)):
        for _ in range(3):
            with pytest.raises(TransportError):
                await Process(options, primary=True).transport.start()


async def test_unsubscribing_is_told_to_the_proxy():
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    [before] = await receiver.listen("agent")
    async with started(receiver, sender):
        await receiver.transport.unsubscribe("agent")
        await receiver.transport.unsubscribe("agent")
        await within(receiver.transport.wait_ready())
        await sender.transport.publish("agent", frame_of(b"too late"))
        await within(sender.transport.wait_ready())  # the proxy has had it
        [after] = await receiver.listen("agent")
        await within(receiver.transport.wait_ready())
        await sender.transport.publish("agent", frame_of())
        assert await after.first() == [frame_of()]
    assert before.frames == []
    assert receiver.drops == []


def test_it_needs_no_node_and_is_a_transport():
    transport: Transport = ZMQTransport()
    assert not transport.has_reply_address("_reply.x.1")
    assert ZMQTransport(context=TransportContext()).capabilities.cross_process
