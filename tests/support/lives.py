"""Agents whose lives are logged, and who crash, fail and leave as their messages say."""

from __future__ import annotations

import asyncio
from typing import Any

from civitas import AgentProcess, ErrorAction, Message
from support.agents import SOON


class Log:
    """What happened, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def add(self, event: str) -> None:
        self.events.append(event)

    async def until(self, event: str, times: int = 1) -> None:
        async with asyncio.timeout(SOON):
            while self.events.count(event) < times:
                await asyncio.sleep(0.001)

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events


class Mortal(AgentProcess):
    """Logs its life; crashes, counts or answers as its messages say.

    `crash` crashes it whenever it is given, `crash once` only at the first time.
    """

    def __init__(self, name: str, log: Log, action: ErrorAction | None = None, **kw: Any) -> None:
        super().__init__(name, **kw)
        self.log = log
        self.action = action
        self.count = 0
        self.attempts: list[int] = []

    async def on_start(self) -> None:
        self.log.add(f"start {self.name}")

    async def on_stop(self) -> None:
        self.log.add(f"stop {self.name}")

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return self.action or await super().on_error(error, message)

    async def handle(self, message: Message) -> Message | None:
        command = message.payload.get("do")
        if command == "crash once" and message.attempt:
            return None
        self.count += 1
        self.attempts.append(message.attempt)
        if command in {"crash", "crash once"}:
            raise ValueError("crash")
        if command == "fail until":
            if message.attempt < message.payload["attempt"]:
                raise ValueError("not yet")
        elif command == "stop":
            self.stop()
        return self.reply({"count": self.count, "attempts": self.attempts})


def mortals(log: Log, *numbers: int) -> list[Mortal]:
    """Return agents w1, w2, and so on."""
    return [Mortal(f"w{n}", log) for n in numbers]


async def count(system: Any, name: str) -> int:
    """Return how many messages the agent's present object has had, this one included."""
    return int((await system.ask(name, {}, timeout=SOON)).payload["count"])
