"""Whatever others publish, and however slowly it is read: the connection is read on."""

from __future__ import annotations

import socket

import pytest

from civitas_nats.client import HardenedClient
from support.nats.nodes import Held, Node, bare, durable, frame_of, until, within
from support.nats.server import NatsServer

# --- others pass on nonsense --------------------------------------------------------------------


def say(server: NatsServer, *lines: bytes) -> None:
    """Say something to a server in its own words, and return when it has taken it."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
        connection.sendall(b"".join(lines) + b"PING\r\n")
        answer = b""
        while b"PONG" not in answer:
            answer += connection.recv(4096)
    assert b"-ERR" not in answer, answer


def with_headers(subject: str, headers: bytes, payload: bytes) -> bytes:
    """Return what publishes a message whose headers are any bytes."""
    size = len(headers)
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (
        subject.encode(),
        size,
        size + len(payload),
        headers,
        payload,
    )


BROKEN_HEADERS = [
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 200 \xff\r\n\r\n",
    b"NATS/1.0",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"\xff" * 20,
    b"",
]


@pytest.mark.parametrize("headers", BROKEN_HEADERS)
async def test_headers_that_can_not_be_read_do_not_end_the_reader(server, headers):
    """nats-py's reader ends at some of them, and the connection stands until pings are missed."""
    async with Node(server.url, ping_interval=60) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        say(server, with_headers("civitas.agent.worker", headers, frame_of("1")))
        async with Node(server.url) as other:
            await other.send("worker", "2")
            assert (await agent.has_done(2))[-2:] == ["1", "2"]
        assert node.told == []


@pytest.mark.parametrize("headers", BROKEN_HEADERS)
async def test_a_stored_message_with_such_headers_is_handled_and_the_next(
    jetstream, unique, headers
):
    """It would end the reader again each time it is given."""
    async with durable(jetstream.url, unique, ping_interval=60) as node:
        agent = await node.agent("worker")
        say(jetstream, with_headers(f"{unique}.worker", headers, frame_of("1")))
        await node.send("worker", "2")
        assert await agent.has_done(2) == ["1", "2"]


async def test_headers_of_publishers_are_not_read_and_those_of_servers_are(server):
    async with bare(server.url, client=HardenedClient(encrypted=False)) as client:
        inbox = await client.subscribe("inbox")
        await client.publish("inbox", b"1", headers={"Nats-Msg-Id": "1"})
        assert (await inbox.next_msg(10)).headers is None
        await client.publish("nobody", reply="inbox")
        assert (await inbox.next_msg(10)).headers["Status"] == "503"


async def test_a_reply_subject_that_is_no_text_does_not_end_the_reader(server):
    async with Node(server.url, ping_interval=60) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        frame = frame_of("1")
        say(server, b"PUB civitas.agent.worker \xff\xfe %d\r\n%s\r\n" % (len(frame), frame))
        async with Node(server.url) as other:
            await other.send("worker", "2")
            assert await agent.has_done(2) == ["1", "2"]


async def test_a_line_that_nats_py_can_not_read_costs_the_connection_which_comes_back(server):
    """A vertical tab is whitespace to its parser, and a letter to the server."""
    async with Node(server.url) as node:
        agent = await node.agent("worker")
        await within(node.transport.wait_ready())
        frame = frame_of("1")
        say(server, b"PUB civitas.agent.worker a\x0bb %d\r\n%s\r\n" % (len(frame), frame))
        await until(lambda: node.told == ["down", "up"])
        async with Node(server.url) as other:
            await other.send("worker", "2")
            await until(lambda: "2" in agent.done)


async def test_what_a_slow_process_can_not_take_is_counted(server):
    async with Node(server.url, max_pending_messages=10) as node, Node(server.url) as other:
        held = Held("0")
        agent = await node.agent("worker", held)
        await within(node.transport.wait_ready())
        for number in range(500):
            await other.transport.publish("worker", frame_of(str(number)))
        await until(lambda: len(node.drops) > 0)
        held.go_on.set()
        await until(lambda: len(agent.done) + len(node.drops) == 500)
        assert {reason for reason, _ in node.drops} == {"too many frames wait for one handler"}
