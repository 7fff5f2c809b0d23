"""Agents that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from civitas import AgentProcess, ErrorAction, Message, Runtime, Supervisor
from civitas.components import build_component_set
from civitas.errors import MailboxFullError

Handle = Callable[["Scripted", Message], Awaitable[Message | None]]
SOON = 20.0
"""Seconds that a test waits; agents have 30 for most of what a test must not wait for."""

BRIEFLY = 0.5
"""Seconds of an ask that gives up, or of a message that expires, after it has arrived."""


class Scripted(AgentProcess):
    """Does in `handle` what the test says, and keeps what it got."""

    def __init__(
        self, name: str, script: Handle | None = None, action: ErrorAction | None = None, **kw: Any
    ) -> None:
        super().__init__(name, **kw)
        self.script = script
        self.action = action
        self.got: list[Message] = []

    async def handle(self, message: Message) -> Message | None:
        self.got.append(message)
        return await self.script(self, message) if self.script else None

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return self.action or await super().on_error(error, message)


async def echo(agent: Scripted, message: Message) -> Message:
    return agent.reply({"echo": message.payload, "from": agent.name})


async def fail(agent: Scripted, message: Message) -> None:
    raise ValueError("no good")


def runtime(*agents: AgentProcess, send_timeout: float = 30.0, **supervision: Any) -> Runtime:
    supervision = {"backoff_base": 0.0} | supervision
    return Runtime(
        Supervisor("root", agents, **supervision),
        components=build_component_set(send_timeout=send_timeout),
    )


class Gate:
    """A handler that says when it has a message, and keeps it until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, agent: Scripted, message: Message) -> Message | None:
        self.entered.set()
        await self.opened.wait()
        return agent.reply({}) if message.reply_to else None


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.001)


async def fill(system: Any, name: str) -> int:
    """Send to an agent that handles nothing until there is no room; return what was accepted."""
    accepted = 0
    try:
        while True:
            await system.send(name, {"n": accepted})
            accepted += 1
    except MailboxFullError:
        return accepted
