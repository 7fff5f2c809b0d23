"""Floods: nothing stalls, nothing blocks the loop, and what is bounded is bounded."""

from __future__ import annotations

import asyncio
import time

import pytest
import zmq

from civitas.errors import MessageTooLargeError, NotConnectedError, TransportError
from support.zmq import Process, frame_of, options_for, proxy_at, started, until, within

MANY = 20_000


async def flood(process: Process, address: str, count: int) -> None:
    for number in range(count):
        await process.transport.publish(address, frame_of(b"%d" % number))
        if not number % 500:
            await asyncio.sleep(0)


async def publish_for_ever(process: Process, frame: bytes) -> None:
    """Publish until that raises; fail when one of them waits without an end."""
    while True:
        await within(process.transport.publish("agent", frame))


async def test_a_flood_in_both_directions_does_not_stall():
    options = options_for()
    left, right = Process(options, primary=True), Process(options)
    [at_left], [at_right] = await left.listen("left"), await right.listen("right")
    async with started(left, right):
        await within(asyncio.gather(flood(left, "right", MANY), flood(right, "left", MANY)))
        for inbox in (at_left, at_right):
            assert await inbox.first(MANY) == [frame_of(b"%d" % n) for n in range(MANY)]


async def test_subscribing_under_load_takes_no_signal_away():
    options = options_for()
    left, right = Process(options, primary=True), Process(options)
    [inbox] = await left.listen("left")
    async with started(left, right):
        sending = asyncio.create_task(flood(right, "left", MANY))
        number = 0
        while not sending.done():
            await left.listen(f"other-{number}")
            number += 1
            await asyncio.sleep(0)
        assert len(await inbox.first(MANY)) == MANY
        await within(sending)


async def test_at_the_high_water_mark_a_publish_waits_and_loses_nothing():
    options = options_for(send_hwm=10, max_message_bytes=1 << 20)
    receiver, sender = Process(options_like(options, 50_000), primary=True), Process(options)
    [inbox] = await receiver.listen("agent")
    frames = [frame_of(b"%d" % number + b"x" * 60_000) for number in range(500)]
    async with started(receiver, sender):
        await within(asyncio.gather(*(sender.transport.publish("agent", each) for each in frames)))
        assert await inbox.first(len(frames)) == frames


def options_like(options, mark):
    return type(options)(**{**options.model_dump(), "send_hwm": mark})


@pytest.mark.slow
async def test_a_proxy_that_takes_nothing_fails_the_publish_in_time_and_not_the_loop():
    patient = {"heartbeat_interval": 50, "heartbeat_timeout": 500}
    options = options_for(send_hwm=10, send_timeout=0.2, **patient)
    with proxy_at(options) as proxy:
        process = Process(options_like(options, 10))
        async with started(process):
            proxy.pause()
            body = frame_of(b"x" * 100_000)
            with pytest.raises(TransportError, match="raise send_hwm or send_timeout"):
                await publish_for_ever(process, body)
            proxy.resume()
            await within(process.transport.wait_ready())
            await process.transport.publish("agent", body)


@pytest.mark.slow
async def test_a_publish_that_waits_for_room_fails_when_the_connection_is_lost():
    options = options_for(send_hwm=10, send_timeout=60)
    process = Process(options)
    with proxy_at(options) as proxy:
        async with started(process):
            proxy.pause()
            body = frame_of(b"x" * 100_000)
            with pytest.raises(NotConnectedError):
                await publish_for_ever(process, body)
            assert process.link_events == ["down"]
            proxy.resume()


async def test_a_subscriber_that_does_not_read_holds_up_nobody():
    options = options_for(send_hwm=100, receive_hwm=100)
    receiver, sender = Process(options, primary=True), Process(options_like(options, 50_000))
    [inbox] = await receiver.listen("quick")
    context = zmq.Context()
    idle = context.socket(zmq.SUB)
    try:
        idle.set(zmq.RCVHWM, 1)
        idle.subscribe(b"")
        idle.connect(options.sub_addr)
        async with started(receiver, sender):
            for number in range(2_000):
                await sender.transport.publish("quick", frame_of(b"x" * 10_000))
                if not number % 50:
                    await inbox.first(number)  # in step, as credit windows keep senders
            await inbox.first(2_000)
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("proxy_restarts", [False, True])
async def test_a_process_that_stands_still_with_a_full_queue_goes_on_afterwards(proxy_restarts):
    """Trap: with a heartbeat, libzmq ended a process whose queue was full for that long."""
    quick = {"heartbeat_interval": 0.05, "heartbeat_timeout": 0.1}
    options = options_for(receive_hwm=10, start_proxy=False, **quick)
    receiver, sender = Process(options), Process(options)
    [inbox] = await receiver.listen("agent")
    frames = [frame_of(b"%d" % number + b"x" * 10_000) for number in range(2_000)]
    with proxy_at(options) as proxy:
        async with started(receiver, sender):
            for frame in frames:
                await sender.transport.publish("agent", frame)
            if proxy_restarts:
                proxy.kill()
            time.sleep(0.5)  # noqa: ASYNC251 - what stands still is the subject
            assert len(inbox.frames) < len(frames)
            if proxy_restarts:
                proxy.start()
                await until(lambda: receiver.link_events == ["down", "up"])
                await until(lambda: sender.link_events == ["down", "up"])
            else:
                assert await inbox.first(len(frames)) == frames
            await sender.transport.publish("agent", frame_of(b"last"))
            await until(lambda: inbox.frames[-1:] == [frame_of(b"last")])


async def test_no_socket_with_a_high_water_mark_has_a_heartbeat(monkeypatch):
    chosen: dict[zmq.Socket, dict[int, object]] = {}
    really_set = zmq.Socket.set

    def noted(socket, option, value):
        chosen.setdefault(socket, {})[option] = value
        really_set(socket, option, value)

    monkeypatch.setattr(zmq.Socket, "set", noted)
    async with started(Process(options_for(), primary=True)):
        with_heartbeat = [each for each in chosen.values() if zmq.HEARTBEAT_IVL in each]
        assert [each[zmq.RCVHWM] for each in with_heartbeat] == [0]
        assert sum(each.get(zmq.RCVHWM, 0) > 0 for each in chosen.values()) == 3


async def test_who_sends_a_frame_over_the_limit_learns_which_option_that_is():
    process = Process(options_for(max_message_bytes=2048), primary=True)
    async with started(process):
        with pytest.raises(MessageTooLargeError, match="max_message_bytes"):
            await process.transport.publish("agent", b"x" * 2049)


async def test_a_local_frame_does_not_go_over_the_wire():
    process = Process(options_for(), primary=True)
    [inbox] = await process.listen("agent")
    async with started(process):
        await process.transport.publish("agent", frame_of())
        assert inbox.frames == [frame_of()]  # the handler was awaited by the sender itself
