"""Restarts that somebody wants, of agents whose process goes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from civitas import Runtime
from civitas.errors import CivitasError
from civitas.testing.simulation.faults import Fault
from civitas.testing.simulation.run import RunOutcome, Scenario, run
from civitas.testing.simulation.system import System
from core.simulation.topologies import CLASSES, agent

pytestmark = pytest.mark.slow

SEEDS = range(6)
STOPS = 20.0
"""Seconds that the agent takes to stop: its process goes in them."""

TOPOLOGY = {
    "supervision": {
        "name": "root",
        "max_restarts": 1000,
        "backoff_base": 0.05,
        "children": [agent("l"), agent("a", "w1"), agent("b", "w1")],
    }
}
SLOWLY = Fault(0.0, "slow_stop", "a", STOPS)
WHEN = 1.0


async def _wanted(system: System) -> None:
    """Want a restart by the primary, and take note of what is said of it."""
    assert system.deployment.primary is not None
    runtime, outcome = system.deployment.primary.node, "restarted"
    assert isinstance(runtime, Runtime)
    await asyncio.sleep(WHEN)
    try:
        await runtime.restart("a")
    except CivitasError as error:
        outcome = f"{type(error).__name__}: {error}"
    system.history.note("wanted", outcome)


async def a_restart_is_wanted(system: System) -> None:
    """Have an agent restarted while things go wrong; see that all agents run after it."""
    assert system.deployment.primary is not None
    system.deployment.primary.process.spawn(_wanted(system), "call")
    await system.storm(seconds=10.0)
    await system.calm(within=10.0)


def played(seed: int, plan: Sequence[Fault]) -> RunOutcome:
    """Return a run that has broken no rule."""
    outcome = run(Scenario(a_restart_is_wanted, TOPOLOGY, agent_classes=CLASSES), seed, [plan])
    assert outcome.summary() == ""
    return outcome


def said(outcome: RunOutcome) -> list[str]:
    """Return what was said to who wanted the restart."""
    return [str(fact) for fact in outcome.facts if " wanted " in str(fact)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_the_process_that_comes_runs_it(seed: int, kind: str) -> None:
    [outcome] = said(played(seed, [SLOWLY, Fault(WHEN + 1.0, kind, "w1", 4.0)]))
    assert "process 'w1' is not there; when it comes, it starts a fresh object" in outcome
