"""The scenarios of our own simulations: every topology, with both kinds of transport."""

from __future__ import annotations

from civitas.testing.simulation.faults import Faults
from civitas.testing.simulation.run import Scenario
from civitas.testing.simulation.system import EVERY_NODE, System
from core.simulation.topologies import CLASSES, flat, nested


async def weather(system: System) -> None:
    """Talk from everywhere to everyone while things go wrong, then see that all is well."""
    async with system.load(rate=4.0, senders=EVERY_NODE, asks=0.3, timeouts=(0.3, 1.0, 5.0)):
        await system.storm(seconds=12.0)
    await system.calm(within=40.0)


EVERYTHING = Faults.every(without=("clock", "drift"))
CLOCKS = Faults(clock=True, drift=True, crash=True, kill=True)

SCENARIOS = {
    "flat": Scenario(weather, flat, EVERYTHING, CLASSES),
    "nested": Scenario(weather, nested, EVERYTHING, CLASSES),
    "clocks": Scenario(weather, flat, CLOCKS, CLASSES),
    "flat, durable": Scenario(weather, flat, EVERYTHING, CLASSES, {"at_least_once": True}),
    "nested, durable": Scenario(weather, nested, EVERYTHING, CLASSES, {"at_least_once": True}),
}
