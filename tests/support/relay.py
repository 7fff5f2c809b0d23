"""Relay: a way to a broker's socket that a test can cut, as the end of a process would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Relay:
    """Passes bytes between those who connect to `path` and the socket at `to`."""

    def __init__(self, path: Path, to: str) -> None:
        self.path = str(path)
        self._to = to
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Let connections in."""
        self._server = await asyncio.start_unix_server(self._connected, self.path)

    async def cut(self) -> None:
        """End all connections, and let no more in."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            Path(self.path).unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        far_reader, far_writer = await asyncio.open_unix_connection(self._to)
        self._writers.append(far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.get_running_loop().create_task(_pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def relay_to(socket: str, folder: Path) -> AsyncIterator[Relay]:
    """Run a relay to a broker's socket."""
    relay = Relay(folder / "relay", socket)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.cut()
