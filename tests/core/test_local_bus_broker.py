"""The broker of the local bus: what it survives, what it counts, and that there is one."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas import envelope
from civitas.envelope import Origin
from civitas.errors import TransportError
from support.local_bus import wire
from support.local_bus.broker import Broker, BrokerRunningError
from support.local_bus.peers import eventually, peers, soon
from support.local_bus.testbed import DEADLINE, environment

SYSTEM = "_agency.news"
FRAME = envelope.seal(b"hello", "json", Origin(b"12345678", 1))


def connect(path: Path) -> socket.socket:
    """Return a connection that speaks for itself."""
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(DEADLINE)
    raw.connect(str(path))
    return raw


async def test_what_is_no_command_closes_that_connection_and_no_other(tmp_path: Path) -> None:
    hello = wire.pack(wire.PUB, b"a", FRAME)
    nonsense = [
        bytes(8),
        b"\xff" * 64,
        wire.pack(9, b"a"),
        wire.pack(wire.PONG),
        hello[:5] + b"\xff\xff" + hello[7:],
    ]
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [peer]:
            await peer.listen("a")
            for bad in nonsense:
                with connect(broker.path) as raw:
                    raw.sendall(hello + bad)
                    assert raw.recv(1) == b""
            await peer.until("a", len(nonsense))
            assert broker.exchange.refused == len(nonsense)
            assert peer.told == []


async def test_a_subscriber_that_takes_nothing_costs_its_own_frames_only(tmp_path: Path) -> None:
    large, count = bytes(1 << 16), 64
    with Broker(tmp_path / "bus", outgoing_limit=1 << 20) as broker:
        async with peers(broker.path, 2) as [receiver, sender]:
            await receiver.listen(SYSTEM)
            with connect(broker.path) as raw:
                raw.sendall(wire.pack(wire.SUB, SYSTEM.encode()) + wire.pack(wire.PING))
                assert raw.recv(7)[4] == wire.PONG
                for number in range(1, count + 1):
                    await sender.transport.publish(SYSTEM, large)
                    await receiver.until(SYSTEM, number)
                exchange = broker.exchange
                await eventually(lambda: exchange.forwarded + exchange.dropped == 2 * count)
                assert exchange.dropped > 0


async def test_frames_for_nobody_are_counted(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [peer]:
            await soon(peer.transport.wait_ready())
            await peer.transport.publish("nobody", FRAME)
            await soon(peer.transport.wait_ready())
            assert broker.exchange.unrouted == 1


async def test_who_leaves_is_forgotten(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        async with peers(broker.path, 1) as [peer]:
            await peer.listen("a", SYSTEM)
            assert {b"a", SYSTEM.encode()} < broker.exchange.subscribers.keys()
            await peer.transport.unsubscribe("a")
            await peer.transport.wait_ready()
            assert b"a" not in broker.exchange.subscribers
        await eventually(lambda: not broker.exchange.connections)
        assert broker.exchange.subscribers == {}


def test_a_second_broker_at_one_path_is_refused(tmp_path: Path) -> None:
    with Broker(tmp_path / "bus") as broker:
        with pytest.raises(BrokerRunningError):
            Broker(broker.path).start()
        assert broker.path.is_socket()
    assert not broker.path.exists()


def test_of_brokers_that_start_at_once_one_runs(tmp_path: Path) -> None:
    brokers = [Broker(tmp_path / "bus") for _ in range(8)]
    refused: list[Exception] = []

    def start(broker: Broker) -> None:
        try:
            broker.start()
        except BrokerRunningError as error:
            refused.append(error)

    threads = [threading.Thread(target=start, args=(broker,)) for broker in brokers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for broker in brokers:
        broker.stop()
    assert len(refused) == len(brokers) - 1


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    path.write_text("precious")
    with pytest.raises(TransportError, match="no socket at"):
        async with peers(path, 1, is_primary=True):
            pass
    assert path.read_text() == "precious"


@pytest.mark.slow
def test_a_program_that_forgets_to_stop_it_ends_all_the_same(tmp_path: Path) -> None:
    program = "import sys; from support.local_bus.broker import Broker; Broker(sys.argv[1]).start()"
    command = [sys.executable, "-c", program, str(tmp_path / "bus")]
    subprocess.run(command, env=environment(), check=True, timeout=DEADLINE)
    assert not (tmp_path / "bus").exists()


# --- the wire ------------------------------------------------------------------------------------


@given(
    commands=st.lists(
        st.tuples(st.integers(wire.SUB, wire.PONG), st.binary(max_size=9), st.binary(max_size=20))
    ),
    size=st.integers(1, 50),
)
def test_commands_come_back_however_the_stream_was_cut(
    commands: list[tuple[int, bytes, bytes]], size: int
) -> None:
    stream = b"".join(wire.pack(*command) for command in commands)
    splitter = wire.Splitter()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [command for piece in pieces for command in splitter.feed(piece)] == commands
