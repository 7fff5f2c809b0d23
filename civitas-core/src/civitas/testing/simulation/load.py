"""Load: messages that nodes send to agents while faults happen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from civitas.client import Client
from civitas.errors import CivitasError
from civitas.runtime import Runtime
from civitas.testing.simulation.deployment import Incarnation
from civitas.worker import Worker


@dataclass
class Load:
    """What is sent, and how often.

    Attributes:
        agents: whom it is sent to, one at random each time.
        rate: messages in a second from each node that sends.
        payload: what is in each message; `n`, a number, is added.
        type: the type of the messages.
        asks: the share of messages that are asks, from 0 to 1.
        timeouts: what the timeouts of asks are drawn from, in seconds.
    """

    agents: Sequence[str]
    rate: float
    numbers: random.Random
    payload: Mapping[str, Any] = field(default_factory=dict)
    type: str = "message"
    asks: float = 0.0
    timeouts: Sequence[float] = (5.0,)
    sent: int = 0
    going: bool = True

    async def run(self, incarnation: Incarnation) -> None:
        """Send from one node, until the load ends or the node does."""
        node = incarnation.node
        assert node is not None
        while True:
            await asyncio.sleep(self.numbers.uniform(0.0, 2.0 / self.rate))
            if not self.going or incarnation.code is not None or incarnation.told_to_stop:
                return
            self.sent += 1
            agent = self.numbers.choice(self.agents)
            timeout = None
            if self.asks and self.numbers.random() < self.asks:
                timeout = self.numbers.choice(self.timeouts)
            # What becomes of it stands in the history; here it is nobody's failure.
            with suppress(CivitasError, TimeoutError):
                await self._send(node, agent, timeout)

    async def _send(
        self, node: Runtime | Worker | Client, agent: str, timeout: float | None
    ) -> None:
        payload = {"n": self.sent, **self.payload}
        if timeout is None:
            await node.send(agent, payload, self.type)
        else:
            await node.ask(agent, payload, self.type, timeout=timeout)
