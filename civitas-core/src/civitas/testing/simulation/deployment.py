"""Deployment: the processes of a topology, started, killed, stopped and started again.

It does what `civitas up` does: a process that was killed, or has failed, comes back; one that ended
well does not; when the primary ends by itself, all end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

from civitas.client import Client
from civitas.errors import CivitasError
from civitas.messages import PRIMARY
from civitas.process import AgentProcess
from civitas.runtime import Runtime
from civitas.supervisor import Supervisor
from civitas.testing.simulation.history import History
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.recording import record, record_bus
from civitas.testing.simulation.world import World
from civitas.topology import Topology
from civitas.worker import Worker

T = TypeVar("T")

CLIENT: Final = "client"
"""Name of the process that talks to the system from outside."""

_PROGRAM: Final = {"task 'node'", "task 'load'", "task 'call'"}
"""Tasks of a process that are not its node's."""

_AGAIN: Final = 0.5
"""Seconds until a process that has failed is started again."""

_LOOK: Final = 0.25
"""Seconds between two looks at whether a process still lives."""


class Incarnation:
    """One start of a process of the topology.

    Attributes:
        name: the process' name in the topology.
        node: the node in it, once it was made.
        started: whether the node's start has returned.
        code: what the process has ended with; None while it runs, or when it was killed.
        told_to_stop: whether it was stopped in order.
        killed: whether it was killed by a fault.
        stop_began: when it was stopped in order, in seconds since the beginning.
        stop_ended: when that has ended.
        ended_at: when its node has ended by itself.
        left: tasks and timers that it has left after its end in order.
    """

    def __init__(self, name: str, process: SimulatedProcess) -> None:
        self.name = name
        self.process = process
        self.node: Runtime | Worker | Client | None = None
        self.started = False
        self.code: int | None = None
        self.told_to_stop = False
        self.killed = False
        self.left: list[str] = []
        self.stop_began: float | None = None
        self.stop_ended: float | None = None
        self.ended_at: float | None = None

    @property
    def serves(self) -> bool:
        """Whether its node runs."""
        return self.process.alive and self.started and self.code is None


class Deployment:
    """The processes of one topology in a world; `on_start` is called with each that serves."""

    def __init__(
        self,
        world: World,
        topology: Topology,
        history: History,
        on_start: Callable[[Incarnation], None],
    ) -> None:
        self.topology = topology
        self.incarnations: list[Incarnation] = []
        """All that there ever were, in the order in which they were started."""
        self.current: dict[str, Incarnation] = {}
        self.closing = False
        self.ended: Incarnation | None = None
        """The primary, when it has ended by itself: then nothing is started any more."""
        self._world = world
        self._history = history
        self._on_start = on_start
        self._counts: Counter[str] = Counter()

    @property
    def primary(self) -> Incarnation | None:
        """The primary, if it was started."""
        return self.current.get(PRIMARY)

    def process(self, name: str) -> SimulatedProcess | None:
        """Return the process of that name, if it lives."""
        now = self.current.get(name)
        return now.process if now is not None and now.process.alive else None

    def serving(self) -> list[Incarnation]:
        """Return those whose nodes run."""
        return [each for each in self.current.values() if each.serves]

    # --- life of a process --------------------------------------------------------------------

    def start(self, name: str) -> Incarnation | None:
        """Start a process, unless it lives or the system has ended."""
        if self.closing or self.ended is not None or self.process(name) is not None:
            return None
        self._counts[name] += 1
        process = self._world.process(f"{name}.{self._counts[name]}")
        incarnation = Incarnation(name, process)
        self.incarnations.append(incarnation)
        self.current[name] = incarnation
        self._history.note("start", name, process=process)
        process.spawn(self._live(incarnation), "node")
        return incarnation

    def kill(self, name: str) -> bool:
        """Kill a process; return whether it lived."""
        process = self.process(name)
        if process is None:
            return False
        self._history.note("killed", name, process=process)
        self._history.died(name, "killed")
        self.current[name].killed = True
        process.kill()
        return True

    async def stop(self, name: str) -> None:
        """Stop a process in order, and return when it has ended."""
        incarnation = self.current.get(name)
        if incarnation is None or incarnation.code is not None or not incarnation.process.alive:
            return
        if incarnation.node is None or not incarnation.started:
            return
        incarnation.told_to_stop = True
        incarnation.stop_began = self._history.now
        self._history.note("stop", name, process=incarnation.process)
        await self.within(incarnation.process, incarnation.node.stop())
        if incarnation.process.alive:
            incarnation.stop_ended = self._history.now
            self._history.note("has stopped", name, process=incarnation.process)
            self._exit(incarnation)

    async def within(self, process: SimulatedProcess, work: Coroutine[Any, Any, T]) -> T | None:
        """Await something that runs in another process; None when that is killed meanwhile."""
        loop = asyncio.get_running_loop()
        task, done = process.spawn(work, "call"), asyncio.Event()

        def tell(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        task.add_done_callback(tell)
        while not done.is_set():
            if not process.alive:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await done.wait()
        return task.result()

    async def _live(self, incarnation: Incarnation) -> None:
        """Be the program of a process: what `civitas run` is."""
        node = incarnation.node = self._make(incarnation.name)
        components = node.components
        components.health = replace(components.health, listen=None)  # there is nobody outside
        record_bus(components.bus)
        try:
            await node.start()
        except CivitasError as error:
            self._history.note("can't start", incarnation.name, repr(error)[:300])
            incarnation.code = 1
        else:
            incarnation.started = True
            self._history.note("serves", incarnation.name)
            self._on_start(incarnation)
            incarnation.code = await _end_of(node)
        if incarnation.told_to_stop:
            return
        text = "" if node.failure is None else repr(node.failure)[:300]
        incarnation.ended_at = self._history.now
        self._history.note("ended", incarnation.name, incarnation.code, text)
        self._exit(incarnation)

    def _exit(self, incarnation: Incarnation) -> None:
        """Let a process end, and do what follows."""
        name, code = incarnation.name, incarnation.code
        if code:
            self._history.died(name, "failed")
        for loop in incarnation.process.loops:
            tasks = [f"task {task.get_name()!r}" for task in loop.pending()]
            incarnation.left += [each for each in tasks if each not in _PROGRAM]
        # The timers of another thread go with its loop, as at the end of `asyncio.run`.
        incarnation.left += incarnation.process.main.scheduled()
        incarnation.process.kill()
        if incarnation.told_to_stop or self.closing:
            incarnation.code = code or 0
        elif name == PRIMARY:
            self.ended = incarnation
        elif code:
            self._world.at(self._world.now + _AGAIN, lambda: self.start(name))

    def _make(self, name: str) -> Runtime | Worker | Client:
        if name == PRIMARY:
            runtime = Runtime.from_topology(self.topology)
            _record_tree(runtime.supervisor)
            return runtime
        if name.startswith(CLIENT):
            return Client.from_topology(self.topology)
        worker = Worker.from_topology(self.topology, name)
        for agent in worker.all_agents():
            record(agent)
        return worker


async def _end_of(node: Runtime | Worker | Client) -> int:
    """Return the exit code of a program around a node, when that has ended."""
    if isinstance(node, Runtime):
        return await node.wait()
    if isinstance(node, Worker):
        return await node.wait_until_stopped()
    while node.failure is None:  # noqa: ASYNC110 - a client has no end of its own
        await asyncio.sleep(_LOOK)
    return 1


def _record_tree(supervisor: Supervisor) -> None:
    for child in supervisor.children:
        if isinstance(child, Supervisor):
            _record_tree(child)
        elif isinstance(child, AgentProcess):
            record(child)
