"""Handlers that keep each message until it is let go, and the tasks of an agent."""

from __future__ import annotations

import asyncio
from typing import Any

from civitas import Message
from support.agents import SOON, Scripted, until


class Gates:
    """A handler that keeps each message until that one is let go, by its `n`."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.ended: list[int] = []
        self.raises: dict[int, BaseException] = {}
        self._opened: dict[int, asyncio.Event] = {}

    def open(self, *numbers: int) -> None:
        for n in numbers:
            self._opened.setdefault(n, asyncio.Event()).set()

    async def __call__(self, agent: Scripted, message: Message) -> Message | None:
        n = message.payload["n"]
        self.entered.append(n)
        await self._opened.setdefault(n, asyncio.Event()).wait()
        if n in self.raises:
            raise self.raises[n]
        self.ended.append(n)
        return agent.reply({"n": n}) if message.reply_to else None

    async def are(self, *numbers: int) -> None:
        """Wait until these were begun, and nothing else."""
        await until(lambda: len(self.entered) >= len(numbers))
        await asyncio.sleep(0)
        assert self.entered == list(numbers)


async def send_all(system: Any, count: int, name: str = "a") -> None:
    for n in range(count):
        await system.send(name, {"n": n})


def asking(system: Any, n: int, name: str = "a") -> asyncio.Task[Message]:
    return asyncio.create_task(system.ask(name, {"n": n}, timeout=SOON))


def loops_of(name: str) -> list[asyncio.Task[Any]]:
    """Return the tasks of an agent."""
    return [t for t in asyncio.all_tasks() if t.get_name().split(" ")[0] == name]
