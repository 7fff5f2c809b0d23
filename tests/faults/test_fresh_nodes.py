"""Nodes that are sent a message as soon as they say that they are ready: none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.commands import DEADLINE
from support.deployment import CREW, Build, System, agent
from support.nats.cluster import NatsCluster
from support.nats.server import NatsServer
from support.processes import MARK
from support.waiting import eventually

pytestmark = pytest.mark.slow

PROGRAM = CREW / "fresh.py"


@pytest.fixture(params=["zmq", "nats, a cluster", "nats, jetstream"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A transport with its options; of several servers, each connection takes one by chance."""
    folder = tmp_path / "servers"
    if request.param == "zmq":
        yield {}
    elif request.param == "nats, a cluster":
        with NatsCluster(folder, jetstream=False) as cluster:
            yield {"type": "nats", "servers": cluster.urls}
    else:
        with NatsServer(folder, jetstream=True) as server:
            yield {"type": "nats", "servers": server.url, "jetstream": True}


def test_30_fresh_nodes_of_which_3_are_processes_each_get_their_first_message_once(
    build: Build, transport: dict[str, Any]
) -> None:
    """Enough to notice a loss of one in ten; `make soak` has 200 of them."""
    system = build(agent("far", "w1"), transport=transport)
    see_that_each_gets_its_first_message_once(system, together=27, alone=3)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_200_fresh_nodes_of_which_20_are_processes_each_get_their_first_message_once(
    build: Build, transport: dict[str, Any]
) -> None:
    system = build(agent("far", "w1"), transport=transport)
    see_that_each_gets_its_first_message_once(system, together=180, alone=20)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_200_fresh_processes_each_get_their_first_message_once(build: Build) -> None:
    see_that_each_gets_its_first_message_once(build(agent("far", "w1")), together=0, alone=200)


def see_that_each_gets_its_first_message_once(system: System, together: int, alone: int) -> None:
    """Let nodes join a system, a few at once: some share a process, others have one each."""
    running = system.run("supervisor", "w1")
    many = [f"fresh-{number}" for number in range(together)]
    lone = [f"alone-{number}" for number in range(alone)]
    for names in in_batches(many, 9):
        each_gets_its_first_message(system, [names])
    for names in in_batches(lone, 6):
        each_gets_its_first_message(system, [[name] for name in names])
    assert {name: system.notes(name) for name in (*many, *lone)} == {
        name: [name] for name in (*many, *lone)
    }
    system.stop(*running)


def in_batches(names: list[str], size: int) -> list[list[str]]:
    return [names[at : at + size] for at in range(0, len(names), size)]


def each_gets_its_first_message(system: System, processes: list[list[str]]) -> None:
    """Run processes with a node for each name; return when all are sent their message, and end."""
    with ExitStack() as stack:
        started = [stack.enter_context(fresh(system, names)) for names in processes]
        for process, names in zip(started, processes, strict=True):
            lines = sorted(process.stdout.readline() for _ in names)
            assert lines == sorted(f"{name} sent\n" for name in names)
        for names in processes:
            for name in names:
                eventually(lambda n=name: system.notes(n))


@contextmanager
def fresh(system: System, names: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process with nodes, whose messages come from a worker; it ends in order."""
    port = (system.folder / "console-w1.port").read_text().split()[0]
    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(system.transport), port, *names],
        cwd=system.folder,
        env={**os.environ, MARK: str(system.folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
