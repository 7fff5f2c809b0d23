"""Scrapes: what one of `/metrics` takes, and how long it keeps the event loop waiting."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from statistics import median
from time import perf_counter
from typing import Any, Final, TypeVar

from benchmarks.agents import Idle
from benchmarks.harness import Effort, Row, Spread
from civitas import Runtime

T = TypeVar("T")

MANY: Final = 1_000
SCRAPES: Final = 20

SCRAPER: Final = """
import http.client, sys, time
for _ in sys.stdin:
    began = time.perf_counter()
    connection = http.client.HTTPConnection(sys.argv[1])
    connection.request("GET", "/metrics")
    assert connection.getresponse().read().endswith(b"# EOF\\n")
    print((time.perf_counter() - began) * 1e3, flush=True)
    connection.close()
"""
"""Scrapes once for each line that it gets, and says how many milliseconds that took."""


def rows(effort: Effort) -> Iterator[Row]:
    """Measure scrapes of a process, by a process of their own."""
    many = effort.count(MANY)
    agents: list[dict[str, Any]] = [
        {"agent": {"name": f"agent_{number}", "type": "Idle"}} for number in range(many)
    ]
    topology = {
        "health": {"listen": 0},
        "supervision": {"name": "root", "children": agents},
    }
    measured = asyncio.run(_measured(topology, effort))
    idle, busy, alone, scraped = map(Spread.of, zip(*measured, strict=True))
    yield Row(f"a scrape of {MANY:,} agents", "ms", idle, target=20.0)
    yield Row(f"a scrape of {MANY:,} agents while the loop never rests", "ms", busy)
    yield Row("the longest pause of a loop that never rests, unscraped", "ms", alone)
    yield Row("the same during a scrape", "ms", scraped, target=2.0)


async def _measured(
    topology: dict[str, Any], effort: Effort
) -> list[tuple[float, float, float, float]]:
    """Return, for each round, the times of scrapes and the pauses, in milliseconds."""
    found = []
    async with Runtime.from_config_dict(topology, agent_classes={"Idle": Idle}) as runtime:
        scraper = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SCRAPER,
            runtime.health_url.removeprefix("http://"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await _scrape(scraper)  # the first one imports
        scrapes = range(effort.count(SCRAPES))
        for _ in range(effort.rounds):
            idle = [await _scrape(scraper) for _ in scrapes]
            alone = [(await _busy(asyncio.sleep(0.005)))[1] for _ in scrapes]
            busy = [await _busy(_scrape(scraper)) for _ in scrapes]
            times, pauses = zip(*busy, strict=True)
            found.append((median(idle), median(times), median(alone), median(pauses)))
        assert scraper.stdin is not None
        scraper.stdin.close()
        await scraper.wait()
    return found


async def _scrape(scraper: asyncio.subprocess.Process) -> float:
    """Have the other process scrape once; return its milliseconds."""
    assert scraper.stdin is not None
    assert scraper.stdout is not None
    scraper.stdin.write(b"\n")
    return float(await scraper.stdout.readline())


async def _busy(meanwhile: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Keep the loop busy until something is done; return it, with the longest pause in ms."""
    waiting = asyncio.create_task(meanwhile)
    longest, last = 0.0, perf_counter()
    while not waiting.done():
        await asyncio.sleep(0)
        now = perf_counter()
        longest = max(longest, now - last)
        last = now
    return waiting.result(), longest * 1e3
