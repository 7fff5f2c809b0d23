"""What every transport's tests see of `civitas top` on a system of two processes."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from support.deployment import System
from support.waiting import eventually


def seen(system: System) -> dict[str, dict[str, Any]]:
    """Return what `civitas top --once --json` says of each process and agent, by name."""
    running = system.command("top", "topology.yaml", "--once", "--json", "--interval=0.2")
    assert running.wait() == 0, running.err
    frame = json.loads("".join(running.out))
    found = {each["process"]: each for each in frame["processes"]}
    return found | {each["agent"]: each for each in frame["agents"]}


def restarts_and_deaths_are_seen(system: System) -> dict[str, dict[str, Any]]:
    """Restart the agent `far` of `w1`, then kill that process; see both; return the last frame."""
    primary, w1 = system.run("supervisor", "w1")
    primary.until("joined: far")
    system.console().send("far", {"note": "one"})
    system.until_noted("far", "one")
    restarted = system.command("restart", "far", "--topology=topology.yaml")
    assert restarted.wait() == 0, restarted.err
    told = seen(system)
    assert (told["far"]["state"], told["far"]["restarts"]) == ("running", 1)
    assert told["w1"]["delivered_rate"] is not None
    os.kill(w1.pid, signal.SIGKILL)
    frame = eventually(lambda: seen(system), lambda told: told["w1"]["state"] == "missing")
    assert frame["far"]["state"] in {"missing", "backing off"}
    assert "has gone" in frame["far"]["last_crash"]["text"]
    return frame
