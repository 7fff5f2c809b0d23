"""A stop waits for a crashed agent as long as that can still come back within it."""

from __future__ import annotations

import asyncio

import pytest

from civitas import Message, Supervisor
from civitas.runtime import Runtime
from support.agents import SOON, Gate, Scripted, fail, until

LONG = 100 * SOON
"""Seconds that nobody waits here."""


def crashing(name: str, shutdown_timeout: float) -> Scripted:
    """Return an agent whose first object crashes on its first message."""
    return Scripted(name, fail, shutdown_timeout=shutdown_timeout)


def system(*agents: Scripted, backoff: float, strategy: str = "ONE_FOR_ONE") -> Runtime:
    tree = Supervisor("root", agents, strategy, backoff_base=backoff, backoff_max=2 * LONG)
    return Runtime(tree)


@pytest.mark.parametrize("strategy", ["ONE_FOR_ONE", "ONE_FOR_ALL"])
async def test_a_stop_does_not_wait_for_an_agent_whose_restart_comes_after_it(
    strategy: str,
) -> None:
    r = system(crashing("a", LONG), Scripted("b"), backoff=2 * LONG, strategy=strategy)
    await r.start()
    for n in range(3):
        await r.send("a", {"n": n})
    await until(lambda: r.stats().agents[0].restart_in is not None)
    await asyncio.wait_for(r.stop(), SOON)


async def test_nor_for_one_that_crashes_while_the_node_stops() -> None:
    gate = Gate()

    async def crash_later(_: Scripted, message: Message) -> None:
        await gate(_, message)
        raise ValueError("late")

    r = system(Scripted("a", crash_later, shutdown_timeout=LONG), backoff=2 * LONG)
    await r.start()
    for n in range(3):
        await r.send("a", {"n": n})
    await gate.entered.wait()
    stopping = asyncio.create_task(r.stop())
    await until(lambda: r.components.bus.closing)
    gate.opened.set()
    await asyncio.wait_for(stopping, SOON)


async def test_it_waits_for_one_that_comes_back_before() -> None:
    handled: list[int] = []

    async def crash_first(_: Scripted, message: Message) -> None:
        handled.append(message.payload["n"])
        if message.payload["n"] == 0:
            raise ValueError("first")

    r = system(Scripted("a", crash_first, shutdown_timeout=LONG), backoff=0.2)
    await r.start()
    for n in range(3):
        await r.send("a", {"n": n})
    await until(lambda: bool(handled))
    await asyncio.wait_for(r.stop(), SOON)
    assert handled == [0, 1, 2]
