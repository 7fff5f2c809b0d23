"""What other nodes hear of an agent while its constructor holds up the event loop of its node."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from civitas import Runtime, Supervisor, Worker
from civitas._agents.slot import AgentSlot
from civitas.components import build_component_set
from civitas.process import ProcessStatus
from support.agents import SOON, Scripted, until
from support.lives import Log, Mortal, count
from support.local_bus.testbed import LocalBus

PINGS = 2
"""Pings that are answered while a constructor is at work: the second one has heard of the first."""


class Slow(Mortal):
    """Its constructor, when it is restarted, lasts until its node has answered pings."""

    def __init__(self, name: str, log: Log, pings: threading.Semaphore, made: list[Any]) -> None:
        super().__init__(name, log)
        made.append(self)
        if len(made) > 1:
            while pings.acquire(blocking=False):
                pass  # those that were answered before
            for _ in range(PINGS):
                assert pings.acquire(timeout=SOON)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["crash", "restart"])
async def test_a_ping_that_is_answered_meanwhile_reports_no_crash(
    local_bus: LocalBus, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log, pings, made = Log(), threading.Semaphore(0), list[Any]()
    answered = Worker._agent_states  # noqa: SLF001 - what an answer to a ping is made of

    def spy(worker: Worker) -> Any:
        found = answered(worker)
        if threading.current_thread() is not threading.main_thread():
            pings.release()
        return found

    monkeypatch.setattr(Worker, "_agent_states", spy)
    crashes: list[str] = []
    root = Supervisor("root", [Scripted("b")], backoff_base=0.0, max_restarts=1)
    root.add_remote_child("w1", heartbeat_interval=0.05)
    runtime = Runtime(root, **local_bus.options())
    runtime.on_crash(lambda name, _: crashes.append(name))
    slow = Slow("w1", log, pings, made)
    async with runtime, Worker([slow], process="w", **local_bus.options()):
        await until(lambda: "w1 [in a worker] RUNNING" in runtime.print_tree())
        if how == "crash":
            await runtime.send("w1", {"do": "crash"})
        else:
            await asyncio.wait_for(runtime.restart("w1"), SOON)
        await log.until("start w1", 2)
        assert await count(runtime, "w1") == 1
        await until(lambda: "w1 [in a worker] RUNNING" in runtime.print_tree())
        assert runtime.failure is None
    assert crashes == ["w1"] * (how == "crash")
    assert len(made) == 2


class Overtaken(AgentSlot):
    """A slot whose agent is restarted just after another thread has read how it is."""

    is_watched = False

    @property
    def status(self) -> ProcessStatus:
        found = AgentSlot.status.fget(self)  # type: ignore[attr-defined]
        if self.is_watched:
            self.is_watched = False
            self.status = ProcessStatus.INITIALIZING
            self.incarnation += 1
        return found

    @status.setter
    def status(self, status: ProcessStatus) -> None:
        AgentSlot.status.fset(self, status)  # type: ignore[attr-defined]


def test_a_state_is_not_that_of_one_incarnation_with_the_number_of_the_next() -> None:
    bus = build_component_set().bus
    slot = Overtaken(Scripted("a"), bus, lambda _: None, lambda _: None)
    slot.status = ProcessStatus.CRASHED
    slot.is_watched = True
    assert slot.state == (ProcessStatus.CRASHED.value, 0)
    assert slot.state == (ProcessStatus.INITIALIZING.value, 1)
