"""What other threads read of a node while its agents come and go, and threads switch often."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from civitas import AgentProcess, ErrorAction, Message, Supervisor
from civitas._health.settings import HealthSettings
from civitas._node.health.metrics import exposition
from civitas._node.health.vitals import Vitals
from civitas._supervision.remote_state import RemoteState, Step
from civitas.runtime import Runtime
from support.agents import SOON, until
from support.one_thread import switching_often
from support.probing import samples

pytestmark = pytest.mark.slow

AGENTS = 3
CRASHES = 20
"""Crashes of each, while it is looked at."""


class Pause:
    """What a constructor takes its time for: nothing, until a test says more."""

    def __init__(self) -> None:
        self.lasts: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        self.lasts()


class Restless(AgentProcess):
    """Has timers and tasks, defers answers, and crashes when it is told to.

    Its constructor takes as long as `pause`.
    """

    def __init__(self, name: str, pause: Pause) -> None:
        super().__init__(name)
        pause()

    async def on_start(self) -> None:
        self.every(0.001, {"do": "nothing"})
        self.background(asyncio.sleep(SOON), name="rest")

    async def on_error(self, error: Exception, message: Message) -> ErrorAction:
        return ErrorAction.ESCALATE

    async def handle(self, message: Message) -> Message | None:
        if message.payload["do"] == "crash":
            self.defer()
            raise ValueError("as it was told")
        return None


class Looking:
    """Threads that look at a node until they are told to end, each in one way.

    Attributes:
        looks: how often each has looked.
        failures: what went wrong.
    """

    def __init__(self, **ways: Callable[[], object]) -> None:
        self.looks = dict.fromkeys(ways, 0)
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=each, name=each[0]) for each in ways.items()
        ]

    def __enter__(self) -> Looking:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join(SOON)

    def again(self, name: str) -> None:
        """Wait, with the event loop, until a thread has looked from its beginning to its end."""
        before, deadline = self.looks[name], time.monotonic() + SOON
        while self.looks[name] < before + 2 and not self.failures:
            assert time.monotonic() < deadline
            time.sleep(0)

    def _look(self, name: str, way: Callable[[], object]) -> None:
        while not self._ended.is_set():
            try:
                way()
            except BaseException as error:  # noqa: BLE001 - it is the finding
                self.failures.append(f"{name}: {error!r}")
                return
            self.looks[name] += 1


class Heard:
    """What a supervisor in another process would make of the states that a thread reads."""

    def __init__(self, runtime: Runtime) -> None:
        self.crashes: list[tuple[str, int]] = []
        self._runtime = runtime
        self._states: dict[str, RemoteState] = {}

    def __call__(self) -> None:
        read = self._runtime._agent_states()  # noqa: SLF001 - an answer to a ping has these
        for name, (status, incarnation) in read.items():
            state = self._states.setdefault(name, RemoteState())
            if state.reported("node", status, incarnation) is Step.CRASHED:
                self.crashes.append((name, incarnation))

    @property
    def versions(self) -> dict[str, tuple[int, int]]:
        return {name: each.version for name, each in self._states.items()}


async def test_whoever_looks_at_a_node_sees_what_was_so_at_one_moment() -> None:
    pause = Pause()
    agents = [Restless(f"a{number}", pause) for number in range(AGENTS)]
    runtime = Runtime(Supervisor("root", agents, max_restarts=10_000, backoff_base=0.0))
    crashed: list[tuple[str, int]] = []
    incarnations = dict.fromkeys((each.name for each in agents), 0)

    def note(name: str, _: Exception) -> None:
        crashed.append((name, incarnations[name]))
        incarnations[name] += 1

    runtime.on_crash(note)
    async with runtime:
        heard = Heard(runtime)
        vitals = vitals_of(runtime)
        settings = HealthSettings()
        told = runtime._bus.waiting.told  # noqa: SLF001 - for other nodes, which ask in a thread
        looking = Looking(
            counters=runtime._counters,  # noqa: SLF001 - the same
            stats=lambda: runtime.stats().as_json(),
            states=heard,
            waits=lambda: [told(each.name) for each in agents],
            ready=lambda: vitals.not_ready(0.0, settings),
            metrics=lambda: samples(asyncio.run(exposition(vitals, 0.0, is_ready=True)).decode()),
        )
        with switching_often(), looking:
            pause.lasts = lambda: looking.again("states")
            for crash in range(1, CRASHES + 1):
                for each in agents:
                    await runtime.send(each.name, {"do": "crash"})
                await until(lambda: len(crashed) == crash * AGENTS)  # noqa: B023
                await until(lambda: all(each.state == "running" for each in runtime.stats().agents))
            before = dict(looking.looks)
            await until(lambda: all(looking.looks[each] > before[each] + 1 for each in before))
        assert looking.failures == []
        assert set(heard.crashes) <= set(crashed)
        assert len(set(heard.crashes)) == len(heard.crashes)
        heard()
        assert {name: version[0] for name, version in heard.versions.items()} == incarnations
        assert {each.status.value for each in heard._states.values()} == {"RUNNING"}  # noqa: SLF001


def vitals_of(runtime: Runtime) -> Vitals:
    return Vitals(
        process="p",
        role=runtime.role,
        bus=runtime.components.bus,
        slots=runtime._slots,  # noqa: SLF001 - as the node gives them
        queues=runtime._queues,  # noqa: SLF001
        link_state=runtime.components.config.link_state,
        standing=None,
        state=lambda: "running",
        failure=lambda: runtime.failure,
        supervised=runtime._supervised,  # noqa: SLF001
    )
