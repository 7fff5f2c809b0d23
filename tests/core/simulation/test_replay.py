"""A simulated test in pytest: what a failure says, and how one seed is run again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("orders")
    (folder / "test_orders.py").write_text(TEST)

    def run(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
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
    assert "run it again with --civitas-seed=" in said
    assert "faults are enough:" in said
    assert ": kill worker" in said
    assert "worker.1       killed" in said


def test_seeds_are_divided_into_tests_that_can_run_beside_each_other(run) -> None:
    listed = run("--collect-only")
    assert "test_orders[seeds 0-49]" in listed
    assert "test_orders[seeds 50-59]" in listed


def test_one_seed_is_run_again_to_the_letter_with_its_whole_history(run, failure: str) -> None:
    seed = failure.partition("--civitas-seed=")[2].split()[0]
    first, second = (run(f"--civitas-seed={seed}") for _ in range(2))
    assert f"test_orders[seed {seed}]" in first
    assert "accepted     client" in first
    assert history(first) == history(second)


def history(said: str) -> str:
    return said.partition("history (seconds")[2].rpartition("short test summary")[0]
