"""Who subscribes to too much, or takes nothing, is closed; everybody else goes on undisturbed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from civitas_zmq import proxy as proxy_module
from civitas_zmq.options import ZMQOptions
from civitas_zmq.sockets import LONGEST_TOPIC, MAX_SUBSCRIPTION
from support.zmq import Process, ProxyProcess, frame_of, options_for, proxy_with, started, until
from support.zmtp import RawPeer, command, connected, message

pytestmark = pytest.mark.slow

MEBIBYTE = 1 << 20

ZMTP_2_SUBSCRIBER = b"\xff" + bytes(8) + b"\x7f" + b"\x01\x02" + b"\0\0"


def subscription(number: int, size: int = 200) -> bytes:
    """A subscription that shares next to nothing with others in libzmq's tree."""
    return message(b"\1" + number.to_bytes(4, "big") + bytes(size - 4))


def subscriptions(count: int, size: int = 200, *, first: int = 0) -> bytes:
    return b"".join(subscription(first + number, size) for number in range(count))


def at(scheme: str, folder: Path) -> dict[str, str]:
    """Addresses of a scheme."""
    if scheme == "tcp":
        return {}
    return {"pub_addr": f"ipc://{folder}/pub", "sub_addr": f"ipc://{folder}/sub"}


class System:
    """Two processes at a proxy in a process of its own, of which one asks the other."""

    def __init__(self, proxy: ProxyProcess, options: ZMQOptions) -> None:
        self.proxy = proxy
        self.processes = [Process(options), Process(options)]
        self._received = 0
        self._inbox = None

    async def listen(self) -> None:
        [self._inbox] = await self.processes[0].listen("agent")

    async def answers(self, frame: bytes = frame_of()) -> None:
        """Fail unless a frame arrives, with no connection lost since the start."""
        await self.processes[1].transport.publish("agent", frame)
        self._received += 1
        await self._inbox.first(self._received)
        assert [process.link_events for process in self.processes] == [[], []]

    async def until_closed(self, *hostile: RawPeer) -> None:
        """Go on until the proxy has closed each connection."""
        for peer in hostile:
            async with asyncio.timeout(60):
                while not peer.is_closed():
                    await self.answers()
                    await asyncio.sleep(0.01)
        await self.answers()


@asynccontextmanager
async def system(folder: Path, **options: object) -> AsyncIterator[System]:
    chosen = options_for(start_proxy=False, **options)
    with proxy_with(folder, chosen) as proxy:
        running = System(proxy, chosen)
        await running.listen()
        async with started(*running.processes):
            yield running


async def hung_up(connection: socket.socket) -> None:
    """Read until the other side has closed."""
    with suppress(ConnectionResetError):
        while await asyncio.to_thread(connection.recv, 4096):
            continue


async def flood(peer: RawPeer, data: bytes) -> None:
    """Send until all is sent, or the other side has closed; nobody else has to wait for it."""
    with suppress(OSError):
        await asyncio.to_thread(peer.send, data)


@pytest.mark.parametrize("size", [1 << 10, 500_000, 4_000_000])
async def test_a_subscription_longer_than_any_topic_closes_its_connection(tmp_path, size):
    """Trap: libzmq's tree of such a topic ended the process when its sender left."""
    async with system(tmp_path) as running:
        with RawPeer(running.processes[0].options.sub_addr) as hostile:
            before = running.proxy.memory()
            await flood(hostile, subscription(0, size))
            await running.until_closed(hostile)
            assert running.proxy.memory() - before < 20 * MEBIBYTE


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
async def test_who_holds_too_many_subscriptions_is_closed(tmp_path, scheme):
    limit = 4 * MEBIBYTE
    async with system(tmp_path, max_subscription_bytes=limit, **at(scheme, tmp_path)) as running:
        before = running.proxy.memory()
        with RawPeer(running.processes[0].options.sub_addr) as hostile:
            await flood(hostile, subscriptions(100_000))
            await running.until_closed(hostile)
            assert running.proxy.memory() - before < 512 * MEBIBYTE  # all of them: 1 GiB


async def test_of_many_who_hold_too_many_together_those_who_came_first_stay(tmp_path):
    limit = 64 << 10
    each = limit * 9 // 10 // (200 + 64)
    limits = {"max_subscription_bytes": limit, "max_total_subscription_bytes": 4 * limit}
    async with system(tmp_path, **limits) as running:
        with ExitStack() as connections:
            hostile = []
            for number in range(6):
                peer = RawPeer(running.processes[0].options.sub_addr, alive=True)
                hostile.append(connections.enter_context(peer))
                await flood(peer, subscriptions(each, first=number * each))
                await running.processes[0].transport.wait_ready()
            await running.until_closed(*hostile[4:])
            assert [peer.is_closed() for peer in hostile[:4]] == [False] * 4


@pytest.mark.parametrize(
    ("option", "agents"),
    [("max_subscription_bytes", [0, 1200]), ("max_total_subscription_bytes", [600, 600])],
)
async def test_the_log_names_an_agent_of_whom_was_closed_and_the_option(option, agents, caplog):
    limit = 64 << 10
    options = options_for(max_subscription_bytes=limit, max_total_subscription_bytes=limit)
    first, last = Process(options, primary=True), Process(options)
    await first.listen(*(f"waiter-{number:04}" for number in range(agents[0])))
    await last.listen(*(f"cook-{number:04}" for number in range(agents[1])))
    async with started(first):
        await last.transport.start()
        await until(lambda: f"{option} ({limit})" in caplog.text)
        await last.transport.stop()
    assert "with subscriptions of which one is 'cook-" in caplog.text
    assert "waiter" not in caplog.text


async def test_subscribing_and_unsubscribing_without_end_holds_up_nobody(tmp_path):
    async with system(tmp_path) as running:
        with RawPeer(running.processes[0].options.sub_addr) as hostile:
            again = (message(b"\1topic") + message(b"\0topic")) * 100_000
            sending = asyncio.create_task(flood(hostile, again))
            while not sending.done():
                await running.answers()
            await sending


@pytest.mark.parametrize("sent", [b"\2neither", b"", b"hello"])
async def test_what_is_no_subscription_closes_its_connection(tmp_path, sent):
    async with system(tmp_path) as running:
        with RawPeer(running.processes[0].options.sub_addr, b"XSUB") as hostile:
            await flood(hostile, message(sent))
            await running.until_closed(hostile)


async def test_who_speaks_a_protocol_that_names_no_connection_is_not_let_in(tmp_path):
    async with system(tmp_path) as running:
        with connected(running.processes[0].options.sub_addr) as hostile:
            hostile.sendall(ZMTP_2_SUBSCRIBER + b"\0\6\1topic")
            await hung_up(hostile)
            await running.answers()


async def test_a_connection_that_never_says_who_it_is_is_closed(monkeypatch):
    monkeypatch.setattr(proxy_module, "_HANDSHAKE_MILLISECONDS", 200)
    options = options_for()
    async with started(Process(options, primary=True)):
        for address in (options.pub_addr, options.sub_addr):
            with connected(address) as silent:
                await hung_up(silent)


# --- bytes that wait -----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
async def test_who_takes_nothing_but_answers_pings_is_closed(tmp_path, scheme):
    limit = 32 * MEBIBYTE
    async with system(tmp_path, max_queue_bytes=limit, **at(scheme, tmp_path)) as running:
        with RawPeer(running.processes[0].options.sub_addr, alive=True) as hostile:
            hostile.send(message(b"\1agent"))
            await running.processes[0].transport.wait_ready()
            before, frame = running.proxy.memory(), frame_of(bytes(MEBIBYTE))
            for _ in range(320):
                await running.answers(frame)
            assert running.proxy.memory() - before < 6 * limit
            assert hostile.has_been_closed()


async def test_who_takes_a_little_is_closed_as_well(tmp_path):
    limit = 32 * MEBIBYTE
    async with system(tmp_path, max_queue_bytes=limit) as running:
        with RawPeer(running.processes[0].options.sub_addr, alive=True) as hostile:
            hostile.send(message(b"\1agent"))
            await running.processes[0].transport.wait_ready()
            before, frame = running.proxy.memory(), frame_of(bytes(MEBIBYTE))
            with suppress(OSError):
                for _ in range(320):
                    await running.answers(frame)
                    hostile.take(100_000)
            assert running.proxy.memory() - before < 6 * limit
            assert hostile.has_been_closed()


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
async def test_who_takes_all_is_never_closed_however_much_it_is(tmp_path, scheme):
    limit = 64 * MEBIBYTE
    async with system(tmp_path, max_queue_bytes=limit, **at(scheme, tmp_path)) as running:
        frame = frame_of(bytes(MEBIBYTE))
        for _ in range(100):
            await asyncio.gather(*(running.answers(frame) for _ in range(8)))


def test_the_longest_subscription_fits_with_what_curve_adds():
    assert len(command(b"SUBSCRIBE", bytes(LONGEST_TOPIC))) + 33 <= MAX_SUBSCRIPTION
