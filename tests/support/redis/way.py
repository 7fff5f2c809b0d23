"""A way to a server on which a test sees, and does something to, what is sent there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from support.ports import free_port
from support.redis.server import RedisServer

Look: TypeAlias = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def way_to(server: RedisServer, look: Look) -> AsyncIterator[str]:
    """Pass bytes to a server and back; give the URL of this way.

    Args:
        server: where it leads.
        look: awaited with what is sent to the server, before it is passed on. What it raises ends
            the way of that connection there, and neither end is told.
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
