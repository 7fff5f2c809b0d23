"""`civitas stats` tells the truth of a system of which parts have died, left, or stand still."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest

from support.deployment import BEATS, Build, System, agent
from support.waiting import eventually

pytestmark = pytest.mark.slow


class Told:
    """What the command says, and how it ends."""

    def __init__(self, system: System, *more: str) -> None:
        running = system.command("stats", "--topology=topology.yaml", "--json", "--check", *more)
        self.code, self.err = running.wait(), running.err
        found = json.loads("".join(running.out))
        self.all_running = found["all_running"]
        self.processes: dict[str, Any] = {each["process"]: each for each in found["processes"]}
        self.agents: dict[str, Any] = {each["agent"]: each for each in found["agents"]}

    def states(self, *names: str) -> list[str]:
        return [{**self.processes, **self.agents}[name]["state"] for name in names]


def test_what_has_died_or_left_is_listed_and_so_is_a_primary_that_is_away(
    build: Build,
) -> None:
    system = build(
        agent("here"),
        agent("far", "w1"),
        agent("near", "w2"),
        agent("lone", "w3"),
        transport={"start_proxy": False},
    )
    with system.proxy():
        primary, w1, w2, w3 = system.run("supervisor", "w1", "w2", "w3")
        w3.signal(signal.SIGTERM)
        assert w3.wait() == 0
        os.kill(w1.pid, signal.SIGKILL)
        busy = system.console("w2").begin("near", {"block": 100.0, "begin": "blocking"})
        eventually((system.folder / "blocking").exists)
        primary.until("process 'w1' (node ")

        def seen(told: Told) -> bool:
            return told.states("w1", "w2", "w3") == ["missing", "stalled", "gone"]

        told = eventually(lambda: Told(system), seen)
        assert told.code == 1
        assert told.states("supervisor", "here", "far", "near", "lone") == [
            "running",
            "running",
            "missing",
            "stalled",
            "gone",
        ]
        assert told.processes["w1"]["seconds"] > 0
        assert "no answer to pings" in told.processes["w1"]["reason"]
        assert told.err[-1].startswith("error: not running: processes 'w1', 'w2', 'w3'; agents ")
        busy.close()

        os.kill(primary.pid, signal.SIGKILL)
        away = eventually(
            lambda: Told(system), lambda told: told.states("supervisor") == ["missing"]
        )
        assert away.code == 1
        assert away.states("supervisor", "here", "w1", "w3") == ["missing"] * 3 + ["gone"]
        assert away.processes["supervisor"]["reason"] == "its pings have stopped"
        w2.signal(signal.SIGKILL)


def test_a_process_that_does_not_answer_is_silent_and_the_limit_is_told(build: Build) -> None:
    slowly = {**BEATS, "heartbeat_interval": 60.0, "heartbeat_timeout": 60.0}
    system = build(agent("here"), agent("far", "w1"), beats=slowly)
    primary, w1 = system.run("supervisor", "w1")
    primary.until("joined: far")
    w1.signal(signal.SIGSTOP)
    told = Told(system, "--timeout=2.5")
    w1.signal(signal.SIGCONT)
    assert told.code == 1
    assert told.states("supervisor", "here", "w1", "far") == ["running"] * 2 + ["silent"] * 2
    assert re.search(r"answer within \d\.\d s$", told.processes["w1"]["reason"])
    system.stop(w1, primary)
