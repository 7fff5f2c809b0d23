"""What an agent costs that has nothing to do: bytes that are allocated for it, and kept."""

from __future__ import annotations

import gc
import tracemalloc

from civitas import AgentProcess, Runtime, Supervisor

BYTES = 5 << 10
"""Of one agent at most, its task and its object included; 5,000 were seen with Python 3.11."""


class Idle(AgentProcess):
    """Does nothing."""


async def allocated(agents: int) -> int:
    """Return how many bytes a running node has more than before."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    children = [Idle(f"agent_{number}") for number in range(agents)]
    async with Runtime(Supervisor("root", children)):
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before


async def test_an_idle_agent_keeps_few_bytes() -> None:
    tracemalloc.start(1)
    try:
        await allocated(10)  # what is made once, is
        few, many = await allocated(50), await allocated(450)
    finally:
        tracemalloc.stop()

    assert (many - few) / 400 < BYTES
