"""Agents at rest: what each costs in memory, and how long many take to start."""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter

import psutil

from benchmarks.harness import Row, alone
from civitas import AgentProcess, Runtime, Supervisor

AGENTS = 10_000


class Idle(AgentProcess):
    """Does nothing."""


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def _start() -> tuple[float, float]:
    """Start many agents; return the seconds that took, and the KiB that each one holds."""
    before = _resident()
    root = Supervisor("root", [Idle(f"agent_{number}") for number in range(AGENTS)])
    runtime = Runtime(root)
    began = perf_counter()
    await runtime.start()
    elapsed = perf_counter() - began
    held = (_resident() - before) / AGENTS / 1024
    await runtime.stop()
    return elapsed, held


def rows() -> list[Row]:
    """Measure start and memory of idle agents, the agents' objects included."""
    # Memory first and once: later rounds reuse what the first one has taken from the system.
    first_seconds, held = asyncio.run(_start())
    seconds = [first_seconds, *(asyncio.run(_start())[0] for _ in range(4))]
    return [
        Row("memory of an idle agent", "KiB", None, held, None, 10.0),
        alone(f"start of {AGENTS:,} agents", "s", iter(seconds).__next__, 5.0),
    ]
