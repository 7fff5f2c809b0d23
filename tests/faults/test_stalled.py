"""What stands still but is not dead: blocked event loops, and a proxy that is stopped."""

from __future__ import annotations

import pytest

from support.commands import Running
from support.deployment import BOUND, CALM, Build, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow

TEN_BOUNDS = 10 * BOUND


def test_a_worker_with_a_blocked_loop_is_stalled_not_dead(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    running = system.run("supervisor", "w1", "w2")
    near = system.console("w2")
    before = {name: near.ask(name)["life"] for name in ("here", "far", "near")}
    busy = near.begin("far", {"block": TEN_BOUNDS})
    waits = near.begin("far")
    running[0].until("is stalled since")
    assert near.ask("here")["life"] == before["here"]  # meanwhile
    assert busy.outcome()["life"] == waits.outcome()["life"] == before["far"]
    running[0].until("process 'w1' (node ")
    running[0].until("is not stalled any more")
    nobody_was_taken_for_dead(running)
    assert {name: near.ask(name)["life"] for name in before} == before
    system.stop(*running)


def test_a_primary_with_a_blocked_loop_is_stalled_not_dead(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    running = system.run("supervisor", "w1", "w2")
    near = system.console("w2")
    before = {name: near.ask(name)["life"] for name in ("here", "far", "near")}
    busy = near.begin("here", {"block": TEN_BOUNDS, "begin": "blocking"})
    eventually((system.folder / "blocking").exists)
    stalled = eventually(system.stats, lambda nodes: nodes["supervisor"]["stalled"] > 0)
    assert not stalled["w1"]["stalled"]
    assert near.ask("far")["life"] == before["far"]  # meanwhile
    assert busy.outcome()["life"] == before["here"]
    nobody_was_taken_for_dead(running)
    assert {name: near.ask(name)["life"] for name in before} == before
    assert not system.stats()["supervisor"]["stalled"]
    system.stop(*running)


def nobody_was_taken_for_dead(running: list[Running]) -> None:
    for process in running:
        for word in ("has gone", "crashed", "superseded", "is lost"):
            assert not process.count(word), process.err


def test_a_proxy_that_stands_still_is_noticed_and_all_is_well_after_it(build: Build) -> None:
    # A lost link is noticed well before silence could count: only then is nobody taken for dead.
    system = build(agent("here"), agent("far", "w1"), transport={"start_proxy": False}, beats=CALM)
    with system.proxy() as proxy:
        primary, worker = running = system.run("supervisor", "w1")
        proxy.pause()
        for process in running:
            process.until("WARNING civitas.transport.zmq: the connection to the proxy")
        proxy.resume()
        for console, name, there in (("supervisor", "far", worker), ("w1", "here", primary)):
            answer = eventually(
                lambda c=console, n=name: system.console(c).ask(n, timeout=5), trying=Exception
            )
            assert answer["pid"] == there.pid
        for process in running:
            assert not process.count("has gone"), process.err
            assert not process.count("crashed"), process.err
        system.stop(*running)
