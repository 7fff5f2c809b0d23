"""The shop of distributed.yaml under faults: no order that the press was given is lost.

Run it with `pytest examples/test_distributed.py`.
"""

from __future__ import annotations

from civitas.testing import simulation as sim

FAULTS = sim.Faults(kill=True, kill_primary=True, partition=True, pause=True)
JETSTREAM = {"at_least_once": True}


@sim.test(
    topology="distributed.yaml",
    seeds=10,
    faults=FAULTS,
    transport=JETSTREAM,
    invariants=[sim.nothing_lost("press")],
)
async def test_no_order_is_lost(system: sim.System) -> None:
    """Order from outside while processes die and stand still."""
    async with system.load("desk", rate=5, payload={"print": "Hello"}):
        await system.storm(seconds=30)
    await system.calm(within=60)
    assert system.history.handled("press") >= system.history.accepted("press")
