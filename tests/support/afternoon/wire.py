"""PigeonWire: one connection to the broker of the local bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from civitas_pigeon.options import PigeonOptions

from civitas.transport import Outgoing
from support.local_bus import wire


class PigeonWire:
    """One connection, from `connect` until it fails or is closed."""

    def __init__(self, options: PigeonOptions) -> None:
        self._port = int(options.network)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._confirmed = asyncio.Event()

    async def connect(self) -> None:
        """Connect to the broker's port."""
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)

    async def subscribe(self, addresses: Sequence[str]) -> None:
        """Ask for the frames of addresses; the answer to a PING comes when it is done."""
        await self._ask(wire.SUB, addresses)

    async def unsubscribe(self, addresses: Sequence[str]) -> None:
        """Ask for no more frames of addresses."""
        await self._ask(wire.UNSUB, addresses)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Hand frames to the broker."""
        await self._write(
            b"".join(wire.pack(wire.PUB, each.address.encode(), each.frame) for each in batch)
        )

    async def receive(self, deliver: Callable[[str, bytes], None]) -> None:
        """Give what comes to `deliver`."""
        assert self._streams is not None
        splitter = wire.Splitter()
        while piece := await self._streams[0].read(1 << 18):
            for command in splitter.feed(piece):
                if command.operation == wire.PUB:
                    deliver(command.address.decode(), command.data)
                else:
                    self._confirmed.set()

    async def close(self) -> None:
        """Let the broker have what it was handed, and close."""
        if self._streams is None:
            return
        _, writer = self._streams
        writer.close()
        try:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _ask(self, operation: int, addresses: Sequence[str]) -> None:
        self._confirmed.clear()
        asked = [wire.pack(operation, each.encode()) for each in addresses]
        await self._write(b"".join([*asked, wire.pack(wire.PING)]))
        await self._confirmed.wait()

    async def _write(self, data: bytes) -> None:
        assert self._streams is not None
        self._streams[1].write(data)
        await self._streams[1].drain()
