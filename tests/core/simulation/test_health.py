"""A topology with a health address is simulated as any other: nobody is outside to be answered."""

from __future__ import annotations

import asyncio

from civitas import AgentProcess, Message, Worker
from civitas.testing import simulation as sim
from civitas.testing.simulation.run import Scenario, run

STUCK_AFTER = 30.0


class Slow(AgentProcess):
    async def handle(self, message: Message) -> Message:
        await asyncio.sleep(message.payload.get("seconds", 0.0))
        return self.reply({})


def topology(port: int) -> dict[str, object]:
    agent = {"name": "a", "type": "Slow", "process": "worker"}
    return {
        "health": {"listen": port, "stuck_after": STUCK_AFTER},
        "supervision": {"name": "root", "children": [{"agent": agent}]},
    }


def test_no_address_is_used_and_a_queue_that_does_not_move_is_told_in_time() -> None:
    seen: list[tuple[float, float]] = []

    async def observe(system: sim.System) -> None:
        worker = system.deployment.current["worker"]
        assert isinstance(worker.node, Worker)
        for seconds in (50.0, 0.0, 0.0, 0.0):
            sending = worker.node.send("a", {"seconds": seconds})
            await system.deployment.within(worker.process, sending)
        for _ in range(70):
            await asyncio.sleep(1.0)
            [agent] = worker.node.stats().agents
            seen.append((agent.stuck, agent.handled))

    outcome = run(Scenario(observe, topology(1), sim.Faults(), {"Slow": Slow}), 1)
    assert outcome.summary() == ""
    stuck = [seconds for seconds, _ in seen]
    assert 0.0 in stuck[:25]
    assert max(stuck) >= 45.0
    assert min(each for each in stuck if each) >= STUCK_AFTER
    assert seen[-1] == (0.0, 4)
