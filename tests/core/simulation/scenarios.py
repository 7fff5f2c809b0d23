"""The scenarios of our own simulations: every topology, with both kinds of transport."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

from civitas._signing.settings import NOT_AUTHENTICATED, REPLAYED
from civitas.client import Client
from civitas.errors import CivitasError
from civitas.testing.simulation.deployment import CLIENT, Incarnation
from civitas.testing.simulation.faults import Faults
from civitas.testing.simulation.run import Scenario
from civitas.testing.simulation.system import EVERY_NODE, System
from core.simulation.topologies import CLASSES, concurrent, flat, narrow, nested, ticking

RECOVERY = 3.0
"""Seconds of load after the last fault: a node that is silent is found dead in 2, for example."""


async def weather(system: System) -> None:
    """Talk from everywhere to everyone while things go wrong, then see that all is well."""
    await talk_in_a_storm(system, system.random.choice((3.0, 3.0, 12.0)))


async def busy_weather(system: System) -> None:
    """Do so with more to do, so that what is stopped is at work."""
    await talk_in_a_storm(system, 12.0)


async def talk_in_a_storm(system: System, rate: float) -> None:
    async with system.load(rate=rate, senders=EVERY_NODE, asks=0.3, timeouts=(0.3, 1.0, 5.0)):
        await system.storm(seconds=12.0, recovery=RECOVERY)
    await system.calm(within=40.0)


async def restarts_are_wanted(system: System) -> None:
    """Have agents restarted by a client, some twice at once, while things go wrong."""
    wanting = asyncio.create_task(_want_restarts(system))
    await talk_in_a_storm(system, 3.0)
    wanting.cancel()
    await asyncio.wait((wanting,))
    if not wanting.cancelled():
        wanting.result()


async def _want_restarts(system: System) -> None:
    system.deployment.start(CLIENT)
    numbers = system.world.random("restarts")
    while True:
        await asyncio.sleep(numbers.choice((0.05, 0.4, 1.5)))
        client = system.deployment.current[CLIENT]
        if client.serves:
            agent = numbers.choice(system.cast.agents)
            times = numbers.choice((1, 1, 2))
            wanted = (
                client.process.spawn(_restarted(client, agent, system), "call")
                for _ in range(times)
            )
            await asyncio.wait([*wanted], timeout=numbers.choice((0.0, 0.2)))
        else:
            system.deployment.start(CLIENT)


async def _restarted(client: Incarnation, agent: str, system: System) -> None:
    """Have an agent restarted; whatever becomes of that, it is said once, in words."""
    assert isinstance(client.node, Client)
    outcome = "restarted"
    try:
        await client.node.restart(agent, timeout=8.0)
    except (CivitasError, TimeoutError) as error:
        outcome = type(error).__name__
    system.history.note("wanted", agent, outcome)


EVERYTHING = Faults.every(without=("clock", "drift"))
CLOCKS = Faults(clock=True, drift=True, crash=True, kill=True)

ORDERLY = Faults(crash=True, stop=True, slow_stop=True, most=12)
SLOW = Faults(
    slow_handle=True, block=True, crash=True, done=True, stop=True, slow_stop=True, most=12
)
JOBS = Faults(done=True, kill=True, crash=True, slow_start=True, most=12)
RESTARTS = Faults(
    crash=True, kill=True, done=True, partition=True, slow_start=True, slow_stop=True, most=12
)
CUT_OFF = Faults(
    partition=True, link=True, done=True, crash=True, kill=True, kill_primary=True, stop=True
)
DURABLE = {"at_least_once": True}
ONCE = Faults.every(without=("clock", "drift", "repetition"))
"""A network that repeats nothing: what comes twice is refused where frames are signed."""


def signed(frames: str) -> Callable[[random.Random], dict[str, Any]]:
    """Return what makes the topology `flat` with a key, which signs these frames."""

    def topology(numbers: random.Random) -> dict[str, Any]:
        key = {"cluster_key": "the-key-of-a-simulation", "signed_frames": frames}
        return {**flat(numbers), **key}

    return topology


def nothing_is_refused(system: System) -> Iterator[str]:
    """No frame of a node with the key is taken for another one's, or for an old one."""
    for each in system.deployment.incarnations:
        counts = each.node.components.bus.dead_letters.counts if each.node is not None else {}
        for reason in (NOT_AUTHENTICATED, REPLAYED):
            if counts.get(reason):
                yield f"{each.name} has refused {counts[reason]} frames: {reason}"


SCENARIOS = {
    each.name: each
    for each in (
        Scenario(weather, flat, EVERYTHING, CLASSES, name="flat"),
        Scenario(weather, nested, EVERYTHING, CLASSES, name="nested"),
        Scenario(weather, flat, EVERYTHING, CLASSES, DURABLE, name="flat, durable"),
        Scenario(weather, nested, EVERYTHING, CLASSES, DURABLE, name="nested, durable"),
        Scenario(weather, concurrent, EVERYTHING, CLASSES, name="concurrent"),
        Scenario(weather, concurrent, EVERYTHING, CLASSES, DURABLE, name="concurrent, durable"),
        *(
            Scenario(weather, ticking(plain), EVERYTHING, CLASSES, transport, name=f"{name}{kept}")
            for plain, name in ((flat, "timers, flat"), (nested, "timers, nested"))
            for transport, kept in (({}, ""), (DURABLE, ", durable"))
        ),
        Scenario(busy_weather, flat, ORDERLY, CLASSES, name="orderly"),
        Scenario(busy_weather, narrow, SLOW, CLASSES, name="narrow"),
        Scenario(weather, flat, JOBS, CLASSES, name="jobs"),
        Scenario(weather, flat, CLOCKS, CLASSES, name="clocks"),
        Scenario(weather, flat, CUT_OFF, CLASSES, name="cut off, flat"),
        Scenario(weather, nested, CUT_OFF, CLASSES, name="cut off, nested"),
        Scenario(weather, nested, CUT_OFF, CLASSES, DURABLE, name="cut off, durable"),
        Scenario(restarts_are_wanted, flat, EVERYTHING, CLASSES, name="restarts, flat"),
        Scenario(restarts_are_wanted, nested, RESTARTS, CLASSES, name="restarts, nested"),
        *(
            Scenario(
                weather,
                signed(frames),
                ONCE,
                CLASSES,
                transport,
                (nothing_is_refused,),
                name=f"signed {frames}{kept}",
            )
            for frames in ("control", "all")
            for transport, kept in (({}, ""), (DURABLE, ", durable"))
        ),
    )
}
