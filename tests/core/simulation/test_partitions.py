"""What is decided while a process is cut off, and by whom it is known when it is back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from civitas._cluster.codec import decode
from civitas._cluster.protocol import Changed, Pong
from civitas.errors import CivitasError
from civitas.process import ProcessStatus
from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.network import SimulatedNetwork
from civitas.testing.simulation.run import RunOutcome, Scenario, run
from civitas.testing.simulation.system import EVERY_NODE, System
from core.simulation.scenarios import weather
from core.simulation.topologies import CLASSES, agent

pytestmark = pytest.mark.slow

PARTED = 4.0
"""Seconds of a partition in which the primary declares dead whoever is on its other side."""

SEEDS = range(6)


def system(strategy: str) -> dict[str, Any]:
    placed = (agent("l"), agent("a", "w1"), agent("b", "w1"), agent("c", "w2"))
    root = {
        "name": "root",
        "strategy": strategy,
        "max_restarts": 1000,
        "backoff_base": 0.05,
        "children": list(placed),
    }
    return {"send_timeout": 1.0, "supervision": root}


def played(seed: int, plan: Sequence[Fault], strategy: str = "ONE_FOR_ONE") -> RunOutcome:
    """Return a run that has broken no rule."""
    outcome = run(Scenario(weather, system(strategy), agent_classes=CLASSES), seed, [plan])
    assert outcome.summary() == ""
    return outcome


def ended_as_superseded(outcome: RunOutcome, process: str) -> bool:
    """Return whether the first incarnation of a process has heard that it was declared dead."""
    facts = [str(fact) for fact in outcome.facts if f" {process}.1 " in str(fact)]
    return any(" ended " in fact and "superseded" in fact for fact in facts)


@pytest.mark.parametrize("strategy", ["ONE_FOR_ONE", "ONE_FOR_ALL"])
@pytest.mark.parametrize("side", ["w1", "w1,w2", "supervisor"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_done_where_the_primary_does_not_hear_it_stays_done(
    seed: int, side: str, strategy: str
) -> None:
    """The process is declared dead, and says so when it hears of it: its next one asks in vain."""
    plan = [Fault(0.0, "partition", side, PARTED), Fault(0.05, "done", "a")]
    outcome = played(seed, plan, strategy)
    assert ended_as_superseded(outcome, "w1")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_only_an_earlier_primary_had_declared_dead_ends_and_comes_back(seed: int) -> None:
    """The next primary does not know that it was; the other workers refuse what it sends."""
    plan = [
        Fault(0.0, "partition", "w2", PARTED),
        Fault(PARTED + 0.1, "kill_primary", "supervisor", 0.5),
    ]
    played(seed, plan)


def is_news_of_the_done(frame: bytes) -> bool:
    """Return whether a control frame says, before the goodbye, that an agent is done."""
    try:
        message = decode(frame)[1]
    except CivitasError:
        return False
    states = message.agents if isinstance(message, Pong) else {}
    states = message.info.agents if isinstance(message, Changed) else states
    return any(status == ProcessStatus.STOPPED.value for status, _ in states.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_process_that_ends_since_all_is_done_the_goodbye_alone_is_enough(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for them: the runtime ends, since all are done."""
    publish, lost = SimulatedNetwork.publish, []

    def lossy(network: SimulatedNetwork, sender: Any, address: str, frame: bytes) -> None:
        if is_news_of_the_done(frame):
            lost.append(frame)
        else:
            publish(network, sender, address, frame)

    async def all_are_done(running: System) -> None:
        async with running.load(rate=20.0, senders=EVERY_NODE):  # each hears it as it handles
            await running.storm(seconds=6.0)
        assert running.deployment.ended is not None

    monkeypatch.setattr(SimulatedNetwork, "publish", lossy)
    plan = [Fault(0.1 * number, "done", name) for number, name in enumerate("cbal")]
    scenario = Scenario(all_are_done, system("ONE_FOR_ONE"), agent_classes=CLASSES)
    assert run(scenario, seed, [plan]).summary() == ""
    assert lost
