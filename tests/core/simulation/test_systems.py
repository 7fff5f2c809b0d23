"""System, and the test that is made of it: seeds, shrunk failures, replays."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from civitas import AgentProcess, Message
from civitas.testing import simulation as sim
from civitas.testing.simulation.run import Scenario, run
from civitas.testing.simulation.shrink import shrink
from core.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.slow


class Desk(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        await self.send("press", {"n": message.payload["n"]})
        return self.reply({})


class Press(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        return self.reply({})


CLASSES = {"desk": Desk, "press": Press}
TOPOLOGY: Mapping[str, Any] = {
    "supervision": {
        "name": "root",
        "max_restarts": 1000,
        "children": [
            {"agent": {"name": "desk", "type": "desk"}},
            {"agent": {"name": "press", "type": "press", "process": "worker"}},
        ],
    }
}
TWO = sim.Faults(kill=True, pause=True)


class Silent(AgentProcess):
    """Puts off every answer, and gives none."""

    async def handle(self, message: Message) -> None:
        self.state[message.id] = self.defer()


@sim.test(
    topology=TOPOLOGY,
    seeds=3,
    agent_classes={"desk": Desk, "press": Silent},
    transport={"at_least_once": False},
)
async def test_an_answer_that_is_put_off_is_counted_once(system: sim.System) -> None:
    async with system.load("press", rate=5, asks=1.0, timeouts=(1.0, 60.0)):
        await system.storm(seconds=5)


@sim.test(
    topology=TOPOLOGY,
    seeds=20,
    faults=TWO,
    agent_classes=CLASSES,
    transport={"at_least_once": True},
)
async def test_no_order_is_lost(system: sim.System) -> None:
    async with system.load("desk", rate=10):
        await system.storm(seconds=10)
    await system.calm(within=60)
    assert system.history.accepted("press")
    assert system.history.handled("press") >= system.history.accepted("press")


@sim.test(topology=TOPOLOGY, seeds=2, agent_classes=CLASSES)
async def test_a_test_has_fixtures_besides(system: sim.System, tmp_path: Path) -> None:
    assert tmp_path.is_dir()
    assert system.running_agents() == ["desk", "press"]


def run_one(
    test: Any, seed: int = 0, faults: sim.Faults = TWO, topology: Any = TOPOLOGY, **options: Any
) -> Any:
    return run(Scenario(test, topology, faults, CLASSES, options), seed)


async def loses(system: sim.System) -> None:
    async with system.load("press", rate=10):
        await system.storm(seconds=10)
    await system.calm()
    assert system.history.handled("press") >= system.history.accepted("press"), "lost"


def test_what_a_test_raises_fails_its_run_and_the_plan_shrinks() -> None:
    seed = next(seed for seed in range(20) if run_one(loses, seed).failed)
    scenario = Scenario(loses, TOPOLOGY, TWO, CLASSES)
    failed = run(scenario, seed)
    shrunk = shrink(scenario, failed)
    assert "lost" in shrunk.error
    assert sum(map(len, shrunk.plans)) == 1
    again = run(scenario, seed, shrunk.plans)
    assert (again.digest, again.error) == (shrunk.digest, shrunk.error)


def test_the_same_seed_gives_the_same_history_also_when_others_ran_before() -> None:
    scenario = SCENARIOS["flat"]
    first, _, again = run(scenario, 3), run(scenario, 4), run(scenario, 3)
    assert (first.digest, first.facts) == (again.digest, again.facts)


def test_a_seed_gives_the_same_digest_in_any_process_with_any_hashes() -> None:
    code = (
        "from core.simulation.scenarios import SCENARIOS\n"
        "from civitas.testing.simulation.run import run\n"
        "print([run(SCENARIOS[name], seed).digest for name in SCENARIOS for seed in (0, 1)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "tests"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(printed) == 1


def test_a_topology_file_stands_beside_its_test(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text("supervision: {name: root, children: [{agent: {name: a, type: press}}]}\n")

    async def asks(system: sim.System) -> None:
        async with system.load("a", asks=1.0):
            await system.storm(seconds=2)
        assert system.history.answered("a")

    assert run_one(asks, topology=file).summary() == ""


class Curious(AgentProcess):
    seen: list[tuple[float, float, str]]
    slept: list[float]

    async def handle(self, message: Message) -> Message | None:
        began = time.time()
        Curious.seen.append((began, random.random(), uuid.uuid4().hex))
        time.sleep(2.0)  # noqa: ASYNC251 - what it comes to here is the point
        Curious.slept.append(time.time() - began)
        return self.reply({})


async def one_ask(system: sim.System) -> None:
    async with system.load("a", asks=1.0, rate=0.5):
        await system.storm(seconds=4)


def curious(behaviour: type[AgentProcess]) -> Scenario:
    topology = {
        "supervision": {"name": "root", "children": [{"agent": {"name": "a", "type": "it"}}]}
    }
    return Scenario(one_ask, topology, sim.Faults(), {"it": behaviour})


def test_clocks_and_random_numbers_of_authors_come_from_the_seed() -> None:
    found = []
    for _ in range(2):
        Curious.seen, Curious.slept = [], []
        assert run(curious(Curious), 5).summary() == ""
        assert set(Curious.slept) == {2.0}, "it slept in real time"
        found.append(Curious.seen)
    assert found[0] == found[1] != []
    assert abs(time.time() - found[0][0][0]) > 1e5


class Threading(AgentProcess):
    async def handle(self, message: Message) -> Message | None:
        subprocess.run(["true"], check=False)  # noqa: ASYNC221 - that it is refused is the point
        return self.reply({})


def test_what_an_agent_waits_for_in_real_time_is_refused_with_a_reason() -> None:
    failed = run(curious(Threading), 5)
    assert any("SimulationError" in str(fact) for fact in failed.facts)


@pytest.mark.parametrize("rule", ["the test", "nothing ends unexpectedly"])
def test_what_is_broken_has_a_name(rule: str) -> None:
    async def raises(system: sim.System) -> None:
        if rule == "the test":
            raise ValueError("no")
        system.complain(rule, "it did")

    outcome = run_one(raises)
    assert outcome.rules == (rule,)


class Asking(AgentProcess):
    """Asks the next one in a ring, and notes what it is told."""

    told: list[str]

    async def handle(self, message: Message) -> Message | None:
        following = {"a": "b", "b": "c", "c": "a"}[self.name]
        try:
            await self.ask(following, {}, timeout=2.0 if self.name == "a" else 20.0)
        except TimeoutError as error:
            Asking.told.append(str(error))
        return self.reply({})


RING: Mapping[str, Any] = {
    "supervision": {
        "name": "root",
        "children": [
            {"agent": {"name": name, "type": "it", "process": process}}
            for name, process in (("a", "w1"), ("b", "w2"), ("c", "w3"))
        ],
    }
}


async def ask_all(system: sim.System) -> None:
    async with system.load("a", "b", "c", rate=50):
        await asyncio.sleep(1.0)
    await asyncio.sleep(3.0)


def test_a_timeout_says_who_asks_whom_in_a_ring_of_nodes() -> None:
    Asking.told = []
    run(Scenario(ask_all, RING, sim.Faults(), {"it": Asking}), 1)
    assert "'b' itself has waited" in Asking.told[0]
    assert Asking.told[0].endswith("s for one of 'a': they ask each other in a ring")


def test_a_node_that_is_silent_holds_up_no_timeout() -> None:
    async def alone(system: sim.System) -> None:
        async with system.load("a", rate=1):
            await asyncio.sleep(1.5)
            system.network.part({"w1.1"}, {"w2.1", "w3.1", "supervisor.1"})
            await asyncio.sleep(3.0)

    Asking.told = []
    outcome = run(Scenario(alone, RING, sim.Faults(), {"it": Asking}), 1)
    assert any("no answer within" in text and "itself" not in text for text in Asking.told)
    assert not [text for rule, text in outcome.broken if rule == "asks end in time"]
