"""A primary that is killed and comes back, with the proxy that lives in it."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext

import pytest

from support.deployment import AskError, Build, agent, runs
from support.waiting import eventually

pytestmark = pytest.mark.slow

AWAY = 15.0
"""Seconds: three times those after a lost link in which silence counts for nothing."""


def test_workers_outlive_their_primary_and_work_with_the_next_one(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    up = system.up("w1", "w2")
    before = {name: system.console(name).pid for name in ("supervisor", "w1", "w2")}
    ask = system.console("w1").begin("here", {"begin": "begun", "until": "never"})
    eventually((system.folder / "begun").exists)
    os.kill(before["supervisor"], signal.SIGKILL)
    up.wait_for(lambda: runs(up, "supervisor", 2), "the primary to run again")
    with pytest.raises(AskError, match="OutcomeUnknownError"):
        ask.outcome(AWAY)

    answer = eventually(lambda: system.console().ask("far", timeout=5), trying=AskError)
    assert answer["pid"] == before["w1"]
    for worker, other in (("w1", "near"), ("w2", "far")):
        console = system.console(worker)
        there = eventually(lambda c=console: c.ask("here", timeout=5), trying=AskError)
        assert there["pid"] == system.console().pid != before["supervisor"]
        assert console.ask(other)["pid"] in {before["w1"], before["w2"]}
    assert {name: system.console(name).pid for name in ("w1", "w2")} == {
        name: before[name] for name in ("w1", "w2")
    }
    with pytest.raises(AskError, match="AgentError"):
        system.console().ask("far", {"crash": "by order"})
    life = eventually(lambda: system.console().ask("far", timeout=5), trying=AskError)
    assert life["pid"] == before["w1"]  # the new primary supervises it
    system.stop(up)


@pytest.mark.parametrize("own_proxy", [True, False], ids=["proxy in it", "proxy apart"])
def test_a_primary_that_stood_still_holds_nothing_against_its_workers(
    build: Build, own_proxy: bool
) -> None:
    system = build(
        agent("here"), agent("far", "w1"), agent("near", "w2"), transport={"start_proxy": own_proxy}
    )
    with nullcontext() if own_proxy else system.proxy():
        primary, *workers = running = system.run("supervisor", "w1", "w2")
        assert not system.stats()["w1"]["stalled"]  # by now they were told how soon to miss it
        primary.signal(signal.SIGSTOP)
        for worker in workers:
            worker.until("is lost" if own_proxy else "process 'supervisor' (node ")
            if not own_proxy:
                worker.until("has gone: its pings have stopped")
        primary.signal(signal.SIGCONT)
        for process in ("supervisor", "w1", "w2"):
            for name, there in zip(("here", "far", "near"), running, strict=True):
                answer = eventually(
                    lambda p=process, n=name: system.console(p).ask(n, timeout=1),
                    trying=AskError,  # its worker may not have found its proxy again
                )
                assert answer["pid"] == there.pid
        assert not primary.count("crashed"), primary.err
        system.stop(*running)
