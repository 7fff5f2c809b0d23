"""Ticks beside durable messages: a tick settles no frame but its own, which nobody awaits."""

from __future__ import annotations

from typing import Any

from civitas import AgentProcess, Deferred, Message
from support.agents import Scripted, echo, until
from support.ledger import Ledger, running


class Later(AgentProcess):
    """Defers each message, but for ticks."""

    async def on_start(self) -> None:
        self.ticks = 0
        self.open: list[Deferred] = []

    async def handle(self, message: Message) -> None:
        if message.type == "tick":
            self.ticks += 1
        else:
            self.open.append(self.defer())


async def test_a_tick_settles_no_message_that_is_open() -> None:
    ledger = Ledger()
    async with running(ledger, Later("a"), Scripted("other", echo)) as runtime:
        agent: Any = runtime.get_agent("a")
        await runtime.send("a", {})
        await until(lambda: bool(agent.open))
        agent.after(0, {}, "tick")
        await until(lambda: agent.ticks == 1)
        await runtime.ask("other", {})
        assert len(ledger.kept("a")) == 1
        await agent.open[0].reply({})
        await until(lambda: not ledger.kept("a"))
