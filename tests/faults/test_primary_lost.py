"""A primary that is killed and comes back, with the proxy that lives in it."""

from __future__ import annotations

import os
import signal

import pytest

from support.deployment import AskError, Build, agent, runs
from support.waiting import eventually

pytestmark = pytest.mark.slow


def test_workers_outlive_their_primary_and_work_with_the_next_one(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    up = system.up("w1", "w2")
    before = {name: system.console(name).pid for name in ("supervisor", "w1", "w2")}
    os.kill(before["supervisor"], signal.SIGKILL)
    up.wait_for(lambda: runs(up, "supervisor", 2), "the primary to run again")

    answer = eventually(lambda: system.console().ask("far", timeout=5), trying=AskError)
    assert answer["pid"] == before["w1"]
    for worker, other in (("w1", "near"), ("w2", "far")):
        console = system.console(worker)
        there = eventually(lambda c=console: c.ask("here", timeout=5), trying=AskError)
        assert there["pid"] == system.console().pid != before["supervisor"]
        assert console.ask(other, timeout=5)["pid"] in {before["w1"], before["w2"]}
    assert {name: system.console(name).pid for name in ("w1", "w2")} == {
        name: before[name] for name in ("w1", "w2")
    }
    with pytest.raises(AskError, match="AgentError"):
        system.console().ask("far", {"crash": "by order"})
    life = eventually(lambda: system.console().ask("far", timeout=5), trying=AskError)
    assert life["pid"] == before["w1"]  # the new primary supervises it
    system.stop(up)
