"""The agents that are measured: one that answers, and one that counts."""

from __future__ import annotations

from typing import Final

from civitas._bus.deferred import Deferred
from civitas.messages import Message
from civitas.process import AgentProcess

UNTIL: Final = "until"
"""Type of the question that the sink answers when it has counted so many."""


class EchoAgent(AgentProcess):
    """Answers with what it was asked."""

    async def handle(self, message: Message) -> Message:
        """Answer."""
        return self.reply(message.payload)


class SinkAgent(AgentProcess):
    """Counts messages, and answers with the count when it has reached the one that is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._count = 0
        self._waiting: tuple[int, Deferred] | None = None

    async def handle(self, message: Message) -> None:
        """Count, or take a question."""
        if message.type == UNTIL:
            self._waiting = (message.payload["count"], self.defer())
        else:
            self._count += 1
        if self._waiting is not None and self._count >= self._waiting[0]:
            (_, asked), self._waiting = self._waiting, None
            await asked.reply({"count": self._count})
