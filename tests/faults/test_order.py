"""Starts in any order, and stops in order, while others work."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from support.commands import DEADLINE
from support.deployment import ENDED, AskError, Build, Console, agent
from support.processes import outliving
from support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "order", [("w1", "supervisor", "w2"), ("w2", "w1", "supervisor")], ids=" ".join
)
def test_the_order_of_starts_does_not_matter(build: Build, order: tuple[str, ...]) -> None:
    system = build(agent("here"), agent("one", "w1"), agent("two", "w2"))
    running = {}
    for process in order:
        running[process] = system.start(process)
        if "supervisor" not in running:
            running[process].until("waiting for the proxy")
    for process in running.values():
        process.until("running: ")
    for process in order:
        console = system.console(process)
        for name, place in (("here", "supervisor"), ("one", "w1"), ("two", "w2")):
            assert console.ask(name)["pid"] == running[place].pid
    system.stop(*running.values())


def test_each_process_may_have_a_topology_of_its_own_that_names_the_same_agents(
    build: Build,
) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    system.write("w1.yaml", agent("far", "w1"))
    system.write("w2.yaml", agent("here"), agent("far", "w1"), agent("near", "w2"), max_restarts=1)
    [primary] = system.run()
    [one] = system.run("w1", file="w1.yaml")
    [two] = system.run("w2", file="w2.yaml")
    for process in ("supervisor", "w1", "w2"):
        pids = [system.console(process).ask(name)["pid"] for name in ("here", "far", "near")]
        assert pids == [primary.pid, one.pid, two.pid]
    system.stop(primary, one, two)


def test_a_worker_that_stops_answers_what_it_took_and_refuses_the_rest(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    primary, worker, other = system.run("supervisor", "w1", "w2")
    consoles = system.console(), system.console("w2")
    asks = [consoles[0].begin("far", {"begin": "begun", "until": "go"})]
    eventually((system.folder / "begun").exists)
    asks += [console.begin("far") for console in consoles for _ in range(5)]
    eventually(lambda: depth(system.stats(), "w1", "far") == 10)
    worker.signal(signal.SIGTERM)
    worker.until("SIGTERM: finishing the work in hand")
    for console in consoles:
        refused = eventually(lambda c=console: refusal(c), lambda told: told is not None)
        assert "MessageRoutingError" in str(refused)
    (system.folder / "go").touch()
    assert {ask.outcome()["pid"] for ask in asks} == {worker.pid}
    assert worker.wait() == 0
    for console in consoles:
        with pytest.raises(AskError, match="MessageRoutingError"):
            console.begin("far").outcome()
    assert not primary.count("crashed"), primary.err
    system.stop(primary, other)


def depth(nodes: dict[str, Any], process: str, name: str) -> int:
    [counters] = [each for each in nodes[process]["agents"] if each["name"] == name]
    return counters["mailbox_depth"]


def refusal(console: Console) -> AskError | None:
    ask = console.begin("far", timeout=0.3)
    try:
        ask.outcome()
    except AskError as error:
        return error if error.kind != "TimeoutError" else None
    return None


def test_a_worker_that_stops_handles_each_message_whose_send_had_returned(build: Build) -> None:
    system = build(agent("far", "w1"))
    [primary] = system.run()
    sent: list[str] = []
    for last in (20, 40, 60):
        [worker] = system.run("w1")
        eventually(lambda: system.console().ask("far", timeout=5), trying=AskError)
        while sends_next_number(system.console(), sent):
            if len(sent) == last:
                worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert system.notes("far") == sent
        assert not worker.count("before all is here"), worker.err
    assert not primary.count("what became of"), primary.err
    system.stop(primary)


def sends_next_number(console: Console, sent: list[str]) -> bool:
    number = str(len(sent) + 1)
    try:
        console.send("far", {"number": number})
    except AskError as error:
        if error.kind != "MessageRoutingError":
            raise
        return False
    sent.append(number)
    return True


def test_a_primary_that_stops_leaves_workers_that_work_with_the_next_one(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    primary, *workers = system.run("supervisor", "w1", "w2")
    primary.signal(signal.SIGTERM)
    assert primary.wait() == 0
    [again] = system.run()
    for name, worker in zip(("far", "near"), workers, strict=True):
        answer = eventually(lambda n=name: system.console().ask(n, timeout=5), trying=AskError)
        assert answer["pid"] == worker.pid
    there = eventually(lambda: system.console("w1").ask("here", timeout=5), trying=AskError)
    assert there["pid"] == again.pid
    system.stop(again, *workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_up_and_all_its_processes(build: Build, number: signal.Signals) -> None:
    ipc = {"pub_addr": "ipc://pub.ipc", "sub_addr": "ipc://sub.ipc"}
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"), transport=ipc)
    up = system.up("w1", "w2")
    assert (system.folder / "pub.ipc").is_socket()
    ask = system.console("w2").begin("far", {"begin": "begun", "until": "go"})
    eventually((system.folder / "begun").exists)
    up.signal(number)
    up.until(f"{number.name}: ending all in order")
    (system.folder / "go").touch()
    assert up.wait() == 0, up.err
    ask.close()
    assert not up.count("Traceback"), up.err
    assert not up.count("crashed"), up.err
    assert not outliving(str(system.folder), ENDED)
    assert not [path for path in system.folder.iterdir() if path.is_socket()]


def test_workers_without_a_primary_end_when_they_are_told(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"))
    worker = system.start("w1")
    worker.until("waiting for the proxy")
    worker.signal(signal.SIGTERM)
    assert worker.wait(DEADLINE) == 0
    assert not worker.count("Traceback")


def test_nobody_is_orphaned_when_up_is_killed(build: Build) -> None:
    system = build(agent("here"), agent("far", "w1"), agent("near", "w2"))
    up = system.up("w1", "w2")
    up.signal(signal.SIGKILL)
    assert up.wait() == -signal.SIGKILL
    assert not outliving(str(system.folder), DEADLINE)
