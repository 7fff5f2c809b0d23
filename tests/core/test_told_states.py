"""What a node tells of agents that don't run, and of nodes that have gone."""

from __future__ import annotations

from typing import Any

from civitas import Runtime, Supervisor, Worker
from civitas._cluster.departures import Departures
from civitas._cluster.events import NodeLost
from civitas._cluster.protocol import NodeInfo
from civitas._node.counters import told
from civitas.runtime import RemoteAgentStats
from support.agents import Scripted, fail, runtime, until
from support.local_bus.testbed import LocalBus

NOW = 1_000.0


def node(process: str, number: int = 1) -> NodeInfo:
    return NodeInfo(f"{number:016x}", 1, process, "worker")


def only(agents: tuple[RemoteAgentStats, ...]) -> RemoteAgentStats:
    [agent] = agents
    return agent


# --- agents of its own --------------------------------------------------------------------------


async def test_an_agent_that_waits_for_its_restart_is_told_with_the_time_that_is_left() -> None:
    async with runtime(Scripted("a", fail), Scripted("b"), backoff_base=60.0) as r:
        await r.send("a", {})
        await until(lambda: r.stats().agents[0].restart_in is not None)
        a, b = r.stats().agents
    assert (a.state, a.failure) == ("crashed", "ValueError: no good")
    assert a.restart_in is not None
    assert 0 < a.restart_in <= 60
    assert a.since <= b.since
    assert (b.state, b.restart_in, b.failure) == ("running", None, "")


async def test_all_of_a_group_wait_for_its_restart_also_those_of_supervisors_in_it() -> None:
    inner = Supervisor("inner", [Scripted("b")])
    root = Supervisor(
        "root", [Scripted("a", fail), inner], strategy="ONE_FOR_ALL", backoff_base=60.0
    )
    async with Runtime(root) as r:
        await r.send("a", {})
        await until(lambda: all(each.restart_in is not None for each in r.stats().agents))
        assert [each.state for each in r.stats().agents] == ["crashed", "down"]


async def test_what_crashes_while_it_comes_back_waits_no_more_once_it_runs() -> None:
    async with runtime(Scripted("a", fail)) as r:
        await r.send("a", {})
        await until(lambda: r.stats().restarts == 1 and r.stats().agents[0].state == "running")
        [a] = r.stats().agents
    assert (a.restart_in, a.failure) == (None, "")


async def test_an_agent_that_is_done_and_one_that_its_node_has_stopped_are_told_apart() -> None:
    async with runtime(Scripted("a"), Scripted("b")) as r:
        r.all_agents()[0].stop()
        await until(lambda: r.stats().agents[0].state == "done")
    assert [each.state for each in r.stats().agents] == ["done", "stopping"]


# --- agents of others ---------------------------------------------------------------------------


async def test_a_primary_tells_of_agents_elsewhere_that_do_not_run(
    local_bus: LocalBus,
) -> None:
    root = Supervisor("root", backoff_base=60.0)
    root.add_remote_child("far")

    async with Runtime(root, **local_bus.options()) as primary:
        absent = only(primary.stats().elsewhere)
        assert (absent.name, absent.state, absent.restart_in) == ("far", "absent", None)
        async with Worker([Scripted("far", fail)], process="w", **local_bus.options()):
            await until(lambda: not primary.stats().elsewhere)
            await primary.send("far", {})
            await until(lambda: _waits(primary.stats().elsewhere))
            crashed = only(primary.stats().elsewhere)
            assert (crashed.state, crashed.failure) == ("crashed", "ValueError: no good")
        await until(lambda: only(primary.stats().elsewhere).state == "absent")


async def test_an_agent_that_its_own_process_restarts_waits_there(local_bus: LocalBus) -> None:
    async with Runtime(Supervisor("root"), **local_bus.options()) as primary:
        worker = Worker([Scripted("own", fail)], process="w", **local_bus.options())
        async with worker:
            await until(lambda: primary.components.registry.has("own"))
            await primary.send("own", {})
            await until(lambda: worker.stats().agents[0].restart_in is not None)


def _waits(agents: tuple[Any, ...]) -> bool:
    return any(each.restart_in is not None for each in agents)


async def test_what_a_node_tells_others_is_short_however_many_are_away(
    local_bus: LocalBus,
) -> None:
    root = Supervisor("root", [Scripted("here")])
    for number in range(100):
        root.add_remote_child(f"far{number}")
    async with Runtime(root, **local_bus.options()) as primary:
        stats = primary.stats()
    values = told(stats)
    assert (len(stats.elsewhere), len(values["elsewhere"])) == (100, 1)
    assert stats.agents[0].state == "running"
    assert values["agents"][0].keys().isdisjoint({"state", "since", "restart_in", "failure"})


# --- nodes that have gone -----------------------------------------------------------------------


def test_the_first_word_of_a_nodes_end_counts() -> None:
    departures = Departures()
    departures.went(NodeLost(node("w"), "silent", died=True, final=False), NOW)
    departures.went(NodeLost(node("w"), "superseded", died=True), NOW)
    assert [each.reason for each in departures.list(NOW + 2)] == ["silent"]
    departures.went(NodeLost(node("w", 2), "it stopped", died=False), NOW)
    [last] = departures.list(NOW + 2)
    assert (last.reason, last.died, last.since) == ("it stopped", False, 2.0)


def test_clients_are_not_remembered_and_of_others_a_thousand() -> None:
    departures = Departures()
    departures.went(NodeLost(NodeInfo("1" * 16, 1, "c", "client"), "it stopped", died=False), NOW)
    for number in range(1_002):
        departures.went(NodeLost(node(f"w{number}", number + 1), "x" * 10_000, died=True), NOW)
    found = departures.list(NOW + 2)
    assert [found[0].process, found[-1].process, len(found)] == ["w2", "w1001", 1_000]
    assert max(len(each.reason) for each in found) <= 203
