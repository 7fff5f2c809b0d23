"""Remote supervision: what a node's end, and a crash within a live one, come to in the tree."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._supervision.remote import (
    Outcome,
    RemoteAgent,
    RemoteChild,
    RemoteCrash,
)
from civitas.errors import MessageRoutingError, OutcomeUnknownError, RemoteCrashError
from support.agents import SOON, Gate, Scripted, echo, until
from support.lives import Log, count, mortals
from support.local_bus.testbed import LocalBus
from support.relay import Relay, relay_to

pytestmark = pytest.mark.slow

PATIENT = 10
CLOSELY = {
    "heartbeat_interval": 0.1,
    "heartbeat_timeout": 0.2,
    "missed_heartbeats_threshold": PATIENT,
}


def primary(bus: LocalBus, *names: str, local: Any = (), **supervision: Any) -> Runtime:
    root = Supervisor("root", local, **{"backoff_base": 0.0, **supervision})
    for name in names:
        root.add_remote_child(name, **CLOSELY)
    return Runtime(root, **bus.options())


def behind(relay: Relay, *agents: Any) -> Worker:
    return Worker(agents, transport={"type": "local_bus", "path": relay.path}, process="w")


async def test_asks_in_flight_fail_at_once_when_the_node_has_gone(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    gate = Gate()
    async with (
        primary(local_bus, "a") as runtime,
        relay_to(local_bus.path, tmp_path) as relay,
        behind(relay, Scripted("a", gate, shutdown_timeout=0.1)),
    ):
        asks = [asyncio.create_task(runtime.ask("a", {}, timeout=60)) for _ in range(5)]
        await gate.entered.wait()
        await relay.cut()
        for asking in asks:
            with pytest.raises(OutcomeUnknownError, match="'a' was in process 'w'.*has gone"):
                await asyncio.wait_for(asking, SOON)
        with pytest.raises(MessageRoutingError, match="has gone"):
            await runtime.send("a", {})


async def test_the_agents_of_a_dead_node_count_once_and_come_back_with_the_next(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    heard: list[str] = []
    log = Log()
    runtime = primary(local_bus, "w1", "w2", "w3", max_restarts=1)
    runtime.on_crash(lambda name, error: heard.append(name))
    async with runtime:
        async with (
            relay_to(local_bus.path, tmp_path) as relay,
            behind(relay, *mortals(log, 1, 2, 3)),
        ):
            await count(runtime, "w2")
            await relay.cut()
            await until(lambda: len(heard) == 3)
        assert runtime.failure is None
        async with Worker(mortals(log, 1, 2, 3), process="w", **local_bus.options()):
            for name in ("w1", "w2", "w3"):
                await until(lambda name=name: runtime.components.registry.has(name))
                assert await count(runtime, name) == 1
            assert runtime.failure is None
    assert sorted(heard) == ["w1", "w2", "w3"]


async def test_a_group_is_restarted_when_a_node_with_one_of_it_dies(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    log = Log()
    local = mortals(log, 9)
    runtime = primary(local_bus, "w1", local=local, strategy="ONE_FOR_ALL")
    async with runtime:
        async with relay_to(local_bus.path, tmp_path) as relay, behind(relay, *mortals(log, 1)):
            await count(runtime, "w9")
            await relay.cut()
            await log.until("start w9", 2)
        async with Worker(mortals(log, 1), process="w", **local_bus.options()):
            assert await count(runtime, "w9") == 1
            await until(lambda: runtime.components.registry.has("w1"))
            assert await count(runtime, "w1") == 1


async def test_a_crash_in_a_live_worker_is_told_at_once_whatever_the_interval(
    local_bus: LocalBus,
) -> None:
    log = Log()
    root = Supervisor("root", backoff_base=0.0)
    root.add_remote_child("w1", heartbeat_interval=600.0)
    runtime = Runtime(root, **local_bus.options())
    async with runtime, Worker(mortals(log, 1), **local_bus.options()):
        for n in range(2, 5):
            await until(lambda: runtime.components.registry.has("w1"))
            await runtime.send("w1", {"do": "crash"})
            await log.until("start w1", n)
        assert await count(runtime, "w1") == 1


async def test_a_worker_outlives_its_primary_and_serves_the_next_one(local_bus: LocalBus) -> None:
    from support.local_bus.broker import Broker

    with Broker(local_bus.path):
        async with Worker([Scripted("a", echo)], process="w", **local_bus.options()) as worker:
            for _ in range(2):
                async with primary(local_bus, "a") as runtime:
                    assert (await runtime.ask("a", {}, timeout=SOON)).payload["from"] == "a"
            assert worker.failure is None


async def test_what_a_crash_was_is_not_forgotten_over_the_state_that_is_told_after_it() -> None:
    exits: list[str] = []
    restarting, answer = asyncio.Event(), asyncio.Event()

    async def command(node: str, verb: str, agent: str, timeout: float) -> Outcome:
        restarting.set()
        await answer.wait()
        return Outcome(1, "")

    slot = RemoteAgent(RemoteChild("a"), command, lambda slot: exits.append(str(slot.failure)))
    slot.heard("01", "RUNNING", 0)
    slot.crashed("01", RemoteCrash(0, RemoteCrashError("first")))
    starting = asyncio.create_task(slot.start(fresh=True))
    await restarting.wait()
    slot.crashed("01", RemoteCrash(1, RemoteCrashError("second")))  # before the answer has come
    slot.heard("01", "CRASHED", 1)
    answer.set()
    await starting
    assert exits == ["first", "second"]


async def test_who_may_have_started_is_stopped_before_a_group_starts_again() -> None:
    verbs: list[str] = []

    async def command(node: str, verb: str, agent: str, timeout: float) -> Outcome:
        verbs.append(verb)
        return Outcome(verbs.count("restart"), "")

    slot = RemoteAgent(RemoteChild("a"), command, lambda slot: None)
    slot.heard("01", "INITIALIZING", 0)
    await slot.stop(drain=False)
    slot.heard("01", "RUNNING", 0)  # said before it was stopped
    assert not slot.alive
    await slot.start(fresh=True)
    assert verbs == ["stop", "restart"]
    assert slot.alive
