"""Joining: how long a worker takes until it is started, and until the primary reaches it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from civitas import AgentProcess, Message, Runtime, Supervisor, Worker
from civitas.components import build_component_set
from civitas.errors import MessageRoutingError
from civitas.testing.simulation.network import Conditions
from civitas.testing.simulation.plugin import network_of
from civitas.testing.simulation.world import World, installed

SLOWEST = 0.01
"""Seconds that a frame takes at most."""

STEPS = 10
"""Frames that follow upon each other until a worker has answered: a hello, the challenge, the hello
with its proof, the welcome, a probe, that of the other node, its answer, that the worker is
admitted; a question, and its answer."""


class Echo(AgentProcess):
    async def handle(self, message: Message) -> Message:
        return self.reply({})


def wiring(process: str) -> dict[str, Any]:
    primary = process == "supervisor"
    options = {"type": "simulation"}
    return {"components": build_component_set(options, process=process, is_primary=primary)}


def seconds_until_reached(seed: int, workers: int) -> float:
    """Start workers together, and return when the primary has an answer of each."""
    world = World(seed)
    network_of(world).conditions = Conditions((0.0002, SLOWEST), spike=0.0, crowding=0.0)
    names = [f"agent_{number}" for number in range(workers)]

    async def primary() -> float:
        async with Runtime(Supervisor("root", []), **wiring("supervisor")) as runtime:
            began = world.now
            for name in names:
                world.process(name).spawn(worker(name))
            await asyncio.gather(*(reach(runtime, name) for name in names))
            return world.now - began

    async def reach(runtime: Runtime, name: str) -> None:
        while True:
            try:
                await runtime.ask(name, {})
            except MessageRoutingError:  # it is not there yet
                await asyncio.sleep(0.001)
            else:
                return

    async def worker(name: str) -> None:
        await Worker([Echo(name)], process=name, **wiring(name)).start()

    async def test() -> float:
        asking = world.process("supervisor").spawn(primary())
        while not asking.done():
            await asyncio.sleep(0.1)
        return asking.result()

    with installed(world):
        return world.run(test())


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_worker_is_reached_without_waiting_for_a_beat(seed: int, workers: int) -> None:
    """Its primary's probe often comes before the welcome that has to precede it."""
    assert seconds_until_reached(seed, workers) < STEPS * SLOWEST
