"""The process that runs the proxy: it connects within its context, and all promises hold there."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest
import zmq

from civitas.errors import NotConnectedError, TransportError
from civitas_zmq.limits import ConnectionLimits
from civitas_zmq.publisher import Publisher
from civitas_zmq.sockets import publisher_socket
from support.failing import raising
from support.zmq import Process, frame_in, frame_of, options_for, started, until, within


@pytest.fixture
def places(monkeypatch):
    """The addresses that sockets are connected to."""
    noted: list[str] = []
    really_connect = zmq.Socket.connect

    def connect(socket, address):
        if (
            "monitor" not in address and "steer" not in address
        ):  # the network's own, and the proxy's
            noted.append(address)
        return really_connect(socket, address)

    monkeypatch.setattr(zmq.Socket, "connect", connect)
    return noted


class Halt:
    """Has proxies take nothing from some moment on, until they are stopped."""

    def __init__(self) -> None:
        self._is_wanted, self._is_seen = threading.Event(), threading.Event()
        self._really_forward = zmq.proxy_steerable

    def forward(self, front, back, capture, control) -> None:
        while self._is_wanted.is_set():
            self._is_seen.set()
            control.recv()  # raises when the context is terminated
        self._really_forward(front, back, capture, control)

    async def the_proxy_of(self, process: Process) -> None:
        self._is_wanted.set()
        await process.listen("_agency.halt")  # for a subscription it stops forwarding
        await until(self._is_seen.is_set)


@pytest.fixture
def halt(monkeypatch):
    halt = Halt()
    monkeypatch.setattr(zmq, "proxy_steerable", halt.forward)
    return halt


async def test_it_connects_within_its_context_and_all_others_over_the_network(places):
    options = options_for()
    primary, other = Process(options, primary=True), Process(options)
    async with started(primary):
        assert places == ["inproc://civitas.pub", "inproc://civitas.sub"]
        places.clear()
        async with started(other):
            assert places == [options.pub_addr, options.sub_addr]


async def test_without_a_proxy_of_its_own_a_primary_connects_over_the_network(places):
    options = options_for(start_proxy=False)
    process = Process(options, primary=True)
    await process.transport.start()
    assert places == [options.pub_addr, options.sub_addr]
    await process.transport.stop()


async def test_two_of_one_process_hear_each_its_own_system():
    one, other = (Process(options_for(), primary=True) for _ in range(2))
    [at_one], [at_other] = await one.listen("_agency.all"), await other.listen("_agency.all")
    async with started(one, other):
        await one.transport.publish("_agency.all", frame_of(b"one"))
        await other.transport.publish("_agency.all", frame_of(b"other"))
        assert await at_one.first() == [frame_of(b"one")]
        assert await at_other.first() == [frame_of(b"other")]


async def test_when_the_proxy_fails_the_link_is_down_and_a_publish_says_so(monkeypatch):
    process = Process(options_for(), primary=True)
    async with started(process):
        monkeypatch.setattr(ConnectionLimits, "take", raising(RuntimeError("a defect")))
        await process.listen("agent")
        await until(lambda: process.link_events == ["down"])
        with pytest.raises(NotConnectedError, match="proxy in this process has failed"):
            await within(process.transport.publish("other", frame_of()))
    assert len(process.failures) == 1


async def test_a_start_that_fails_half_way_ends_and_the_next_succeeds(monkeypatch):
    really_connect = zmq.Socket.connect

    def connect(socket, address):
        if address == "inproc://civitas.sub":
            raise zmq.ZMQError(errno.EMFILE)
        return really_connect(socket, address)

    process = Process(options_for(), primary=True)
    with monkeypatch.context() as patched:
        patched.setattr(zmq.Socket, "connect", connect)
        with pytest.raises(zmq.ZMQError):
            await within(process.transport.start())
    async with started(process):
        pass


# --- limits --------------------------------------------------------------------------------------


async def test_more_addresses_than_the_proxy_allows_are_an_error_at_the_start():
    process = Process(options_for(max_subscription_bytes=64 << 10), primary=True)
    await process.listen(*(f"agent-{number:04}" for number in range(1_000)))
    with pytest.raises(TransportError, match="max_subscription_bytes"):
        await within(process.transport.start())


async def test_one_address_more_than_the_proxy_allows_is_an_error_and_fewer_are_none():
    process = Process(options_for(max_subscription_bytes=64 << 10), primary=True)
    async with started(process):
        with pytest.raises(TransportError, match="max_subscription_bytes"):
            await process.listen(*(f"agent-{number:04}" for number in range(1_000)))
        for number in range(1_000):
            await process.transport.unsubscribe(f"agent-{number:04}")
        [inbox] = await process.listen("_agency.all")
        await within(process.transport.wait_ready())
        await process.transport.publish("_agency.all", frame_of())
        await inbox.first()


async def test_at_the_high_water_mark_its_publish_waits_fails_in_time_and_ends_with_a_stop(halt):
    few = {"send_hwm": 10, "receive_hwm": 10}
    process = Process(options_for(send_timeout=0.05, linger=0.05, **few), primary=True)
    async with started(process):
        await halt.the_proxy_of(process)
        while process.transport.offer("agent", frame_of()):
            pass
        with pytest.raises(TransportError, match="raise send_hwm or send_timeout"):
            await within(process.transport.publish("agent", frame_of()))
        waiting = asyncio.create_task(process.transport.publish("agent", frame_of()))
        await asyncio.sleep(0)
        await within(process.transport.stop())
        with pytest.raises(TransportError):
            await within(waiting)


async def test_what_waits_at_the_high_water_mark_is_sent_in_order_when_there_is_room():
    context = zmq.Context()
    try:
        front = context.socket(zmq.SUB)
        front.set(zmq.RCVHWM, 10)
        front.subscribe(b"")
        front.bind("inproc://front")
        socket = publisher_socket(context, options_for(send_hwm=10))
        socket.connect("inproc://front")
        failures: list[BaseException] = []
        publisher = Publisher(socket, 5.0, failures.append)
        while not socket.get(zmq.EVENTS) & zmq.POLLIN:
            front.poll(0)
        frames = [frame_of(b"%d" % number) for number in range(200)]
        sending = asyncio.gather(*(publisher.send(b"agent\0", each) for each in frames))
        await asyncio.sleep(0)
        assert not publisher.offer(b"agent\0", b"")
        read: list[bytes] = []
        while len(read) < len(frames):
            while front.poll(0):
                read.append(frame_in(front.recv_multipart()))
            await asyncio.sleep(0)
        await within(sending)
        assert read == frames
        assert failures == []
        publisher.close()
    finally:
        context.destroy(linger=0)
