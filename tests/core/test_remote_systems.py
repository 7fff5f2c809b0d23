"""Remote systems: agents of other processes under supervision, when nodes come and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._cluster.codec import encode
from civitas._cluster.protocol import EVERYONE, Left
from civitas._supervision.restart import RestartPolicy
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, until
from support.lives import Log, Mortal, count, mortals
from support.local_bus.broker import Broker
from support.local_bus.testbed import LocalBus
from support.relay import Relay, relay_to

pytestmark = pytest.mark.slow

CLOSELY = {
    "heartbeat_interval": 0.05,
    "heartbeat_timeout": 0.2,
    "missed_heartbeats_threshold": 5,
}


def primary(bus: LocalBus, *names: str, local: Any = (), **supervision: Any) -> Runtime:
    """A runtime with remote children, and local ones after them."""
    root = Supervisor("root", **{"backoff_base": 0.0, **supervision})
    for name in names:
        root.add_remote_child(name, **CLOSELY)
    root.children.extend(local)
    return Runtime(root, **bus.options())


def worker(bus: LocalBus | Relay, *agents: Any) -> Worker:
    return Worker(agents, transport={"type": "local_bus", "path": bus.path}, process="w")


def status(node: Worker, agent: str) -> ProcessStatus:
    return next(each.status for each in node.stats().agents if each.name == agent)


@pytest.fixture
def outliving_bus(local_bus: LocalBus) -> Iterator[LocalBus]:
    """A bus that is there before the primary, and after it."""
    with Broker(local_bus.path):
        yield local_bus


class Slow(Mortal):
    """Takes its time to stop."""

    def __init__(self, name: str, log: Log, **kw: Any) -> None:
        super().__init__(name, log, **kw)
        self.may_stop = asyncio.Event()

    async def on_stop(self) -> None:
        await self.may_stop.wait()


class Done(Mortal):
    """Is done as soon as it is started."""

    async def on_start(self) -> None:
        await super().on_start()
        self.stop()


async def test_a_group_does_not_wait_for_an_agent_that_ends_in_the_process_that_comes(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    log = Log()
    runtime = primary(local_bus, "w1", local=mortals(log, 9), strategy="ONE_FOR_ALL")
    async with runtime:
        async with relay_to(local_bus.path, tmp_path) as relay, worker(relay, *mortals(log, 1)):
            await count(runtime, "w1")
            await relay.cut()
            await log.until("stop w9")
        async with worker(local_bus, Done("w1", log), Scripted("other")):
            await log.until("start w9", 2)
            await count(runtime, "w9")
        assert runtime.failure is None


async def test_what_is_done_is_ended_again_in_the_process_that_comes(
    local_bus: LocalBus, tmp_path: Path
) -> None:
    log = Log()
    async with primary(local_bus, "w1", "w2") as runtime:
        async with relay_to(local_bus.path, tmp_path) as relay, worker(relay, *mortals(log, 1, 2)):
            await runtime.ask("w1", {"do": "stop"}, timeout=SOON)
            await until(lambda: "w1 [in a worker] STOPPED" in runtime.print_tree())
            await relay.cut()
            await until(lambda: "w2 [in a worker] ABSENT" in runtime.print_tree())
        for _ in range(3):
            async with worker(local_bus, *mortals(log, 1, 2)) as next_one:
                await until(lambda w=next_one: status(w, "w1") is ProcessStatus.STOPPED)
                assert await count(runtime, "w2") >= 1
                assert runtime.failure is None
        async with worker(local_bus, *mortals(log, 1, 2)):
            await count(runtime, "w2")
            await runtime.ask("w2", {"do": "stop"}, timeout=SOON)
            assert await asyncio.wait_for(runtime.wait(), SOON) == 0


async def test_a_restart_that_a_stopping_process_refuses_is_no_crash(local_bus: LocalBus) -> None:
    log, slow = Log(), Slow("w2", Log())
    async with primary(local_bus, "w1", "w2", max_restarts=1, backoff_base=0.1) as runtime:
        first = worker(local_bus, *mortals(log, 1), slow)
        await first.start()
        await count(runtime, "w1")
        await runtime.send("w1", {"do": "crash"})
        await log.until("stop w1")
        stopping = asyncio.create_task(first.stop())
        await until(lambda: "w1 [in a worker] ABSENT" in runtime.print_tree())
        slow.may_stop.set()
        await asyncio.wait_for(stopping, SOON)
        async with worker(local_bus, *mortals(log, 1, 2)):
            await log.until("start w1", 2)
            assert await count(runtime, "w1") == 1
        assert runtime.failure is None


async def test_an_agent_that_crashed_while_no_primary_was_there_is_restarted_by_the_next(
    outliving_bus: LocalBus,
) -> None:
    local_bus, log = outliving_bus, Log()
    agents = mortals(log, 1, 2)
    async with worker(local_bus, *agents) as host:
        async with primary(local_bus, "w1", "w2") as runtime:
            await count(runtime, "w1")
        await host.send("w1", {"do": "crash"})
        await until(lambda: agents[0].status is ProcessStatus.CRASHED)
        async with primary(local_bus, "w1", "w2") as runtime:
            await log.until("start w1", 2)
            assert await count(runtime, "w1") == 1


async def test_what_a_primary_had_stopped_in_the_middle_of_a_restart_is_started_by_the_next(
    outliving_bus: LocalBus,
) -> None:
    local_bus, log = outliving_bus, Log()
    async with worker(local_bus, *mortals(log, 1, 2)):
        first = primary(local_bus, "w1", "w2", strategy="ONE_FOR_ALL", backoff_base=60.0)
        async with first as runtime:
            await count(runtime, "w2")
            await runtime.send("w1", {"do": "crash"})
            await log.until("stop w2")
        async with primary(local_bus, "w1", "w2", strategy="ONE_FOR_ALL") as runtime:
            for name in ("w1", "w2"):
                await log.until(f"start {name}", 2)
                assert await count(runtime, name) >= 1


async def test_a_process_in_whose_name_somebody_said_goodbye_is_supervised_again(
    local_bus: LocalBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log = Log()
    async with primary(local_bus, "w1") as runtime, worker(local_bus, *mortals(log, 1)) as host:
        await count(runtime, "w1")
        bus = host.components.bus
        node, generation = bus.origin.node.hex(), bus.origin.generation
        goodbye = encode(Left(node, generation, "it stopped", fenced=False), bus.origin)
        await bus.transport.publish(EVERYONE, goodbye)
        await until(lambda: caplog.text.count("joined: w1") > 1)  # it is gone for a moment only
        await host.send("w1", {"do": "crash"})
        await log.until("start w1", 2)
        assert await count(runtime, "w1") == 1


async def test_an_agent_that_no_tree_names_is_restarted_by_its_own_process(
    local_bus: LocalBus, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    other = Supervisor("root", [Scripted("other")])
    async with Runtime(other, **local_bus.options()) as runtime:
        host = worker(local_bus, *mortals(log, 1))
        async with host:
            await count(runtime, "w1")
            await runtime.send("w1", {"do": "crash"})
            await log.until("start w1", 2)
            assert await count(runtime, "w1") == 1
    assert "no supervision tree names it" in caplog.text


async def test_one_that_no_tree_names_and_that_crashes_too_often_ends_its_process(
    local_bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitas.worker._DEFAULTS", RestartPolicy(backoff_base=0.0))
    log = Log()
    async with Runtime(Supervisor("root", [Scripted("other")]), **local_bus.options()) as runtime:
        host = worker(local_bus, *mortals(log, 1))
        await host.start()
        for n in range(1, 5):
            await log.until("start w1", n)
            await until(lambda: runtime.components.registry.has("w1"))
            await runtime.send("w1", {"do": "crash"})
            if n < 4:
                await log.until("start w1", n + 1)
        assert await asyncio.wait_for(host.wait_until_stopped(), SOON) == 1


async def test_a_root_that_gives_up_waits_for_no_process_that_is_stalled(
    outliving_bus: LocalBus,
) -> None:
    local_bus = outliving_bus
    stuck = Scripted("w1", shutdown_timeout=SOON)
    local = Mortal("w9", Log())
    async with worker(local_bus, stuck):
        runtime = primary(local_bus, "w1", local=[local], max_restarts=0)
        await runtime.start()
        await until(lambda: runtime.components.registry.has("w1"))
        await runtime.send("w9", {"do": "crash"})
        assert await asyncio.wait_for(runtime.wait(), SOON) == 1
        assert stuck.status is ProcessStatus.RUNNING
