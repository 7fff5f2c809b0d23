"""Typed messages on an at-least-once transport: what is refused is a dead letter at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from civitas import AgentProcess, Message, on
from civitas.testing import simulation as sim
from civitas.testing.simulation.plugin import server_of
from civitas.transport import Kept

pytestmark = pytest.mark.slow

TOPOLOGY = {
    "supervision": {
        "name": "root",
        "max_restarts": 1000,
        "children": [
            {"agent": {"name": "desk", "type": "desk"}},
            {"agent": {"name": "press", "type": "press", "process": "worker"}},
        ],
    }
}


@dataclass
class Order:
    """Of which the third, the sixth and so on are not valid."""

    n: int

    def __post_init__(self) -> None:
        if not self.n % 3:
            raise ValueError("a third one")


class Press(AgentProcess):
    @on(Order)
    async def print(self, order: Order, message: Message) -> Order | None:
        return order if message.reply_to else None


class Desk(AgentProcess):
    @on(Order)
    async def take(self, order: Order, message: Message) -> Order | None:
        await self.send("press", Order(order.n))
        await self.send("press", {"n": 3 * order.n}, "Order")
        await self.send("press", {"n": order.n}, "Reorder")
        return order if message.reply_to else None


CLASSES = {"desk": Desk, "press": Press}


def refused(message: Message) -> bool:
    return message.type == "Reorder" or not message.payload["n"] % 3


def dead(system: sim.System) -> list[str]:
    return [each.reason for each in server_of(system.world).messages(Kept.DEAD)]


@sim.test(topology=TOPOLOGY, seeds=3, agent_classes=CLASSES, transport={"at_least_once": True})
async def test_what_is_refused_is_given_once_and_is_a_dead_letter(system: sim.System) -> None:
    async with system.load("desk", rate=10, message_type="Order", asks=0.5):
        await system.storm(seconds=5)
    await system.calm()
    begun = [each for each in system.history.handlings if refused(each.message)]
    assert len({each.message.id for each in begun}) == len(begun) > 20
    assert {each.outcome for each in begun} == {"RefusedMessageError"}
    asked = [each for each in system.history.sendings if each.timeout and refused(each.message)]
    assert {each.outcome for each in asked} == {"MessageValidationError"}
    assert len(dead(system)) == len(begun) - len(asked)
    assert not system.history.causes


@sim.test(
    topology=TOPOLOGY,
    seeds=10,
    faults=sim.Faults(kill=True, pause=True, crash=True, server=True),
    agent_classes=CLASSES,
    transport={"at_least_once": True},
    invariants=[sim.nothing_lost("press")],
)
async def test_under_faults_each_is_handled_or_kept(system: sim.System) -> None:
    async with system.load("desk", rate=10, message_type="Order", asks=0.3):
        await system.storm(seconds=10)
    await system.calm(within=60)
    assert system.history.accepted("press")


@sim.test(
    topology=TOPOLOGY,
    seeds=10,
    faults=sim.Faults(crash=True, partition=True, loss=True),
    agent_classes=CLASSES,
)
async def test_at_most_once_the_counters_are_exact(system: sim.System) -> None:
    async with system.load("desk", rate=10, message_type="Order", asks=0.3):
        await system.storm(seconds=10)
    await system.calm(within=60)
    assert any(refused(each.message) for each in system.history.handlings)
