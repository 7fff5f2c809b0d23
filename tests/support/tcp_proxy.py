"""A TCP proxy in front of a server: a test sees what is sent, and may delay, change or stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeAlias

from support.ports import free_port

Look: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]


class Server(Protocol):
    """A server of this machine."""

    port: int

    @property
    def url(self) -> str:
        """The URL for clients, with the port."""


@asynccontextmanager
async def tcp_proxy(server: Server, look: Look) -> AsyncIterator[str]:
    """Pass bytes to a server and back; yield the URL of the proxy.

    Args:
        server: the server behind it.
        look: awaited with what is sent to the server, before it is passed on, or what it returns
            instead. When it raises, nothing more of that connection is passed on, and neither end
            notices.
    """
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def there(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            changed = await look(data)
            writer.write(data if changed is None else changed)
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
        yield server.url.replace(str(server.port), str(port))
    for each in writers:
        each.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)
