"""Keys: whoever has none of those that are let in can neither publish nor subscribe."""

from __future__ import annotations

import time

import pytest
import zmq
import zmq.utils.z85

from civitas.errors import ConfigurationError, NotConnectedError
from civitas_zmq.keys import KeyPair, decode, make_pair
from civitas_zmq.options import ZMQOptions
from civitas_zmq.sockets import topic_of
from support.zmq import Process, frame_of, options_for, started, until, with_keys, within

SERVER, PRIMARY, WORKER, STRANGER = (make_pair() for _ in range(4))


def settings(client: KeyPair, base: ZMQOptions, *allowed: KeyPair) -> ZMQOptions:
    return with_keys(base, SERVER, client, allowed_clients=tuple(k.public_key for k in allowed))


async def test_processes_with_keys_reach_each_other():
    base = options_for()
    primary = Process(settings(PRIMARY, base, WORKER), primary=True)
    worker = Process(settings(WORKER, base))
    [inbox] = await worker.listen("agent")
    async with started(primary, worker):
        await primary.transport.publish("agent", frame_of())
        await inbox.first()


async def test_an_unknown_key_neither_subscribes_nor_publishes():
    base = options_for()
    primary = Process(settings(PRIMARY, base), primary=True)
    [inbox] = await primary.listen("_agency.all")
    context = zmq.Context()
    try:
        async with started(primary):
            ear, mouth = context.socket(zmq.SUB), context.socket(zmq.PUB)
            for socket, address in ((ear, base.sub_addr), (mouth, base.pub_addr)):
                socket.curve_serverkey = SERVER.public_key.encode()
                socket.curve_publickey = STRANGER.public_key.encode()
                socket.curve_secretkey = STRANGER.secret_key.encode()
                socket.set(zmq.LINGER, 0)
                monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
                socket.connect(address)
                await until(lambda monitor=monitor: bool(monitor.poll(0)))
                socket.disable_monitor()
                monitor.close()
            ear.subscribe(b"")
            mouth.send_multipart([topic_of("_agency.all"), frame_of(b"forged")])
            for _ in range(3):
                await primary.transport.publish("_agency.all", frame_of())
                await within(primary.transport.wait_ready())
            assert await inbox.first(3) == [frame_of()] * 3
            assert not ear.poll(0)
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN"])
async def test_a_client_without_a_key_gets_nothing(mechanism):
    base = options_for()
    primary = Process(settings(PRIMARY, base), primary=True)
    context = zmq.Context()
    try:
        async with started(primary):
            ear = context.socket(zmq.SUB)
            if mechanism == "PLAIN":
                ear.plain_username, ear.plain_password = b"admin", b"admin"
            ear.subscribe(b"")
            ear.connect(base.sub_addr)
            for _ in range(3):
                await primary.transport.publish("agent", frame_of())
                await within(primary.transport.wait_ready())
            assert not ear.poll(0)
    finally:
        context.destroy(linger=0)


async def test_a_process_that_is_not_let_in_gets_the_reason(caplog):
    base = options_for()
    primary = Process(settings(PRIMARY, base), primary=True)
    unknown = Process(settings(STRANGER, base))
    async with started(primary):
        await unknown.transport.start()
        with pytest.raises(NotConnectedError, match="allowed_clients"):
            await within(unknown.transport.wait_ready())
        await unknown.transport.stop()
    assert "refused a connection from 127.0.0.1" in caplog.text


async def test_refusals_of_one_source_are_logged_once_a_second(caplog):
    base = options_for()
    primary = Process(settings(PRIMARY, base), primary=True)
    unknown = [Process(settings(STRANGER, base)) for _ in range(10)]
    async with started(primary):
        begun = time.monotonic()
        for process in unknown:
            await process.transport.start()
            with pytest.raises(NotConnectedError):
                await within(process.transport.wait_ready())
            await process.transport.stop()
        seconds = time.monotonic() - begun
    lines = [record for record in caplog.records if "refused a connection" in record.message]
    assert 1 <= len(lines) <= 1 + seconds


async def test_a_process_without_keys_gets_the_reason():
    base = options_for()
    primary, bare = Process(settings(PRIMARY, base), primary=True), Process(base)
    async with started(primary):
        await bare.transport.start()
        with pytest.raises(NotConnectedError, match="don't agree on security"):
            await within(bare.transport.wait_ready())
        await bare.transport.stop()


async def test_a_key_that_is_let_in_later_gets_in_by_itself():
    base = options_for()
    worker = Process(settings(WORKER, base))
    primary = Process(settings(PRIMARY, base), primary=True)
    await worker.transport.start()
    async with started(primary):
        with pytest.raises(NotConnectedError):
            await within(worker.transport.wait_ready())
    again = Process(settings(PRIMARY, base, WORKER), primary=True)
    async with started(again):
        await until_ready(worker)
        await worker.transport.stop()


async def until_ready(process: Process) -> None:
    async def attempt() -> None:
        while True:
            try:
                await process.transport.wait_ready()
            except NotConnectedError:
                continue
            return

    await within(attempt())


async def test_a_wrong_server_key_finds_no_proxy(caplog):
    base = options_for()
    primary = Process(settings(PRIMARY, base, WORKER), primary=True)
    deceived = Process(with_keys(base, STRANGER, WORKER))
    async with started(primary):
        await deceived.transport.start()
        await until(lambda: "curve.server_public_key" in caplog.text)
        await deceived.transport.stop()
    assert deceived.link_events == []


@pytest.mark.parametrize("primary", [True, False])
async def test_keys_of_two_pairs_are_refused_at_the_start(primary):
    mixed = KeyPair(WORKER.public_key, STRANGER.secret_key)
    process = Process(with_keys(options_for(), SERVER, mixed), primary=primary)
    with pytest.raises(
        ConfigurationError, match="curve.public_key is not the public key"
    ) as refusal:
        await process.transport.start()
    assert STRANGER.secret_key not in str(refusal.value)


async def test_who_runs_the_proxy_needs_its_key():
    options = with_keys(options_for(), KeyPair(SERVER.public_key, ""), PRIMARY)
    with pytest.raises(ConfigurationError, match="server_secret_key is missing"):
        await Process(options, primary=True).transport.start()


async def test_who_connects_needs_a_pair():
    options = with_keys(options_for(), SERVER, KeyPair(WORKER.public_key, ""))
    with pytest.raises(ConfigurationError, match="curve.secret_key is missing"):
        await Process(options).transport.start()


def test_no_secret_shows_in_a_repr():
    options = settings(PRIMARY, options_for())
    for shown in (repr(options), str(options), repr(PRIMARY), options.model_dump_json()):
        assert PRIMARY.secret_key not in shown
        assert SERVER.secret_key not in shown


def test_keys_are_read_as_libzmq_reads_them():
    for _ in range(20):
        pair = make_pair()
        assert decode(pair.public_key) == zmq.utils.z85.decode(pair.public_key)
