"""Whatever else talks to the proxy's ports: it is counted, and harms nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq

from civitas.errors import TransportError
from civitas_zmq.proxy import Proxy, ProxySettings
from support.zmq import Process, frame_of, options_for, started, until

GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a TLS hello
    b"\xff" + bytes(8) + b"\x7f" + bytes(100),  # a ZMTP greeting that goes wrong
    b"\x00" * 4096,
    bytes(range(256)) * 64,
    b"",
]


@contextmanager
def raw(kind: int, address: str) -> Iterator[zmq.Socket[bytes]]:
    """A socket of somebody else's, connected to the proxy."""
    context = zmq.Context()
    try:
        stranger = context.socket(kind)
        stranger.set(zmq.LINGER, 0)
        stranger.connect(address)
        yield stranger
    finally:
        context.destroy(linger=0)


async def heard(publisher: zmq.Socket[bytes]) -> None:
    """Wait until the proxy has asked a raw XPUB for everything."""
    await until(lambda: bool(publisher.get(zmq.EVENTS) & zmq.POLLIN))


async def test_malformed_messages_are_counted_and_the_next_frame_arrives():
    options = options_for()
    process = Process(options, primary=True)
    [inbox] = await process.listen("agent")
    async with started(process):
        with raw(zmq.XPUB, options.pub_addr) as stranger:
            await heard(stranger)
            for parts in (
                [b"agent\0", b"one", b"two"],
                [b"agent\0", b"", b"", b""],
                [b"agent\0more\0", b"of a message with a topic already"],
            ):
                stranger.send_multipart(parts)
            # These are frames for a handler to refuse, not for us.
            stranger.send_multipart([b"agent\0"])
            stranger.send_multipart([b"agent\0", b""])
            stranger.send_multipart([b"agent\0", frame_of()])
            stranger.send_multipart([b"agent\0" + frame_of()])
            assert await inbox.first(5) == [b"more\0", b"", b"", frame_of(), frame_of()]
    reasons = [reason for reason, _ in process.drops]
    assert reasons == ["not a topic and a frame"] * 3


async def test_a_foreign_probe_is_no_proof_and_no_trouble():
    options = options_for()
    process = Process(options, primary=True)
    [inbox] = await process.listen("agent")
    async with started(process):
        with raw(zmq.XPUB, options.pub_addr) as stranger:
            await heard(stranger)
            for topic in (b"\xff\0", b"\xffanything.1\0", b"", b"\0"):
                stranger.send_multipart([topic, b""])
            stranger.send_multipart([b"agent\0", frame_of()])
            await inbox.first()


@pytest.mark.parametrize("side", ["pub_addr", "sub_addr"])
async def test_bytes_of_other_protocols_on_the_ports_harm_nobody(side):
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    [inbox] = await receiver.listen("agent")
    host, _, port = getattr(options, side).removeprefix("tcp://").partition(":")
    async with started(receiver, sender):
        for number, garbage in enumerate(GARBAGE, 1):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(garbage)
            await sender.transport.publish("agent", frame_of())
            await inbox.first(number)
    assert receiver.link_events == sender.link_events == []


async def test_an_oversized_message_disconnects_its_sender_alone():
    options = options_for(max_message_bytes=1024)
    receiver, sender = Process(options, primary=True), Process(options)
    [inbox] = await receiver.listen("agent")
    async with started(receiver, sender):
        with raw(zmq.XPUB, options.pub_addr) as stranger:
            await heard(stranger)
            stranger.send_multipart([b"agent\0", bytes(1 << 20)])
            await sender.transport.publish("agent", frame_of())
            assert await inbox.first() == [frame_of()]
            await until(lambda: sent(stranger, b"agent\0", b"back again", inbox))
    assert receiver.link_events == sender.link_events == []


def sent(stranger: zmq.Socket[bytes], topic: bytes, frame: bytes, inbox) -> bool:
    stranger.send_multipart([topic, frame])
    return frame in inbox.frames


async def test_a_subscriber_to_everything_takes_nothing_from_anybody():
    options = options_for()
    receiver, sender = Process(options, primary=True), Process(options)
    [inbox] = await receiver.listen("agent")
    async with started(receiver, sender):
        with raw(zmq.SUB, options.sub_addr) as stranger:
            stranger.subscribe(b"")
            await sender.transport.publish("agent", frame_of())
            await inbox.first()
            await receiver.transport.wait_ready()
            assert len(inbox.frames) == 1


async def test_without_the_upstream_subscription_a_publisher_would_filter():
    """Trap: a publisher that has heard of no subscription drops at its own end, in silence."""
    options = options_for()
    process = Process(options, primary=True)
    async with started(process):
        with raw(zmq.XPUB, options.pub_addr) as stranger:
            await heard(stranger)
            assert stranger.recv() == b"\x01"


# --- addresses that are taken --------------------------------------------------------------------


async def test_a_taken_port_is_a_clear_error_at_once_and_the_first_goes_on():
    options = options_for()
    first, second = Process(options, primary=True), Process(options, primary=True)
    [inbox] = await first.listen("_agency.all")
    async with started(first):
        with pytest.raises(TransportError, match="start_proxy: false") as refusal:
            await second.transport.start()
        assert options.pub_addr in str(refusal.value)
        await second.transport.stop()
        await first.transport.publish("_agency.all", frame_of())
        await inbox.first()


async def test_only_the_second_address_taken_frees_the_first():
    taken = options_for()
    options = options_for(sub_addr=taken.sub_addr)
    with socket.create_server(("127.0.0.1", int(options.sub_addr.rpartition(":")[2]))):
        process = Process(options, primary=True)
        with pytest.raises(TransportError, match=options.sub_addr):
            await process.transport.start()
    async with started(process):  # nothing of the failed start is in the way
        pass


async def test_an_ipc_address_is_not_stolen(tmp_path):
    options = options_for(pub_addr=f"ipc://{tmp_path}/pub", sub_addr=f"ipc://{tmp_path}/sub")
    first, second = Process(options, primary=True), Process(options, primary=True)
    [inbox] = await first.listen("_agency.all")
    async with started(first):
        with pytest.raises(TransportError, match="somebody listens there already"):
            await second.transport.start()
        await first.transport.publish("_agency.all", frame_of())
        await inbox.first()
    assert os.listdir(tmp_path) == []


async def test_a_file_that_a_killed_proxy_left_is_no_hindrance(tmp_path):
    options = options_for(pub_addr=f"ipc://{tmp_path}/pub", sub_addr=f"ipc://{tmp_path}/sub")
    for name in ("pub", "sub"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{tmp_path}/{name}")
    async with started(Process(options, primary=True)):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path, caplog):
    settings = ProxySettings(f"ipc://{tmp_path}/none/pub", f"ipc://{tmp_path}/none/sub")
    proxy = Proxy(settings, caplog)
    with pytest.raises(TransportError, match="none of an ipc address can't be used"):
        proxy.start()
    proxy.stop()


async def test_another_process_never_starts_a_proxy():
    options = options_for()
    first, other = Process(options, primary=True), Process(options)
    async with started(first, other):
        pass
    host, _, port = options.pub_addr.removeprefix("tcp://").partition(":")
    await other.transport.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    await other.transport.stop()


async def test_an_open_door_is_warned_of(caplog):
    port = options_for().pub_addr.rpartition(":")[2]
    options = options_for(pub_addr=f"tcp://0.0.0.0:{port}")
    async with started(Process(options, primary=True)):
        pass
    assert f"listens at tcp://0.0.0.0:{port} without curve" in caplog.text
    assert options.sub_addr not in caplog.text


async def test_an_ipc_address_that_any_user_can_take_is_warned_of(tmp_path, caplog):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    shared.chmod(0o1777)
    own.mkdir(mode=0o700)
    options = options_for(pub_addr=f"ipc://{shared}/pub", sub_addr=f"ipc://{own}/sub")
    async with started(Process(options, primary=True)):
        pass
    [warning] = [record.getMessage() for record in caplog.records if "0700" in record.message]
    assert options.pub_addr in warning


async def test_an_abstract_address_which_has_no_permissions_is_warned_of(tmp_path, caplog):
    options = options_for(pub_addr=f"ipc://@{tmp_path.name}.{os.getpid()}")
    async with started(Process(options, primary=True)):
        pass
    assert f"listens at {options.pub_addr}: such a name has no permissions" in caplog.text
