"""A TCP proxy in front of a server: a test sees what is sent, and may delay or stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from support.ports import free_port
from support.redis.server import RedisServer

Look: TypeAlias = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def tcp_proxy(server: RedisServer, look: Look) -> AsyncIterator[str]:
    """Pass bytes to a server and back; yield the URL of the proxy.

    Args:
        server: the server behind it.
        look: awaited with what is sent to the server, before it is passed on. When it raises,
            nothing more of that connection is passed on, and neither end notices.
    """
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await look(data)
            writer.write(data)
        writer.close()

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.extend((writer, far_writer))
        tasks.append(asyncio.ensure_future(there(reader, far_writer)))
        tasks.append(asyncio.ensure_future(back(far_reader, writer)))

    port = free_port()
    async with await asyncio.start_server(connected, "127.0.0.1", port):
        yield f"redis://127.0.0.1:{port}"
    for each in writers:
        each.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
