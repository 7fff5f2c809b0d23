"""What tests of the Dispatcher share: a node that counts, and handlers that wait or take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from civitas.plugins import TransportContext
from civitas.transport import Dispatcher

SYSTEM = "_agency.news"
SOON = 10.0
LONG = 60.0


class Node:
    """What a node gives to a dispatcher; keeps what was dropped."""

    def __init__(self, lane_limit: int = 100) -> None:
        self.dropped: list[tuple[str, bytes]] = []
        self.fenced: set[bytes] = set()
        context = TransportContext(
            dropped=lambda reason, frame: self.dropped.append((reason, frame)), fenced=self.fenced
        )
        self.dispatcher = Dispatcher(context, lane_limit=lane_limit)

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.dropped]


class Waiting:
    """A handler that keeps each frame until it is let go."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.done: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.opened = asyncio.Event()
        self._news = asyncio.Condition()

    async def __call__(self, frame: bytes) -> None:
        self.begun.append(frame)
        await self._tell()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.append(frame)
            raise
        self.done.append(frame)
        await self._tell()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON), self._news:
            await self._news.wait_for(condition)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Taking(Waiting):
    """A handler that takes without waiting as long as it has room."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.taken: list[bytes] = []

    def take(self, frame: bytes) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(frame)
        return True


def frames(count: int, prefix: str = "f") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


def lane_tasks() -> list[asyncio.Task[object]]:
    return [t for t in asyncio.all_tasks() if t.get_name().startswith("civitas lane")]


async def until_idle() -> None:
    """Wait until no lane has a task."""
    async with asyncio.timeout(SOON):
        while tasks := lane_tasks():
            await asyncio.wait(tasks)


async def begun(handler: Waiting, count: int = 1) -> None:
    await handler.until(lambda: len(handler.begun) >= count)


async def closing(work: Awaitable[None]) -> None:
    """Await the end of a close or unsubscribe, which must come soon."""
    async with asyncio.timeout(SOON):
        await work
