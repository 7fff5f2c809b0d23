"""Agents that crash in live workers: the strategy of their supervisor applies across processes."""

from __future__ import annotations

import pytest

from support.deployment import AskError, Build, System, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow

CREW = (agent("here"), agent("one", "w1"), agent("other", "w1"), agent("two", "w2"))


def lives(system: System) -> dict[str, str]:
    """Return which object each agent is at the moment."""
    names = ("here", "one", "other", "two")
    return {name: system.console().ask(name)["life"] for name in names}


def pids(system: System) -> dict[str, int]:
    return {name: system.console(name).pid for name in ("supervisor", "w1", "w2")}


def crash(system: System, name: str) -> None:
    with pytest.raises(AskError) as raised:
        system.console().ask(name, {"crash": "by order"})
    assert raised.value.kind == "AgentError"


def test_one_for_one_restarts_the_agent_that_crashed_alone(build: Build) -> None:
    system = build(*CREW)
    primary, *workers = system.run("supervisor", "w1", "w2")
    before, processes = lives(system), pids(system)
    crash(system, "one")
    after = eventually(lambda: lives(system), lambda now: now["one"] != before["one"])
    assert {name for name in after if after[name] != before[name]} == {"one"}
    assert pids(system) == processes
    system.stop(primary, *workers)


def test_one_for_all_restarts_the_agents_of_all_processes(build: Build) -> None:
    system = build(*CREW, strategy="ONE_FOR_ALL")
    primary, *workers = system.run("supervisor", "w1", "w2")
    before, processes = lives(system), pids(system)
    crash(system, "two")
    eventually(lambda: lives(system), lambda now: all(now[name] != before[name] for name in before))
    assert pids(system) == processes
    system.stop(*workers, primary)


def test_rest_for_one_restarts_what_comes_after_it_in_whatever_process(build: Build) -> None:
    system = build(*CREW, strategy="REST_FOR_ONE")
    primary, *workers = system.run("supervisor", "w1", "w2")
    before = lives(system)
    crash(system, "other")
    after = eventually(
        lambda: lives(system), lambda now: all(now[n] != before[n] for n in ("other", "two"))
    )
    assert {name for name in after if after[name] != before[name]} == {"other", "two"}
    system.stop(*workers, primary)


def test_beyond_the_restart_intensity_the_primary_ends_with_1(build: Build) -> None:
    system = build(*CREW, max_restarts=1)
    primary, *workers = system.run("supervisor", "w1", "w2")
    before = lives(system)
    crash(system, "one")
    eventually(lambda: lives(system), lambda now: now["one"] != before["one"])
    crash(system, "one")
    assert primary.wait() == 1
    assert primary.count("supervisor 'subjects' gives up")
    assert primary.err[-1].startswith("error: the root supervisor gave up: ")
    system.stop(*workers)
