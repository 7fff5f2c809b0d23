"""Systems of processes on JetStream: whatever ends, each message is processed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from civitas_nats.options import NATSOptions
from support.commands import DEADLINE
from support.deployment import NOTICED, AskError, Build, System, agent, runs, systems
from support.nats.inspection import outstanding, state_of
from support.nats.server import NatsServer
from support.processes import Watched
from support.waiting import eventually

pytestmark = pytest.mark.slow

ACK_WAIT = 20 * DEADLINE
"""Seconds, more than a test waits for anything: what a process leaves, the next gets at once."""
STREAM = NATSOptions().stream_name
WINDOW = 8
"""Messages that a worker holds at a time."""


@pytest.fixture
def build(tmp_path: Path, jetstream: NatsServer) -> Iterator[Build]:
    """Make systems on JetStream, and kill in the end what is left of them."""
    options = {
        "type": "nats",
        "servers": jetstream.url,
        "jetstream": True,
        "ping_interval": 0.3,
        "retry_delay": 0.1,
        "max_deliver": 3,
        "ack_wait": ACK_WAIT,
        "max_ack_pending": WINDOW,
    }
    with systems(tmp_path / "system", options) as make:
        yield make


def until_settled(system: System, jetstream: NatsServer, *wanted: str) -> None:
    """Wait until `far` has noted these, and the server knows: otherwise a kill repeats the last."""
    system.until_noted("far", *wanted)
    eventually(lambda: state_of(jetstream, STREAM)["messages"], lambda left: left == 0)


def test_50_messages_are_all_processed_though_their_process_is_killed_in_the_middle(
    build: Build, record_property: Callable[[str, object], None]
) -> None:
    system = build(agent("far", "w1"))
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    for number in range(50):
        in_the_middle = {"begin": "begun", "until": "go"}
        console.send("far", in_the_middle if number == 25 else {"note": str(number)})
    eventually((system.folder / "begun").exists)
    worker.signal(signal.SIGKILL)
    worker.wait()
    before = system.notes("far")
    assert before == [str(number) for number in range(25)]
    (system.folder / "go").touch()
    [worker] = system.run("w1")
    wanted = [str(number) for number in range(50) if number != 25]
    notes = eventually(lambda: system.notes("far"), lambda notes: notes[-1:] == wanted[-1:])
    twice = sum(count - 1 for count in Counter(notes).values())
    record_property("processed twice", twice)
    assert list(dict.fromkeys(notes)) == wanted
    assert twice <= WINDOW
    system.stop(primary, worker)


def test_all_that_a_killed_process_had_in_hand_is_given_again_in_order(build: Build) -> None:
    system = build(agent("far", "w1", type="Several", concurrency=3))
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    held = (0, 2, 4)
    for number in range(10):
        console.send("far", {"number": number, "until": "go" if number in held else None})
    eventually(lambda: "begins:4:0" in system.notes("far"))
    worker.signal(signal.SIGKILL)
    worker.wait()
    before = system.notes("far")
    assert [each for each in before if "begins" in each] == [f"begins:{n}:0" for n in range(5)]
    assert {each for each in before if "ends" in each} == {"ends:1", "ends:3"}
    (system.folder / "go").touch()
    [worker] = system.run("w1")
    eventually(lambda: {f"ends:{n}" for n in range(10)} <= set(system.notes("far")))
    after = [each.split(":") for each in system.notes("far")[len(before) :] if "begins" in each]
    given = [(int(number), int(attempt)) for _, number, attempt in after]
    assert given == sorted(given)
    acknowledged = [each for each in given if each[0] not in {1, 3}]  # unless that was too late
    assert acknowledged == [(0, 1), (2, 1), (4, 1), *((number, 0) for number in range(5, 10))]
    system.stop(primary, worker)


def test_what_is_sent_while_a_worker_is_away_is_processed_when_it_is_back(
    build: Build, jetstream: NatsServer
) -> None:
    system = build(agent("far", "w1"))
    [primary] = system.run()
    console = system.console()
    console.send("far", {"note": "early"})  # it was never there
    [worker] = system.run("w1")
    until_settled(system, jetstream, "early")
    worker.signal(signal.SIGKILL)
    worker.wait()
    eventually(lambda: primary.count("has gone: "))
    console.send("far", {"note": "after-a-crash"})
    with pytest.raises(AskError, match="MessageRoutingError"):
        console.begin("far").outcome(1.0)
    [worker] = system.run("w1")
    system.until_noted("far", "early", "after-a-crash")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    console.send("far", {"note": "after-a-stop"})
    [worker] = system.run("w1")
    system.until_noted("far", "early", "after-a-crash", "after-a-stop")
    system.stop(primary, worker)


def test_what_the_server_gave_to_a_process_as_it_was_killed_comes_to_the_next_at_once(
    build: Build, jetstream: NatsServer
) -> None:
    system = build(agent("far", "w1"))
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    console.send("far", {"note": "before"})
    until_settled(system, jetstream, "before")
    worker.signal(signal.SIGSTOP)  # it has asked for more, and hears nothing
    for number in range(3):
        console.send("far", {"note": str(number)})
    eventually(lambda: outstanding(jetstream, STREAM, "far"), lambda given: given == 3)
    worker.signal(signal.SIGKILL)
    worker.wait()
    [worker] = system.run("w1")
    until_settled(system, jetstream, "before", "0", "1", "2")
    system.stop(primary, worker)


def test_a_message_that_crashes_its_agent_each_time_uses_up_no_restarts(build: Build) -> None:
    system = build(agent("far", "w1"), max_restarts=1)
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    console.send("far", {"crash": "poison"})
    console.send("far", {"note": "next"})
    system.until_noted("far", "next")
    worker.until("is a dead letter: RuntimeError: poison")
    [far] = [each for each in system.stats()["w1"]["agents"] if each["name"] == "far"]
    assert far["restarts"] == 3
    system.stop(primary, worker)


def test_a_message_that_kills_its_process_each_time_becomes_a_dead_letter(build: Build) -> None:
    system = build(agent("far", "w1"))
    up = system.up("w1")
    console = system.console()
    console.send("far", {"exit": 9})
    console.send("far", {"note": "next"})
    system.until_noted("far", "next")
    up.until("is a dead letter: its process ended while it was handled")
    assert up.count("w1 ended with exit code 9; starting again") == 3
    system.stop(up)


def test_an_agent_that_is_restarted_gets_its_messages_once_and_in_order(build: Build) -> None:
    system = build(agent("far", "w1"))
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    for number in range(30):
        console.send("far", {"note": str(number)})
        if number % 10 == 5:
            with pytest.raises(AskError, match="AgentError"):
                console.ask("far", {"crash": "asked for"})
    eventually(lambda: system.notes("far"), lambda notes: len(notes) >= 30)
    assert system.notes("far") == [str(number) for number in range(30)]
    system.stop(primary, worker)


def test_a_worker_that_stood_still_is_replaced_and_reads_no_more(
    build: Build, jetstream: NatsServer
) -> None:
    system = build(agent("far", "w1"))
    up = system.up("w1")
    console = system.console()
    old = system.console("w1").pid
    console.send("far", {"note": "before"})
    until_settled(system, jetstream, "before")
    with Watched(old) as stood:
        os.kill(old, signal.SIGSTOP)
        up.until("has gone: ")
        for number in range(20):
            console.send("far", {"note": str(number)})
        eventually(lambda: outstanding(jetstream, STREAM, "far") >= WINDOW // 2)  # given to it
        twin = system.start("w1")  # its place is free: the one that has it is silent
        twin.until("running: ")
        wanted = ["before", *map(str, range(20))]
        until_settled(system, jetstream, *wanted)
        os.kill(old, signal.SIGCONT)
        assert stood.has_ended(DEADLINE), up.err
    console.send("far", {"note": "after"})
    notes = eventually(lambda: system.notes("far"), lambda notes: "after" in notes)
    assert list(dict.fromkeys(notes)) == [*wanted, "after"]
    assert len(notes) - len(set(notes)) <= WINDOW  # what the old one held already
    twin.signal(signal.SIGTERM)
    assert twin.wait() == 0
    up.wait_for(lambda: runs(up, "w1", 2), "w1 to run again")
    system.stop(up)


def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(
    build: Build, jetstream: NatsServer
) -> None:
    system = build(agent("far", "w1"), agent("stream", type="Stream"))
    primary, worker = system.run("supervisor", "w1")
    streaming = system.console().begin("stream", {"to": "far", "until": "enough"})
    for kills in range(1, 3):
        sent = len(system.notes("far"))
        eventually(lambda least=sent: len(system.notes("far")) > least + 50)
        jetstream.restart()
        primary.wait_for(lambda n=kills: primary.count("connected again") >= 2 * n, "a connection")
    (system.folder / "enough").touch()
    told = streaming.outcome()
    notes = eventually(lambda: system.notes("far"), lambda n: len(set(n)) >= told["sent"])
    assert not told["failed"]
    assert list(dict.fromkeys(notes)) == [str(number) for number in range(told["sent"])]
    assert len(notes) - len(set(notes)) <= 2 * WINDOW
    assert system.console().ask("far")["pid"] == worker.pid
    system.stop(primary, worker)


def test_a_worker_and_a_primary_with_topologies_of_their_own_find_each_other(
    build: Build,
) -> None:
    system = build(agent("here"), agent("far", "w1"))
    system.write("other.yaml", agent("far", "w1", heartbeat_interval=0.3))
    primary, worker = system.start(), system.start("w1", file="other.yaml")
    for each in (primary, worker):
        each.until("running: ")
    assert system.console().ask("far")["pid"] == worker.pid
    system.console().send("far", {"note": "one"})
    system.until_noted("far", "one")
    system.stop(primary, worker)


def test_a_stop_is_prompt_though_much_is_left_to_do(build: Build) -> None:
    system = build(agent("far", "w1"))
    primary, worker = system.run("supervisor", "w1")
    console = system.console()
    console.send("far", {"begin": "begun", "until": "go"})
    for number in range(30):
        console.send("far", {"note": str(number)})
    eventually((system.folder / "begun").exists)
    worker.signal(signal.SIGTERM)
    (system.folder / "go").touch()
    assert worker.wait(NOTICED * 3) == 0
    [worker] = system.run("w1")
    eventually(lambda: len(system.notes("far")) >= 30)
    assert system.notes("far") == [str(number) for number in range(30)]
    system.stop(primary, worker)
