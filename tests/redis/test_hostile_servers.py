"""Whatever a server answers: a start ends in time with an error, and nothing ends in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest

from civitas.errors import NotConnectedError
from support.redis.nodes import Agent, Node, within

LIMIT: Final = 0.6
"""Seconds that a start may take."""

ANSWERS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no reply of Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a negative length": b"$-5\r\n",
    "a number that is none": b":one\r\n",
    "a number of 5,000 digits": b":" + b"9" * 5_000 + b"\r\n",
    "a length that never comes": b"$500000000\r\nx",
    "an array that never comes": b"*500000000\r\n",
    "an array of nothing": b"*-1\r\n",
    "an empty array": b"*0\r\n",
    "arrays in arrays": b"*1\r\n" * 20_000 + b":1\r\n",
    "a number": b":1\r\n",
    "a word": b"+OK\r\n",
    "a message without a channel": b"*3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nx\r\n",
    "a message that is none": b"*3\r\n$7\r\nmessage\r\n$9\r\ncivitas:a\r\n$-1\r\n",
    "a message that is an array": b"*3\r\n$7\r\nmessage\r\n$9\r\ncivitas:a\r\n*1\r\n:1\r\n",
    "a channel that is no text": b"*3\r\n$7\r\nmessage\r\n$9\r\ncivitas:\xff\r\n$1\r\nx\r\n",
    "an error": b"-ERR \x1b[31mred\x07\r\n",
    "an error of another kind": b"-NOSUCHKIND x\r\n",
}


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Be a server that lets everyone in, and then answers the same to whatever it is asked."""
    guests: set[asyncio.Task[None]] = set()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        guests.add(task)
        with suppress(OSError, asyncio.CancelledError):
            while asked := await reader.read(1 << 16):
                greeting = b"SETNAME" in asked or b"SETINFO" in asked
                writer.write(b"+OK\r\n" if greeting else answer)
        writer.transport.abort()
        guests.discard(task)

    listener = await asyncio.start_server(receive, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for guest in guests:
            guest.cancel()
        if guests:
            await asyncio.wait(guests)


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_start_ends_in_time_with_an_error_whatever_is_answered(case, caplog):
    async with server(ANSWERS[case]) as url:
        node = Node(url, connect_timeout=LIMIT, probe_timeout=LIMIT / 2)
        await node.transport.subscribe("a", Agent())
        with pytest.raises(NotConnectedError) as raised:
            await within(node.transport.start())
        await within(node.transport.stop())
    assert node.failures == []
    assert str(raised.value).isprintable()
    assert "\x1b" not in caplog.text
