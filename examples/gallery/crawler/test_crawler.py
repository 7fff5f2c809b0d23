"""The crawler under faults: it is polite whatever dies, and it comes to every page."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import agents
from civitas.testing import harness
from civitas.testing import simulation as sim

PAUSE = 2.0
FAULTS = sim.Faults(crash=True, kill=True, kill_primary=True, partition=True, pause=True)

requests: defaultdict[str, list[float]] = defaultdict(list)
"""When each host was asked, in this run."""


def slow_topology(_numbers: random.Random) -> dict[str, Any]:
    """Return the topology with a pause so long that faults come in the middle of the crawl."""
    requests.clear()
    topology = yaml.safe_load(Path(__file__).with_name("topology.yaml").read_text())
    topology["supervision"]["max_restarts"] = 1000
    for child in topology["supervision"]["children"][:2]:
        child["agent"]["config"]["pause"] = PAUSE
    return topology


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note each request."""
    fetch = agents.fetch

    async def noted(url: str) -> list[str]:
        requests[agents.host_of(url)].append(time.monotonic())
        return await fetch(url)

    monkeypatch.setattr(agents, "fetch", noted)


# --8<-- [start:faults]
def no_host_is_asked_too_soon(_system: sim.System) -> Iterator[str]:
    for host, times in requests.items():
        for one, next_one in pairwise(times):
            if next_one - one < PAUSE:
                yield f"{host} was asked at {one:.3f} and at {next_one:.3f}"


def every_page_is_fetched(system: sim.System) -> Iterator[str]:
    fetched = {
        each.message.payload["url"]
        for each in system.history.handlings
        if each.agent != "crawler" and each.outcome == "done"
    }
    yield from sorted(agents.SITE.keys() - fetched)


@sim.test(
    topology=slow_topology,
    seeds=10,
    faults=FAULTS,
    invariants=[no_host_is_asked_too_soon, every_page_is_fetched],
)
async def test_a_crawl_is_polite_and_complete(system: sim.System, watched: None) -> None:
    await system.storm(seconds=20)
    await system.calm(within=60)
    await asyncio.sleep(120)


# --8<-- [end:faults]


async def test_pages_of_one_host_have_a_pause_between_them() -> None:
    async with harness(agents.Fetcher("fetcher", pause=10)) as h:
        for url in ("demo://wiki/", "demo://wiki/tea", "demo://shop/"):
            await h.send("fetcher", {"url": url})
        await h.idle()
        assert h.now == pytest.approx(20.1)


async def test_a_page_that_is_not_there_is_an_answer_and_no_crash() -> None:
    async with harness(agents.Fetcher("fetcher")) as h:
        answer = await h.ask("fetcher", {"url": "demo://news/yesterday"})
        assert answer.payload == {"error": "404: there is no such page"}
