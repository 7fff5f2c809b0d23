"""Session: one connection to the broker of the local bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Self

from civitas_pigeon.options import PigeonOptions

from support.local_bus import wire

_SILENCE = 1.0
"""Seconds after which a silent broker is asked whether it is there, and then given up."""


class RefusedError(ConnectionError):
    """Not raised: the broker lets everybody in."""


class Session:
    """One connection, from `connect` until it breaks or is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._splitter = wire.Splitter()
        self._commands: deque[wire.Command] = deque()

    @classmethod
    async def connect(cls, options: PigeonOptions) -> Self:
        """Connect to the broker's port."""
        return cls(*await asyncio.open_connection("127.0.0.1", int(options.network)))

    async def subscribe(self, address: str) -> None:
        """Ask for the frames of an address; asking twice is asking once."""
        await self._write(wire.SUB, address)

    async def unsubscribe(self, address: str) -> None:
        """Ask for no more frames of an address."""
        await self._write(wire.UNSUB, address)

    async def send(self, address: str, frame: bytes, timeout: float) -> None:
        """Hand a frame to the broker."""
        async with asyncio.timeout(timeout):
            await self._write(wire.PUB, address, frame)

    async def receive(self) -> tuple[str, bytes]:
        """Wait for the next frame, and return it with its address."""
        while not self._commands:
            try:
                piece = await self._read()
            except TimeoutError:
                await self._write(wire.PING, "")
                piece = await self._read()
            commands = self._splitter.feed(piece)
            self._commands.extend(each for each in commands if each.operation == wire.PUB)
        command = self._commands.popleft()
        return command.address.decode(), command.data

    async def close(self) -> None:
        """Let the broker have what it was handed, and close."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _read(self) -> bytes:
        async with asyncio.timeout(_SILENCE):
            piece = await self._reader.read(1 << 18)
        if not piece:
            raise ConnectionResetError("the broker closed the connection")
        return piece

    async def _write(self, operation: int, address: str, frame: bytes = b"") -> None:
        self._writer.write(wire.pack(operation, address.encode(), frame))
        await self._writer.drain()
