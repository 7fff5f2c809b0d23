"""The fleet under faults: no wrong value is noted, and no device holds up the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import HIGHEST, LOWEST, Aggregator, Poller, Sensor
from civitas.testing import harness
from civitas.testing import simulation as sim

SENSORS = ["roof", "cellar", "yard"]
FAULTS = sim.Faults(crash=True, kill=True, stop=True, partition=True)
LIMIT = 0.5


def topology(_numbers: random.Random) -> dict[str, Any]:
    """Return the topology with room for more crashes than a day has."""
    fleet = yaml.safe_load(Path(__file__).with_name("topology.yaml").read_text())
    fleet["supervision"]["max_restarts"] = 1000
    return fleet


# --8<-- [start:faults]
def values_are_possible(system: sim.System) -> Iterator[str]:
    for each in system.history.handlings:
        if each.message.type == "reading":
            celsius = each.message.payload["celsius"]
            if not LOWEST <= celsius <= HIGHEST:
                yield f"{each.message.payload['sensor']} has {celsius} degrees"


def no_poll_is_held_up(system: sim.System) -> Iterator[str]:
    for each in system.history.handlings:
        if each.message.type == "poll" and each.ended_at - each.began_at > LIMIT + 0.1:
            yield f"the poll at {each.began_at:.3f} took until {each.ended_at:.3f}"


@sim.test(
    topology=topology,
    seeds=10,
    faults=FAULTS,
    invariants=[values_are_possible, no_poll_is_held_up],
)
async def test_the_fleet_goes_on(system: sim.System) -> None:
    await system.storm(seconds=20)
    await system.calm(within=60)
    quiet = system.history.now
    await asyncio.sleep(60)
    read = {
        each.message.payload["sensor"]
        for each in system.history.handlings
        if each.message.type == "reading" and each.began_at > quiet
    }
    assert read == set(SENSORS)


# --8<-- [end:faults]


async def test_a_sensor_that_hangs_counts_as_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "choice", lambda kinds: "hang")
    sensor = Sensor("yard", around=10, flaky=1)
    sensor.handle_timeout = 0.3
    poller = Poller("poller", ["yard"])
    async with harness(poller, sensor, fakes={"aggregator": {}}) as h:
        await h.advance(1.5)
        (failure,) = h.sent("aggregator")
        assert failure.payload == {"sensor": "yard", "why": "AgentError"}
        h.expect_crash(TimeoutError)


async def test_a_wrong_value_is_a_failure() -> None:
    async with harness(
        Poller("poller", ["roof", "yard"]),
        Aggregator("aggregator"),
        fakes={"roof": {"celsius": 11.5}, "yard": {"celsius": -127.0}},
    ) as h:
        await h.advance(3)
        answer = await h.ask("aggregator", {})
    assert answer.payload["mean"] == 11.5
    assert answer.payload["sensors"]["yard"] == {
        "mean": None,
        "readings": 0,
        "stale": True,
        "failures": {"wrong value": 3},
    }
