"""Names that are taken: of agents and of processes, and the addresses of the proxy."""

from __future__ import annotations

import json

import pytest

from support.deployment import Build, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_second_process_of_a_name_is_refused_and_the_first_goes_on(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    primary, first = system.run("supervisor", "w1")
    second = system.start("w1")
    assert second.wait() == 1
    [line] = [line for line in second.err if line.startswith("error: ")]
    assert "process name 'w1' is taken" in line
    nodes = [part[:8] for part in line.split("node ")[1:]]
    assert len(set(nodes)) == 2, line
    assert not second.count("Traceback")
    assert not second.count("running: ")
    assert system.console().ask("far")["pid"] == first.pid
    system.stop(first, primary)


def test_a_second_agent_of_a_name_is_refused_and_the_first_goes_on(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    system.write("other.yaml", agent("here"), agent("far", "w2"))
    primary, first = system.run("supervisor", "w1")
    second = system.start("w2", file="other.yaml")
    assert second.wait() == 1
    [line] = [line for line in second.err if line.startswith("error: ")]
    assert "agent 'far' is alive in process 'w1' (node " in line
    assert "so process 'w2' (node " in line
    assert not second.count("Traceback")
    assert system.console().ask("far")["pid"] == first.pid
    system.stop(first, primary)


def test_a_second_primary_is_refused_where_the_proxy_is_a_process_of_its_own(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), transport={"start_proxy": False})
    with system.proxy():
        primary, worker = system.run("supervisor", "w1")
        second = system.start()
        assert second.wait() == 1
        assert second.count("error: ") == 1
        assert second.count("process name 'supervisor' is taken")
        assert system.console("w1").ask("here")["pid"] == primary.pid
        system.stop(worker, primary)


def test_agents_and_processes_with_dots_in_their_names_are_found_by_the_commands(
    build: Build,
) -> None:
    system = build(agent("workers"), agent("workers.eu.1", "eu.west"))
    primary, worker = system.run("supervisor", "eu.west")
    setting = r"--set=supervision.children.subjects.children.workers\.eu\.1.mailbox_size=7"
    for name, process in (("workers.eu.1", worker), ("workers", primary)):
        asked = system.command("ask", name, "--topology=topology.yaml", setting)
        assert asked.wait() == 0, asked.err
        assert json.loads("".join(asked.out))["pid"] == process.pid
    assert "workers.eu.1" in [each["name"] for each in system.stats()["eu.west"]["agents"]]
    system.stop(worker, primary)


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_the_proxys_address_is_taken(build: Build, scheme: str) -> None:
    ipc = {"pub_addr": "ipc://pub.ipc", "sub_addr": "ipc://sub.ipc"}
    system = build(agent("here"), agent("far", "w1"), transport=ipc if scheme == "ipc" else {})
    primary, worker = system.run("supervisor", "w1")
    second = system.start()
    assert second.wait() == 1
    assert second.count("error: ") == 1
    assert second.count("somebody listens there already")
    assert not second.count("Traceback")
    assert system.console("w1").ask("here")["pid"] == primary.pid
    system.stop(primary, worker)


def test_up_ends_at_once_where_the_proxys_address_is_taken(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    primary, worker = system.run("supervisor", "w1")
    up = system.command("up", "topology.yaml")
    assert up.wait() == 1
    assert up.count("somebody listens there already")
    assert not up.count("Traceback")
    assert system.console("w1").ask("here")["pid"] == primary.pid
    system.stop(primary, worker)


def test_of_two_processes_of_a_name_that_start_together_one_stays(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    [primary] = system.run()
    rivals = [system.start("w1") for _ in range(2)]
    ended = eventually(lambda: [each for each in rivals if each.process.poll() is not None])
    assert len(ended) == 1
    assert ended[0].wait() == 1
    assert ended[0].count("process name 'w1' is taken")
    [winner] = [each for each in rivals if each is not ended[0]]
    winner.until("running: ")
    assert system.console().ask("far")["pid"] == winner.pid
    system.stop(winner, primary)
