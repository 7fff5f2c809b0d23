"""What is decided while a process is cut off, and by whom it is known when it is back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.run import RunOutcome, Scenario, run
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
