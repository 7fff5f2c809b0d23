"""The threads of a node that are stopped before they run, end by themselves, or can't start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from civitas import Runtime, Supervisor
from civitas import _platform as platform
from civitas._health.settings import HealthSettings, Listen
from civitas._node.health.vitals import Vitals
from civitas._node.health.watch import NodeWatch
from civitas._platform import Ended, Main, ThreadRunner
from support.agents import SOON, Scripted
from support.local_bus.testbed import LocalBus
from support.probing import made, running

HEALTH = "civitas health"
CONTROL = "civitas control"


class Held(ThreadRunner):
    """A thread that has begun, and comes to its work when it is let."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.gate = threading.Event()

    def start(self, main: Main, ended: Ended) -> None:
        def late() -> Any:
            assert self.gate.wait(SOON)
            return main()

        super().start(late, ended)


async def vitals() -> Vitals:
    async with running(Scripted("a")) as runtime:
        found: Vitals = runtime._watch._vitals  # noqa: SLF001 - a node to look at
        return found


def watch_of(seen: Vitals, failures: list[BaseException], on_look: Any = lambda _: None) -> Any:
    settings = HealthSettings(listen=Listen("127.0.0.1", 0))
    return NodeWatch(seen, settings, None, failures.append, on_look)


async def test_a_watch_that_is_stopped_before_its_thread_runs_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, failures, runner = await vitals(), list[BaseException](), Held(HEALTH)
    monkeypatch.setattr(platform, "make_runner", lambda _name: runner)
    watch = watch_of(seen, failures)
    starting = asyncio.create_task(watch.start())
    await asyncio.sleep(0)  # it waits for its thread
    starting.cancel()
    await asyncio.wait((starting,))
    stopping = asyncio.create_task(watch.stop())
    await asyncio.sleep(0)  # it has said what it wants
    runner.gate.set()
    await asyncio.wait_for(stopping, SOON)
    assert failures == []


async def test_a_watch_that_has_just_ended_by_itself_can_be_stopped() -> None:
    failures: list[BaseException] = []
    threads: SimpleQueue[threading.Thread] = SimpleQueue()

    def broken(_now: float) -> None:
        threads.put(threading.current_thread())
        raise ValueError("a defect")

    watch = watch_of(await vitals(), failures, broken)
    starting = asyncio.create_task(watch.start())
    await asyncio.sleep(0)
    thread = threads.get(timeout=SOON)
    thread.join(SOON)  # meanwhile this event loop does not hear of it
    assert not thread.is_alive()
    await asyncio.wait_for(watch.stop(), SOON)
    await asyncio.wait_for(starting, SOON)
    assert "a defect" in str(failures)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let no thread of a name start, as where a process may have no more of them."""
    start = threading.Thread.start

    def refuse(name: str) -> None:
        def refusing(thread: threading.Thread) -> None:
            if thread.name == name:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refusing)

    return refuse


async def test_a_node_whose_watch_can_not_start_fails_and_ends(
    refused: Callable[[str], None],
) -> None:
    refused(HEALTH)
    runtime = made(Scripted("a"))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await asyncio.wait_for(runtime.start(), SOON)
    assert await asyncio.wait_for(runtime.wait(), SOON) == 1


async def test_a_node_whose_control_plane_can_not_start_fails_and_ends(
    local_bus: LocalBus, refused: Callable[[str], None]
) -> None:
    refused(CONTROL)
    runtime = Runtime(Supervisor("root", [Scripted("a")]), **local_bus.options())
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await asyncio.wait_for(runtime.start(), SOON)
    assert await asyncio.wait_for(runtime.wait(), SOON) == 1
