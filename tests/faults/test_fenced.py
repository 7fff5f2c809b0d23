"""A process that was superseded while it stood still: it says so to probes, until it has ended."""

from __future__ import annotations

import re
import signal

import pytest

from support.commands import Running
from support.deployment import AskError, Build, agent
from support.probing import probe, probed_until, samples
from support.waiting import eventually

pytestmark = pytest.mark.slow

WHY = "this process can't stay in the system: "


def address(running: Running) -> str:
    """Return where a process answers probes."""
    running.until("health at http")
    [found] = [
        each for line in running.err for each in re.findall(r"health at (http://\S+);", line)
    ]
    return str(found)


def test_a_superseded_process_that_resumes_is_not_live_until_it_has_ended(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    [primary] = system.run("supervisor")
    old = system.start("w1", "--health=0")
    at = address(old)
    ask = system.console().begin("far", {"begin": "begun", "until": "go"})
    eventually((system.folder / "begun").exists)
    old.signal(signal.SIGSTOP)
    new = system.start("w1", "--health=0")
    there = address(new)
    with pytest.raises(AskError, match="OutcomeUnknownError"):
        ask.outcome()
    assert eventually(lambda: system.console().ask("far"), trying=AskError)["pid"] == new.pid

    old.signal(signal.SIGCONT)
    fenced = probed_until(at, "/live", WHY)  # its handler still waits for the file
    assert fenced.status == 503
    assert probe(at, "/ready").status == 503
    assert WHY in probe(at, "/ready").text
    assert samples(probe(at, "/metrics").text)["civitas_ready"] == {(): 0}
    assert (probe(there, "/live").status, probe(there, "/ready").status) == (200, 200)
    assert probe(at, "/live").status == 503
    assert old.process.poll() is None
    (system.folder / "go").touch()
    assert old.wait() == 1
    assert old.count(f"error: {WHY}") == 1, old.err
    with pytest.raises(ConnectionRefusedError):
        probe(at, "/live")
    assert system.console().ask("far")["pid"] == new.pid
    system.stop(primary, new)
