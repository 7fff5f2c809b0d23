"""A simulated test in pytest: what a failure says, and how one seed is run again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.hostile import HOSTILE, NAME, NAME_SHOWN, obeyed

pytestmark = pytest.mark.slow

TEST = """
from civitas import AgentProcess
from civitas.testing import simulation as sim

class Press(AgentProcess):
    async def handle(self, message):
        return self.reply({})

TOPOLOGY = {"supervision": {"name": "root", "children": [
    {"agent": {"name": "press", "type": "press", "process": "worker"}}]}}

@sim.test(topology=TOPOLOGY, seeds=60, agent_classes={"press": Press}, faults=sim.Faults(kill=True))
async def test_orders(system):
    async with system.load("press", rate=8):
        await system.storm(seconds=3)
    await system.calm()
    assert system.history.handled("press") >= system.history.accepted("press"), "an order is lost"
"""

UNSTEADY = """
from civitas import AgentProcess
from civitas.testing import simulation as sim

TOPOLOGY = {"supervision": {"name": "root", "children": [{"agent": {"name": "a", "type": "it"}}]}}
runs = []

class It(AgentProcess):
    async def handle(self, message):
        await self.send("noone" if len(runs) == 4 else "nobody", {})

@sim.test(topology=TOPOLOGY, seeds=60, agent_classes={"it": It})
async def test_it(system):
    runs.append(system)
    async with system.load("a", rate=1):
        await system.storm(seconds=3)
    assert len(runs) != 4, "the fourth"
"""

INTERRUPTED = """
import os, signal
from civitas import AgentProcess
from civitas.testing import simulation as sim

TOPOLOGY = {"supervision": {"name": "root", "children": [
    {"agent": {"name": "a", "type": "it"}},
    {"agent": {"name": "b", "type": "it", "process": "worker"}}]}}

class It(AgentProcess):
    async def handle(self, message):
        os.kill(os.getpid(), signal.SIGINT)

@sim.test(topology=TOPOLOGY, seeds=60, agent_classes={"it": It})
async def test_it(system):
    async with system.load("b", rate=1):
        await system.storm(seconds=3)
    print("it went on")

def test_after_it():
    print("it went on")
"""


HOSTILE_NAMES = f"""
from civitas import AgentProcess
from civitas.testing import simulation as sim

HOSTILE, NAME = {HOSTILE!r}, {NAME!r}
AGENT = {{"name": NAME, "type": "it"}}
TOPOLOGY = {{"supervision": {{"name": "root", "children": [{{"agent": AGENT}}]}}}}

class It(AgentProcess):
    async def handle(self, message):
        raise type(HOSTILE, (Exception,), {{}})(HOSTILE)

@sim.test(topology=TOPOLOGY, seeds=2, agent_classes={{"it": It}})
async def test_it(system):
    async with system.load(NAME, rate=1):
        await system.storm(seconds=2)
    raise ValueError(HOSTILE)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("orders")
    for name, text in (
        ("orders", TEST),
        ("unsteady", UNSTEADY),
        ("interrupted", INTERRUPTED),
        ("hostile", HOSTILE_NAMES),
    ):
        (folder / f"test_{name}.py").write_text(text)

    def run(*options: str, file: str = "test_orders.py") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, file],
            cwd=folder,
            env={**os.environ, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return run


@pytest.fixture(scope="module")
def failure(run) -> str:
    return run("-k", "0-49")


def test_a_failure_says_the_seed_the_fewest_faults_and_what_happened(failure: str) -> None:
    said = failure
    assert "an order is lost" in said
    lines = [
        r"seed \d+: AssertionError: an order is lost",
        r"Run it again: pytest --civitas-seed=\d+ test_orders.py::test_orders",
        r"Of its \d+ faults 1 is enough .*",
        r" +\d+\.\d\d  kill worker .*killed, and started again after that time",
    ]
    for line in lines:
        assert re.search(f"^{line}$", said, re.MULTILINE), line
    assert "messages that went as they should are left out" in said
    assert "worker.1      killed      worker" in said


def test_seeds_are_divided_into_tests_that_can_run_beside_each_other(run) -> None:
    listed = run("--collect-only")
    assert "test_orders[seeds 0-49]" in listed
    assert "test_orders[seeds 50-59]" in listed


def test_one_seed_is_run_again_to_the_letter_with_its_whole_history(run, failure: str) -> None:
    seed = failure.partition("--civitas-seed=")[2].split()[0]
    first, second = (run(f"--civitas-seed={seed}") for _ in range(2))
    assert f"test_orders[seed {seed}]" in first
    assert "accepted    client" in first
    assert history(first) == history(second)


def test_no_terminal_obeys_a_report(run) -> None:
    said = run(file="test_hostile.py")
    assert "seed 0: ValueError: " in said
    assert NAME_SHOWN in said
    assert obeyed(said) == []


def history(said: str) -> str:
    return said.partition("The history of all of it")[2].rpartition("short test summary")[0]


def test_a_seed_that_does_not_do_the_same_again_is_said_to_depend_on_more(run) -> None:
    said = run(file="test_unsteady.py")
    assert "seed 3: AssertionError: the fourth - and when it ran again" in said
    assert "The second run of the seed: it passed" in said
    differ = r"^And then.*\n.* send +a->noone .*\n.* send +a->nobody "
    assert re.search(differ, said, re.MULTILINE)
    assert "Of its" not in said


def test_an_interrupt_ends_the_run_and_no_supervisor_hears_of_it(run) -> None:
    said = run("-s", file="test_interrupted.py")
    assert "KeyboardInterrupt" in said
    assert "no tests ran" in said
    assert "it went on" not in said
    assert "seed" not in said.partition("KeyboardInterrupt")[0]
