"""The command of a container, as the first process of a namespace: signals, exit codes, zombies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.commands import COMMAND, Running
from support.namespaces import as_process_1, first_of, states_below
from support.waiting import eventually

App = Callable[..., Path]
Begin = Callable[..., Running]

pytestmark = pytest.mark.slow

AGENTS = """
import os, subprocess

class Forking(AgentProcess):
    async def on_start(self):
        print("pid", os.getpid(), "of", os.getppid(), flush=True)
        # Its children lose their parent, and end when nobody of this program waits for them.
        subprocess.run(["sh", "-c", "sleep 0.05 & sleep 0.06 & exit 0"], check=True)
        print("forked", flush=True)

    async def on_stop(self):
        print("stopped", flush=True)

class Exits(AgentProcess):
    async def on_start(self):
        self.stop()

class Killed(AgentProcess):
    async def on_start(self):
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a command of civitas as process 1 of a namespace of its own."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        running = as_process_1(tmp_path, str(COMMAND), *arguments)
        started.append(running)
        return running

    yield start
    for running in started:
        running.close()


def test_orphans_are_let_go_and_a_signal_ends_all_in_order(app: App, begin: Begin) -> None:
    app(AGENTS, "name: a, type: agents.Forking")
    running = begin("run")
    running.until("forked")
    running.until("running: 1 agent")
    first = first_of(running)
    eventually(lambda: states_below(first), lambda states: len(states) == 1 and "Z" not in states)
    assert any(line == "pid 2 of 1" for line in running.out)
    os.kill(first, signal.SIGTERM)
    assert running.wait() == 0
    assert running.out[-1] == "stopped"
    assert running.count("finishing the work in hand") == 1


def test_a_second_signal_ends_it_at_once(app: App, begin: Begin) -> None:
    app(
        AGENTS + "\nclass Slow(Exits):\n    async def on_stop(self):\n"
        "        await asyncio.sleep(60)\n    async def on_start(self):\n        pass\n",
        "name: a, type: agents.Slow",
    )
    running = begin("run")
    running.until("running: 1 agent")
    first = first_of(running)
    os.kill(first, signal.SIGINT)
    running.until("once more")
    os.kill(first, signal.SIGINT)
    assert running.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("agent", "code"), [("Exits", 0), ("Killed", 128 + signal.SIGKILL), ("NoSuch", 2)]
)
def test_the_exit_code_is_that_of_the_command(
    app: App, begin: Begin, agent: str, code: int
) -> None:
    app(AGENTS, f"name: a, type: agents.{agent}")
    assert begin("run").wait() == code


def test_up_is_a_first_process_as_well(app: App, begin: Begin) -> None:
    app(AGENTS, "name: a, type: agents.Forking")
    running = begin("up")
    running.until("running: 1 agent")
    os.kill(first_of(running), signal.SIGTERM)
    assert running.wait() == 0
    assert running.count("stopped") == 1
