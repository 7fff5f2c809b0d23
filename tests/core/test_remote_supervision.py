"""Remote supervision: what a node's end, and a crash within a live one, come to in the tree."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._supervision.remote import AgentReport, RemoteAgent, RemoteChild
from civitas._supervision.remote_state import Demand
from civitas.errors import (
    MessageRoutingError,
    NodeLostError,
    OutcomeUnknownError,
    RemoteCrashError,
    SpawnError,
)
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


class Node:
    """A node that is commanded: it keeps the commands, and answers when the test says."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, int]] = []
        self.answers: asyncio.Queue[AgentReport | None] = asyncio.Queue()
        self.exits: list[str] = []
        child = RemoteChild("a")
        self.agent = RemoteAgent(child, self.command, self._exited, self._failed)

    async def command(self, demand: Demand, agent: str) -> AgentReport | None:
        self.commands.append((demand.verb, demand.incarnation))
        return await self.answers.get()

    def say(self, status: str, incarnation: int, error: str = "") -> None:
        """Report how the agent is."""
        crash = RemoteCrashError(error) if error else None
        self.agent.reported("01", AgentReport(status, incarnation, crash))

    def _exited(self, agent: RemoteAgent) -> None:
        self.exits.append(str(agent.failure))

    def _failed(self, error: BaseException) -> None:
        raise error


@pytest.fixture
async def node() -> Node:
    node = Node()
    node.say("RUNNING", 0)
    await node.agent.start()
    return node


async def test_a_crash_during_a_restart_fails_the_restart_whatever_comes_first(node: Node) -> None:
    node.say("CRASHED", 0, "first")
    assert node.exits == ["first"]
    starting = asyncio.create_task(node.agent.start(fresh=True))
    await until(lambda: node.commands == [("start", 0)])
    node.say("CRASHED", 1, "second")  # before the result has come
    with pytest.raises(SpawnError, match="second"):
        await starting
    node.answers.put_nowait(AgentReport("CRASHED", 1))
    assert node.exits == ["first"]


async def test_a_restart_whose_result_is_late_has_ended_when_the_agent_is_seen_to_run(
    node: Node,
) -> None:
    node.say("CRASHED", 0, "first")
    starting = asyncio.create_task(node.agent.start(fresh=True))
    await until(lambda: bool(node.commands))
    node.say("RUNNING", 1)
    await asyncio.wait_for(starting, SOON)
    node.answers.put_nowait(AgentReport("RUNNING", 1))


async def test_what_may_have_started_is_stopped_before_a_group_starts_again() -> None:
    node = Node()
    node.say("INITIALIZING", 0)
    await node.agent.start()
    stopping = asyncio.create_task(node.agent.stop(drain=False))
    await until(lambda: node.commands == [("stop", 0)])
    node.answers.put_nowait(AgentReport("DOWN", 0))
    await asyncio.wait_for(stopping, SOON)
    node.say("RUNNING", 0)  # said before it was stopped
    assert not node.agent.alive
    starting = asyncio.create_task(node.agent.start(fresh=True))
    await until(lambda: node.commands[1:] == [("start", 0)])
    node.answers.put_nowait(AgentReport("RUNNING", 1))
    await asyncio.wait_for(starting, SOON)


async def test_a_restart_of_what_has_ended_for_good_elsewhere_has_nothing_to_wait_for(
    node: Node,
) -> None:
    node.say("CRASHED", 0, "first")
    node.agent.lost("01", NodeLostError("it has gone"))
    starting = asyncio.create_task(node.agent.start(fresh=True))
    await asyncio.sleep(0)
    node.agent.reported("02", AgentReport("STOPPED", 0))
    await asyncio.wait_for(starting, SOON)
    assert node.agent.finished


async def test_a_refused_command_is_no_crash_and_the_next_node_starts_the_agent(
    node: Node,
) -> None:
    node.say("CRASHED", 0, "first")
    starting = asyncio.create_task(node.agent.start(fresh=True))
    await until(lambda: bool(node.commands))
    node.answers.put_nowait(AgentReport("", 0, MessageRoutingError("its process is stopping")))
    node.agent.lost("01", None)
    node.agent.reported("02", AgentReport("RUNNING", 0))
    await asyncio.wait_for(starting, SOON)
    assert node.exits == ["first"]
    assert len(node.commands) == 1


async def test_a_refused_command_is_sent_again_while_its_node_stays(node: Node) -> None:
    node.say("CRASHED", 0, "first")
    starting = asyncio.create_task(node.agent.start(fresh=True))
    refused = AgentReport("", 0, MessageRoutingError("not now"))
    for times in range(1, 4):
        await until(lambda times=times: node.commands == [("start", 0)] * times)
        node.answers.put_nowait(refused)
        await until(node.answers.empty)
        node.agent.repeat()
    await until(lambda: len(node.commands) == 4)
    node.answers.put_nowait(AgentReport("RUNNING", 1))
    await asyncio.wait_for(starting, SOON)


async def test_what_had_crashed_before_it_was_supervised_is_a_crash_then() -> None:
    node = Node()
    node.say("CRASHED", 5, "while nobody was there")
    assert node.exits == []
    await node.agent.start()
    assert node.exits == ["while nobody was there"]


async def test_the_end_of_a_tree_leaves_the_agents_of_other_processes_alone(node: Node) -> None:
    await node.agent.stop(drain=False, final=True)
    assert node.commands == []


async def test_a_stop_that_came_before_the_start_is_sent_again() -> None:
    node = Node()
    node.say("INITIALIZING", 0)
    await node.agent.start()
    stopping = asyncio.create_task(node.agent.stop(drain=False))
    await until(lambda: node.commands == [("stop", 0)])
    node.answers.put_nowait(AgentReport("INITIALIZING", 0))
    node.answers.put_nowait(AgentReport("DOWN", 0))
    await until(lambda: node.answers.qsize() == 1)
    assert not stopping.done()
    node.say("RUNNING", 0)
    await asyncio.wait_for(stopping, SOON)
    assert node.commands == [("stop", 0)] * 2
