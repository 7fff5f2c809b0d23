"""System: one topology under test in a simulated world: load, storm, calm, and what came of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final

from civitas.errors import CivitasError, ConfigurationError
from civitas.messages import PRIMARY
from civitas.testing.simulation.deployment import CLIENT, Deployment, Incarnation
from civitas.testing.simulation.faults import Cast, Fault, Faults
from civitas.testing.simulation.history import history_of
from civitas.testing.simulation.load import Load
from civitas.testing.simulation.plugin import network_of
from civitas.testing.simulation.process import SimulatedProcess
from civitas.testing.simulation.recording import PROBE, injections_of
from civitas.testing.simulation.storm import Storm
from civitas.testing.simulation.world import World
from civitas.topology import Topology

EVERY_NODE: Final = ("*",)
"""For `System.load`: the primary and every worker send."""

_PROBE_TIMEOUT: Final = 2.0
_END_TIMEOUT: Final = 60.0
_START_TIMEOUT: Final = 60.0


class System:
    """A running system, and what a test may do with it.

    Attributes:
        history: what was sent, handled and answered, by whom and when.
        complaints: which invariants were broken, with what was seen of it.
        plans: the faults of each storm, made before it began.
    """

    def __init__(
        self,
        world: World,
        topology: Topology,
        faults: Faults,
        replayed: Sequence[Sequence[Fault]] | None = None,
    ) -> None:
        self.world = world
        self.topology = topology
        self.history = history_of(world)
        self.network = network_of(world)
        self.complaints: list[tuple[str, str]] = []
        self.plans: list[tuple[Fault, ...]] = []
        self.random: random.Random = world.random("test")
        """Random numbers for the test itself."""
        injections = injections_of(world)
        self.deployment = Deployment(world, topology, self.history, self._node_started)
        self.weather = Storm(world, self.network, self.deployment, injections, self.history)
        agents = tuple(each.block.name for each in topology.supervision.agents())
        self.cast = Cast(topology.processes, agents)
        self.history.agents = agents
        self.stopped_by_test = False
        self.outlives_its_agents = False
        """Whether the runtime was still there when the test was over, though all were done."""
        self._faults = faults
        self._replayed = replayed
        self._plan_numbers = world.random("faults")
        self._loads: list[tuple[Load, Sequence[str]]] = []

    # --- what a test does ---------------------------------------------------------------------

    async def start(self) -> None:
        """Start all processes, in an order from the seed, and wait until they serve."""
        numbers = self.world.random("order")
        names = list(self.cast.processes)
        numbers.shuffle(names)
        for name in names:
            self.deployment.start(name)
            await asyncio.sleep(numbers.choice((0.0, 0.1, 1.5)))
        async with asyncio.timeout(_START_TIMEOUT):
            while not self._all_serve() and self.deployment.ended is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        self.history.note("all serve")

    @asynccontextmanager
    async def load(
        self,
        *agents: str,
        rate: float = 10.0,
        senders: Sequence[str] = (CLIENT,),
        payload: Mapping[str, Any] | None = None,
        message_type: str = "message",
        asks: float = 0.0,
        timeouts: Sequence[float] = (5.0,),
    ) -> AsyncIterator[Load]:
        """Within the block, send messages to agents.

        Args:
            agents: whom to send to; all of the topology when left out.
            rate: messages in a second, from each node that sends.
            senders: names of processes that send; a client of its own when left out, and
                `EVERY_NODE` for all of the topology.
            payload: what is in each message besides `n`, a number.
            message_type: the type of the messages.
            asks: the share of them that are asks, from 0 to 1.
            timeouts: what the timeouts of asks are drawn from, in seconds.

        Raises:
            ConfigurationError: the topology has no such agent or process, or a number is of no use.
        """
        self.history.expect(*agents)
        strangers = set(senders) - {CLIENT, *EVERY_NODE, *self.cast.processes}
        if strangers:
            raise ConfigurationError(f"the topology has no process {min(strangers)!r}")
        if rate <= 0 or not 0 <= asks <= 1 or not timeouts or min(timeouts) <= 0:
            raise ConfigurationError(
                f"a load needs a rate and timeouts above zero, and a share of asks from 0 to 1, "
                f"not {rate=}, {timeouts=}, {asks=}"
            )
        load = Load(
            agents or self.cast.agents,
            rate,
            self.world.random(f"load {len(self._loads)}"),
            dict(payload or {}),
            message_type,
            asks,
            timeouts,
        )
        self._loads.append((load, senders))
        if CLIENT in senders:
            self.deployment.start(CLIENT)
        for each in self.deployment.serving():
            self._send_from(each, load, senders)
        try:
            yield load
        finally:
            load.going = False

    async def storm(self, seconds: float = 30.0, recovery: float = inf) -> None:
        """Let things go wrong for so long, and return when all of them are over.

        It returns `recovery` seconds after the last of them is over, if that is sooner.
        """
        number = len(self.plans)
        plan = self._faults.plan(self._plan_numbers, self.cast, seconds)
        if self._replayed is not None:
            plan = tuple(self._replayed[number]) if number < len(self._replayed) else ()
        self.plans.append(plan)
        until = self.world.now + seconds
        await self.weather.rage(plan)
        await asyncio.sleep(max(min(until - self.world.now, recovery), 0.0))

    async def calm(self, within: float = 60.0) -> None:
        """End all faults, and wait until every agent that should run answers every node.

        That one does not within so many seconds is a broken invariant, unless the system has ended.
        """
        await self.weather.calm()
        self.history.note("calm")
        for name in self.cast.processes:
            current = self.deployment.current.get(name)
            if current is None or (not current.process.alive and current.code != 0):
                self.deployment.start(name)
        until = self.world.now + within
        waiting = await self._unanswered()  # behind what was sent before
        while waiting and self.world.now < until and self.deployment.ended is None:
            await asyncio.sleep(0.5)
            waiting = await self._unanswered()
        if waiting and self.deployment.ended is None:
            text = "; ".join(f"{agent} from {node}: {why}" for node, agent, why in waiting[:6])
            self.complain("not running", f"{within:g} s after the faults: {text}")

    async def stop(self) -> None:
        """Stop all processes in order: the client, the primary, then the workers."""
        self.stopped_by_test = self.deployment.closing = True
        for load, _ in self._loads:
            load.going = False
        for name in (CLIENT, *self.cast.processes):
            async with asyncio.timeout(600.0):
                await self.deployment.stop(name)

    async def await_the_end(self) -> None:
        """Wait for the runtime's end, if all its agents are done, and take note if it goes on.

        One that was started again knows nothing of those that were done before.
        """
        starts = sum(each.name == PRIMARY for each in self.deployment.incarnations)
        if starts == 1 and not self.running_agents():
            until = self.history.now + _END_TIMEOUT
            while self.deployment.ended is None and self.history.now < until:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            self.outlives_its_agents = self.deployment.ended is None

    def complain(self, rule: str, text: str) -> None:
        """Note that an invariant is broken."""
        self.complaints.append((rule, text))
        self.history.note("BROKEN", rule, text)

    def running_agents(self) -> list[str]:
        """Return the agents that should run: those that have not said that they are done."""
        return [each for each in self.cast.agents if each not in self.history.finished]

    def stalled(self, process: SimulatedProcess, began: float, ended: float) -> float:
        """Return for how many seconds a process may have stood still between two times."""
        return sum(
            until - since
            for who, since, until in (*self.weather.stalls, *self.history.stalls)
            if who is process and since < ended and until > began
        )

    # --- parts --------------------------------------------------------------------------------

    def _all_serve(self) -> bool:
        current = self.deployment.current
        return all(
            name in current and (current[name].serves or current[name].code is not None)
            for name in self.cast.processes
        )

    def _node_started(self, incarnation: Incarnation) -> None:
        for load, senders in self._loads:
            if load.going:
                self._send_from(incarnation, load, senders)

    def _send_from(self, incarnation: Incarnation, load: Load, senders: Sequence[str]) -> None:
        everyone = tuple(senders) == EVERY_NODE and incarnation.name != CLIENT
        if everyone or incarnation.name in senders:
            incarnation.process.spawn(load.run(incarnation), "load")

    async def _unanswered(self) -> list[tuple[str, str, str]]:
        """Ask each agent that should run from each node; return (node, agent, why) of failures."""
        nodes = [each for each in self.deployment.serving() if each.name != CLIENT]
        missing = [n for n in self.cast.processes if n not in {each.name for each in nodes}]
        failed = [(name, "the process", "does not serve") for name in missing if self._needed(name)]
        for each in nodes:
            found = await self.deployment.within(each.process, self._probe(each))
            failed += [(each.name, agent, why) for agent, why in found or []]
        return failed

    def _needed(self, name: str) -> bool:
        """Return whether a process has agents that should run, or may be the primary."""
        current = self.deployment.current.get(name)
        if current is not None and current.code == 0:
            return any(self._host(agent) == name for agent in self.running_agents())
        return True

    def _host(self, agent: str) -> str:
        blocks = (each.block for each in self.topology.supervision.agents())
        return next((b.process or PRIMARY for b in blocks if b.name == agent), PRIMARY)

    async def _probe(self, incarnation: Incarnation) -> list[tuple[str, str]]:
        node = incarnation.node
        assert node is not None

        async def ask(agent: str) -> str:
            try:
                await node.ask(agent, {}, PROBE, timeout=_PROBE_TIMEOUT)
            except (CivitasError, TimeoutError) as error:
                return f"{type(error).__name__}: {error}"
            return ""

        agents = self.running_agents()
        answers = await asyncio.gather(*(ask(agent) for agent in agents))
        return [(agent, why) for agent, why in zip(agents, answers, strict=True) if why]
