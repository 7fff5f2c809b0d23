"""Nodes whose info is larger than a frame of their transport, and those that can't be announced."""

from __future__ import annotations

import random
from typing import Any

import pytest

from civitas import Worker
from civitas.errors import ConfigurationError, MessageTooLargeError, TransportError
from civitas.messages import RESERVED_PREFIX
from civitas.plugins import Capabilities
from civitas.testing.simulation.run import Scenario, run
from civitas.transport import InProcessTransport
from core.simulation.scenarios import EVERYTHING, weather
from core.simulation.topologies import CLASSES, agent, flat
from support.agents import Scripted


def crowded(numbers: random.Random) -> dict[str, Any]:
    """A flat system whose first worker has 100 agents more, which nobody talks to."""
    topology = flat(numbers)
    topology["supervision"]["children"] += [agent(f"crowd{n:03}", "w1") for n in range(100)]
    return topology


@pytest.mark.slow
@pytest.mark.parametrize("durable", [False, True])
def test_a_node_in_pieces_is_found_watched_and_restarted_under_faults(durable: bool) -> None:
    options = {"max_message_bytes": 2_000, "at_least_once": durable}
    scenario = Scenario(weather, crowded, EVERYTHING, CLASSES, options)
    for seed in range(2):
        assert run(scenario, seed).summary() == ""


class Narrow(InProcessTransport):
    """Refuses system frames above a size; `claimed` is what it says of itself."""

    def __init__(self, carries: int, claimed: int | None) -> None:
        super().__init__()
        self.capabilities = Capabilities(cross_process=True, max_message_bytes=claimed)
        self.sizes: list[int] = []
        self._carries = carries

    async def publish(self, address: str, data: bytes) -> None:
        if address.startswith(RESERVED_PREFIX) and len(data) > self._carries:
            raise MessageTooLargeError(f"a frame of {len(data)} bytes is too large")
        self.sizes.append(len(data))
        await super().publish(address, data)


async def test_a_transport_of_too_small_messages_fails_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"up to 500 bytes.*max_message_bytes"):
        await Worker([Scripted("a")], transport=Narrow(500, 500)).start()


async def test_a_transport_that_refuses_the_hello_of_a_node_fails_its_start() -> None:
    agents = [Scripted(f"agent{number}") for number in range(100)]
    with pytest.raises(TransportError, match=r"can't be announced.*Hello.*too large"):
        await Worker(agents, transport=Narrow(2_000, None)).start()


async def test_a_transport_that_carries_the_pieces_is_enough() -> None:
    agents, transport = [Scripted(f"agent{number}") for number in range(100)], Narrow(2_000, 2_000)
    async with Worker(agents, transport=transport):
        # A hello has all names; it went in pieces that are as large as the transport carries.
        assert 1_900 < max(transport.sizes) <= 2_000
