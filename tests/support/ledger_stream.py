"""What a ledger keeps for one agent, and what it has given up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple


class DeadLetter(NamedTuple):
    """A frame that is not given any more."""

    address: str
    frame: bytes
    reason: str
    number: int
    time: float
    deliveries: int


@dataclass(eq=False)
class Entry:
    """A frame that is not processed yet, and how often processing it has failed."""

    frame: bytes
    number: int
    time: float
    failures: int = 0


@dataclass
class Stream:
    """What waits for one agent, in order. Whoever serves the agent holds the lock."""

    entries: deque[Entry] = field(default_factory=deque)
    given: list[Entry] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    serving: asyncio.Lock = field(default_factory=asyncio.Lock)

    def append(self, frame: bytes, number: int = 0) -> None:
        self.entries.append(Entry(frame, number, time.time()))
        self.news.set()

    def discard(self, entry: Entry) -> None:
        with suppress(ValueError):  # a command has removed it meanwhile
            self.entries.remove(entry)

    async def next(self) -> Entry:
        """Return the first entry that is not given, which stays where it is."""
        while True:
            for entry in self.entries:
                if entry not in self.given:
                    return entry
            self.news.clear()
            await self.news.wait()
