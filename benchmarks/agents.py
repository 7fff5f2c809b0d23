"""Agents at rest, and processes: what each costs in memory, and how long many take to start."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Final

import psutil

from benchmarks.child import Child, obey
from benchmarks.harness import Effort, Row, Spread
from benchmarks.processes.rows import free_addresses
from benchmarks.startup import until_running
from civitas import AgentProcess, Runtime, Supervisor

AGENTS: Final = 10_000

TREE: Final = (
    "supervision: {name: root, children: [{agent: {name: a, type: benchmarks.agents.Idle}}]}"
)


class Idle(AgentProcess):
    """Does nothing."""


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def _start(agents: int) -> tuple[float, float]:
    """Start many agents; return the seconds that took, and the KiB that each one holds."""
    before = _resident()
    root = Supervisor("root", [Idle(f"agent_{number}") for number in range(agents)])
    runtime = Runtime(root)
    began = perf_counter()
    await runtime.start()
    elapsed = perf_counter() - began
    held = (_resident() - before) / agents / 1024
    await runtime.stop()
    return elapsed, held


def rows(effort: Effort) -> Iterator[Row]:
    """Measure start and memory of idle agents, the agents' objects included, and of processes."""
    agents = effort.count(AGENTS)
    found = []
    for _ in range(effort.rounds):
        # In a process of its own: what one round takes from the system, a later one would reuse.
        with Child("agents", str(agents)) as child:
            found.append(child("start"))
    yield Row("memory of an idle agent", "KiB", Spread.of([each[1] for each in found]), target=5.0)
    yield Row(
        f"start of {AGENTS:,} agents", "s", Spread.of([each[0] for each in found]), target=5.0
    )
    yield from _processes(effort)


def _processes(effort: Effort) -> Iterator[Row]:
    """Measure the memory of a process with one idle agent, on two transports."""
    python = Spread.of([_memory_of_python() for _ in range(effort.rounds)])
    publish, subscribe = free_addresses()
    blocks = {
        "in_process": {"type": "in_process"},
        "zmq": {"type": "zmq", "pub_addr": publish, "sub_addr": subscribe},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, block in blocks.items():
            held = [_memory_of_run(Path(folder), block) for _ in range(effort.rounds)]
            ratios = [each / python.median for each in held]
            yield Row(
                f"memory of a process with one agent, {name}",
                "MiB",
                Spread.of(held),
                "Python with asyncio",
                python,
                Spread.of(ratios),
                key="memory",
            )


def _memory_of_run(folder: Path, block: Mapping[str, str]) -> float:
    """Return the MiB that `civitas run` holds when its agent runs."""
    topology = folder / "topology.yaml"
    topology.write_text(f"transport: {json.dumps(block)}\n{TREE}")
    with until_running(topology) as process:
        return float(psutil.Process(process.pid).memory_info().rss) / (1 << 20)


def _memory_of_python() -> float:
    code = "import asyncio, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return float(psutil.Process(process.pid).memory_info().rss) / (1 << 20)


async def _obey(agents: int) -> None:
    async def start() -> tuple[float, float]:
        return await _start(agents)

    await obey({"start": start})


if __name__ == "__main__":
    asyncio.run(_obey(int(sys.argv[1])))
