"""Peers: transports that stand for processes on one bus, and waits that have an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from civitas.plugins import TransportContext
from support.local_bus.options import LocalBusOptions
from support.local_bus.testbed import DEADLINE
from support.local_bus.transport import LocalBusTransport


class Peer:
    """A process on the bus, as far as the transport can tell; keeps what its node is told."""

    def __init__(self, path: str, **options: Any) -> None:
        self.down = asyncio.Event()
        self.up = asyncio.Event()
        self.told: list[str] = []
        self.got: dict[str, list[bytes]] = {}
        self._news = asyncio.Condition()
        context = TransportContext(
            is_primary=options.pop("is_primary", False),
            link_down=lambda reason: self._tell("down", self.down),
            link_up=lambda: self._tell("up", self.up),
        )
        self.transport = LocalBusTransport(LocalBusOptions(path=path, **options), context)

    def _tell(self, what: str, event: asyncio.Event) -> None:
        self.told.append(what)
        event.set()

    async def listen(self, *addresses: str) -> None:
        for address in addresses:
            await self.transport.subscribe(address, self._keep(address))
        await soon(self.transport.wait_ready())

    async def until(self, address: str, count: int) -> list[bytes]:
        async def enough() -> None:
            async with self._news:
                await self._news.wait_for(lambda: len(self.got[address]) >= count)

        await soon(enough())
        return self.got[address]

    def _keep(self, address: str) -> Callable[[bytes], Any]:
        self.got[address] = []

        async def keep(frame: bytes) -> None:
            async with self._news:
                self.got[address].append(frame)
                self._news.notify_all()

        return keep


async def soon(work: Any) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await work


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what only another thread knows."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def peers(path: str | Path, count: int, **options: Any) -> AsyncIterator[list[Peer]]:
    """Peers that are started, and stopped at the end."""
    made = [Peer(str(path), **options) for _ in range(count)]
    try:
        for peer in made:
            await soon(peer.transport.start())
        yield made
    finally:
        for peer in made:
            await soon(peer.transport.stop())
