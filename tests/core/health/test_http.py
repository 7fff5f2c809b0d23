"""The server of the health address: what it answers, and that nothing that comes can hurt it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas._health.listener import open_listener
from civitas._health.settings import HealthSettings, Listen
from civitas._node.health.http import (
    JSON,
    LARGEST_HEAD,
    MOST_CONNECTIONS,
    Answer,
    HttpServer,
    Request,
    read_request,
    written,
)

SOON = 10.0


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /live HTTP/1.1\r\nHost: h", Request("/live")),
        (b"GET /live HTTP/1.0", Request("/live")),
        (b"HEAD / HTTP/1.1\r\nhost: h", Request("/", head_only=True)),
        (b"GET /ready?format=json&x HTTP/1.1\r\nHost: h", Request("/ready", "format=json&x")),
        (b"GET http://h:1/ready?a HTTP/1.1\r\nHost: h", Request("/ready", "a")),
        (b"GET / HTTP/1.1\r\nHOST:h\r\nAccept:  a/b \r\naccept: c", Request("/", accept="a/b, c")),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX-Odd: \xff\t\x01", Request("/")),
    ],
)
def test_a_request_is_read(head, expected):
    assert read_request(head) == expected


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1", HTTPStatus.BAD_REQUEST),  # without Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/2.0\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET  / HTTP/1.1\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET /\x00 HTTP/1.1\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET live HTTP/1.1\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET http://[ HTTP/1.1\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET ftp://h/x HTTP/1.1\r\nHost: h", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost : h", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: h\nX: y", HTTPStatus.BAD_REQUEST),
        (b"POST / HTTP/1.1\r\nHost: h", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_what_is_no_request_gets_the_status_that_says_so(head, status):
    assert read_request(head) is status


@given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda x: b"GET " + x + b" HTTP/1.0"))
def test_whatever_comes_is_a_request_or_a_status(head):
    found = read_request(head)
    assert isinstance(found, HTTPStatus) or found.path.startswith("/")


def test_an_answer_has_its_length_and_one_to_head_has_no_body():
    answer = Answer(HTTPStatus.OK, b"body", JSON)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n"
        b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    assert written(answer) == head + b"body"
    assert written(answer, head_only=True) == head
    assert b"\r\nAllow: GET, HEAD\r\n" in written(Answer(HTTPStatus.METHOD_NOT_ALLOWED, b""))


# --- serving ------------------------------------------------------------------------------------


class Server:
    """A server that runs, and the ends of connections to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[Request] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def respond(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path == "/raises":
            raise ValueError("no good")
        return Answer(HTTPStatus.OK, b"x" * int(request.query or 2))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def get(self, data: bytes, *, eof: bool = False) -> bytes:
        """Send bytes, and return all that comes until the other end closes."""
        reader, writer = await self.connect()
        writer.write(data)
        if eof:
            writer.write_eof()
        async with asyncio.timeout(SOON):
            return await reader.read()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other end closes, or resets, the connection."""
    try:
        async with asyncio.timeout(SOON):
            return await reader.read()
    except ConnectionError:
        return b""


@asynccontextmanager
async def serving(request_timeout: float = 5.0) -> AsyncIterator[Server]:
    failures: list[BaseException] = []
    listener = open_listener(HealthSettings(Listen("127.0.0.1", 0)))
    server = Server(listener.getsockname()[1])
    http = HttpServer(listener, server.respond, failures.append, request_timeout)
    await http.start()
    try:
        yield server
    finally:
        for writer in server.writers:
            writer.close()
        await http.stop()
    assert failures == []


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_a_client_gets_its_answer_and_the_end_of_the_connection():
    async with serving() as server:
        assert (await server.get(GET)).endswith(b"\r\n\r\nxx")
        assert server.asked == [Request("/")]


async def test_a_request_may_come_in_pieces_and_its_client_may_close_its_end():
    async with serving() as server:
        reader, writer = await server.connect()
        for byte in GET:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(SOON):
            assert (await reader.read()).endswith(b"\r\n\r\nxx")


async def test_what_comes_behind_a_request_is_ignored_and_the_answer_is_not_lost():
    async with serving() as server:
        for more in (b"y" * 100_000, GET * 50):
            assert (await server.get(GET + more)).endswith(b"\r\n\r\nxx")


async def test_a_large_answer_comes_whole():
    async with serving() as server:
        data = await server.get(b"GET /?2000000 HTTP/1.0\r\n\r\n")
        assert data.endswith(b"x" * 2_000_000)


async def test_an_answer_that_fails_concerns_its_connection_alone(caplog):
    async with serving() as server:
        assert await server.get(b"GET /raises HTTP/1.0\r\n\r\n") == b""
        assert (await server.get(GET)).endswith(b"xx")
    assert "an answer at the health address failed" in caplog.text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400),  # TLS
        (b"\xc1\x01\x02" * 100 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789", 405),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * LARGEST_HEAD + b"\r\n\r\n", 431),
        (b"y" * (LARGEST_HEAD * 20), 431),
    ],
)
async def test_hostile_bytes_get_a_status_and_the_next_client_its_answer(data, status):
    async with serving() as server:
        assert (await server.get(data)).startswith(b"HTTP/1.1 %d " % status)
        assert (await server.get(GET)).endswith(b"xx")


async def test_who_sends_half_a_request_and_closes_gets_nothing():
    async with serving() as server:
        assert await server.get(GET[:-2], eof=True) == b""


async def test_who_sends_no_request_is_told_so_after_some_time():
    async with serving(request_timeout=0.05) as server:
        assert (await server.get(b"GET ")).startswith(b"HTTP/1.1 408 ")


async def test_any_number_of_idle_connections_leave_room_for_a_request():
    async with serving() as server:
        idle = [await server.connect() for _ in range(MOST_CONNECTIONS + 10)]
        assert (await server.get(GET)).endswith(b"xx")
        assert await ended(idle[0][0]) == b""  # the oldest went for it
        assert not idle[-1][0].at_eof()


async def test_a_client_that_resets_its_connection_leaves_nothing_behind():
    async with serving() as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.send(GET)
        assert (await server.get(GET)).endswith(b"xx")


async def test_a_stop_ends_the_connections_that_are_open():
    async with serving() as server:
        reader, _ = await server.connect()
        assert (await server.get(GET)).endswith(b"xx")  # so the other one was accepted
    assert await ended(reader) == b""
