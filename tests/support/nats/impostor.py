"""Impostor: a listener at a port that is no NATS server, or a broken one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass
class Impostor:
    """A listener.

    Attributes:
        port: where it listens.
        visits: connections so far.
        present: connections that are open.
        heard: all bytes that it received.
    """

    port: int
    visits: int = 0
    present: int = 0
    heard: bytes = b""

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"nats://{HOST}:{self.port}"


@asynccontextmanager
async def impostor(greeting: bytes, port: int = 0) -> AsyncIterator[Impostor]:
    """Listen at a port, and send the same greeting to each client, and nothing more.

    Args:
        greeting: what is sent.
        port: where to listen; a free one when left out.
    """
    guests: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.visits += 1
        here.present += 1
        writer.write(greeting)
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                here.heard += data
        here.present -= 1
        writer.close()

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests[writer] = asyncio.get_running_loop().create_task(receive(reader, writer))

    listener = await asyncio.start_server(greet, HOST, port)
    here = Impostor(listener.sockets[0].getsockname()[1])
    try:
        yield here
    finally:
        listener.close()
        for writer in guests:
            writer.transport.abort()
        if guests:
            await asyncio.wait(guests.values())
