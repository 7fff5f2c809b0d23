"""A start connects, or says within its time what hinders it."""

from __future__ import annotations

import asyncio
import itertools
import struct
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET

import pytest

from civitas.errors import ConfigurationError, NotConnectedError
from support.nats.impostor import impostor
from support.nats.nodes import Node, durable, until, within
from support.nats.server import NatsServer
from support.nats.starts import start_fails, works
from support.ports import free_port

pytestmark = pytest.mark.slow

LIMIT = 1.5
"""Seconds for connecting in these tests."""


# --- nobody there -------------------------------------------------------------------------------


async def test_where_no_server_is_a_start_fails_in_time_and_says_where_and_why():
    place = f"127.0.0.1:{free_port()}"
    node = Node(f"nats://ali:sesame@{place}", connect_timeout=0.5)
    text = await start_fails(node, NotConnectedError)
    assert f"nats://{place}" in text
    assert "within 0.5 s" in text
    assert "Connect call failed" in text
    assert "sesame" not in text
    assert "ali" not in text


async def test_a_name_that_is_no_host_is_told():
    text = await start_fails(
        Node("nats://nowhere.invalid:4222", connect_timeout=LIMIT), NotConnectedError
    )
    assert "nats://nowhere.invalid:4222" in text
    assert "not known" in text or "resolution" in text


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example ESMTP\r\n", b"INFO {nonsense\r\n"])
async def test_somebody_at_the_port_who_is_no_nats_server_fails_a_start_in_time(greeting):
    async with impostor(greeting) as somebody:
        text = await start_fails(Node(somebody.url, connect_timeout=0.5), NotConnectedError)
        assert somebody.url in text


async def test_a_server_that_stands_still_fails_a_start_in_time(server):
    server.pause()
    text = await start_fails(Node(server.url, connect_timeout=0.5), NotConnectedError)
    assert server.url in text


async def test_of_several_servers_one_has_to_be_there(server):
    down = [f"nats://127.0.0.1:{free_port()}" for _ in range(3)]
    async with Node(*down, server.url) as node:
        await works(node)


async def test_a_server_that_stands_still_is_passed_over_for_another(tmp_path):
    with NatsServer(tmp_path, name="still") as still, NatsServer(tmp_path, name="well") as well:
        still.pause()
        nodes = [Node(still.url, well.url, connect_timeout=20) for _ in range(4)]
        try:  # some of them try the one that stands still first
            await within(asyncio.gather(*(node.transport.start() for node in nodes)))
            assert len(well.clients()) == 4
        finally:
            await within(asyncio.gather(*(node.transport.stop() for node in nodes)))


async def test_a_server_that_comes_up_within_connect_timeout_is_found(server):
    await asyncio.to_thread(server.kill)
    node = Node(server.url, connect_timeout=20)
    starting = asyncio.ensure_future(node.transport.start())
    await asyncio.to_thread(server.start)
    await within(starting)
    await works(node)
    await within(node.transport.stop())


# --- what does not fit --------------------------------------------------------------------------


async def test_a_server_that_takes_smaller_messages_is_refused_with_both_numbers(tmp_path):
    with NatsServer(tmp_path, max_payload=100_000) as server:
        text = await start_fails(
            Node(server.url, max_message_bytes=98_000, connect_timeout=60), ConfigurationError
        )
        assert "max_message_bytes is 98000" in text
        assert "takes 100000" in text
        assert "lower it to 95904" in text
        async with Node(server.url, max_message_bytes=95_904) as node:
            await works(node)


async def test_a_message_of_max_message_bytes_passes_with_its_headers(tmp_path, unique):
    with NatsServer(tmp_path, jetstream=True, max_payload=100_000) as server:
        async with durable(server.url, unique, max_message_bytes=95_904) as node:
            sizes: list[int] = []

            async def handle(frame: bytes) -> None:
                sizes.append(len(frame))

            await node.transport.subscribe("worker", handle)
            await within(node.transport.publish("worker", b"." * 95_904))
            await until(lambda: sizes == [95_904])


async def test_a_server_without_jetstream_is_told_from_one_that_does_not_answer(server, unique):
    node = durable(server.url, unique, send_timeout=1.0)
    text = await start_fails(node, ConfigurationError)
    assert f"JetStream is not enabled at {server.url}" in text
    assert "--jetstream" in text


async def test_an_account_without_jetstream_is_told(tmp_path, unique):
    config = (
        "accounts { A { jetstream: enabled, users: [ { user: a, password: a } ] },"
        " B { users: [ { user: b, password: b } ] } }"
    )
    with NatsServer(tmp_path, jetstream=True, config=config) as server:
        node = durable(server.url, unique, user="b", password="b")
        text = await start_fails(node, ConfigurationError)
        assert "JetStream is not enabled" in text


async def test_what_a_server_has_said_is_told_though_it_only_hangs_up_later():
    visits = itertools.count(1)

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(visits) == 1:
            writer.write(b"INFO {}\r\n-ERR 'no room today'\r\n")
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
        else:  # with a reset: it does not even say that it closes
            socket = writer.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async with await asyncio.start_server(receive, "127.0.0.1", 0) as somebody:
        port = somebody.sockets[0].getsockname()[1]
        node = Node(f"nats://127.0.0.1:{port}", connect_timeout=1.0)
        with pytest.raises(NotConnectedError, match="no room today"):
            await within(node.transport.start())
    assert next(visits) > 2
