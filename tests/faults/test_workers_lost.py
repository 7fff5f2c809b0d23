"""Workers that are killed or stand still, under `civitas up`: noticed, fenced, and back again."""

from __future__ import annotations

import os
import signal

import pytest

from support.commands import DEADLINE
from support.deployment import NOTICED, AskError, Build, agent, runs
from support.processes import Watched
from support.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_killed_worker_is_noticed_and_its_asks_fail_at_once(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    first, worker, second = system.run("supervisor", "w1", "w2")
    consoles = system.console(), system.console("w2")
    asks = [console.begin("far", {"begin": "begun", "until": "never"}) for console in consoles]
    eventually((system.folder / "begun").exists)
    worker.signal(signal.SIGKILL)
    for ask in asks:
        with pytest.raises(AskError, match=r"OutcomeUnknownError: .*'far'.* no answer to pings"):
            ask.outcome(NOTICED)
    for console in consoles:
        with pytest.raises(AskError, match="MessageRoutingError"):
            console.begin("far", {"note": "lost"}, verb="send").outcome()
    assert consoles[1].ask("here")["pid"] == first.pid

    [next_one] = system.run("w1")
    for console in consoles:
        assert eventually(lambda c=console: c.ask("far"), trying=AskError)["pid"] == next_one.pid
    assert system.console("w1").ask("here")["pid"] == first.pid
    system.stop(first, second, next_one)
    assert not system.notes("far")


def test_up_brings_a_killed_worker_back_under_its_name(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    up = system.up("w1", "w2")
    before = {name: system.console(name).pid for name in ("supervisor", "w1", "w2")}
    os.kill(before["w1"], signal.SIGKILL)
    up.until("w1 was killed by SIGKILL; starting again")
    up.wait_for(lambda: runs(up, "w1", 2), "w1 to run again")
    for place in ("supervisor", "w2"):
        console = system.console(place)
        answer = eventually(lambda c=console: c.ask("far", timeout=5), trying=AskError)
        assert answer["pid"] == system.console("w1").pid != before["w1"]
        assert system.console(place).pid == before[place]
    assert system.console("w1").ask("here")["pid"] == before["supervisor"]
    system.stop(up)


@pytest.mark.parametrize("patience", [0.5, 20.0], ids=["link lost", "link kept"])
def test_a_worker_that_stood_still_too_long_is_refused_and_makes_room(
    build: Build, patience: float
) -> None:
    transport = {"heartbeat_timeout": patience}
    system = build(agent("here"), agent("far", "w1"), transport=transport)
    up = system.up("w1")
    primary = system.console()
    old = system.console("w1").pid
    ask = primary.begin("far", {"begin": "begun", "until": "go"})
    eventually((system.folder / "begun").exists)
    with Watched(old) as stood:
        os.kill(old, signal.SIGSTOP)
        with pytest.raises(AskError) as raised:
            ask.outcome(NOTICED)
        assert raised.value.kind == "OutcomeUnknownError"
        (system.folder / "go").touch()  # so that its reply is late
        os.kill(old, signal.SIGCONT)
        assert stood.has_ended(DEADLINE), up.err
    up.until("w1 ended with exit code 1; starting again")
    up.until("this process can't stay: ")
    up.until("dropped a frame of ")
    assert up.count("from a node that was superseded")
    up.wait_for(lambda: runs(up, "w1", 2), "w1 to run again")
    answer = eventually(lambda: primary.ask("far", timeout=5), trying=AskError)
    assert answer["pid"] == system.console("w1").pid != old
    system.stop(up)
