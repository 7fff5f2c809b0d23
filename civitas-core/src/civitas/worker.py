"""Worker: a node without a supervision tree; the primary's tree supervises its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._cluster.config import random_name
from civitas._node.counters import Supervised
from civitas._node.ending import Ending
from civitas._node.host import AgentHost
from civitas._node.tree import check_agents
from civitas._supervision.completion import Completion
from civitas._supervision.restart import RestartIntensity, RestartPolicy
from civitas.components import ComponentSet, components_for
from civitas.errors import ConfigurationError, SpawnError, describe, logger_of
from civitas.messages import PRIMARY
from civitas.process import AgentProcess, ProcessStatus
from civitas.serializer import Serializer
from civitas.transport import Transport, cancel_task, start_task

if TYPE_CHECKING:
    from civitas._cluster.protocol import Result
    from civitas.topology import Topology

logger = logger_of("civitas.worker")

_DEFAULTS: Final = RestartPolicy()
"""How a worker restarts agents that no tree names."""


class Worker(AgentHost):
    """Hosts agents in a process of their own.

    An agent that crashes is reported to the primary, whose tree decides what becomes of it.

    Args:
        agents: the agents, in the order in which they start.
        transport: a transport's name, a mapping `{"type": name, ...}` or a Transport.
        serializer: a serializer's name or a Serializer; msgpack when left out.
        components: wiring made with `build_component_set`, instead of all these.
        process: its process name; a unique one when left out.
        instruments: instruments' names, mappings with their options, or instances; see
            `civitas.instruments`.
        **transport_options: options of that transport, prefixed by its name; and the settings
            `send_timeout`, `cluster_key` and `signed_frames`, as `build_component_set` has them.

    Raises:
        ConfigurationError: an argument or an option is wrong, two agents share a name, or the
            transport stays within one process.
        PluginError: the transport, the serializer or an instrument can't be used.

    Example:
        A worker that runs until it is stopped:

            async with Worker([Greeter("greeter")], transport="my_transport") as worker:
                await worker.wait_until_stopped()
    """

    role = "worker"

    def __init__(
        self,
        agents: Iterable[AgentProcess],
        transport: str | Mapping[str, Any] | Transport | None = None,
        serializer: str | Mapping[str, Any] | Serializer | None = None,
        components: ComponentSet | None = None,
        process: str | None = None,
        *,
        instruments: Iterable[str | Mapping[str, Any] | object] = (),
        **transport_options: Any,
    ) -> None:
        if components is None and transport is None:
            raise ConfigurationError(
                "Worker takes the transport that it shares with the Runtime, which reaches other "
                'processes; write Worker(agents, transport="NAME")'
            )
        checked = check_agents(agents)
        name = process or random_name("worker")
        given = components
        components = components_for(
            "Worker",
            transport,
            serializer,
            components,
            transport_options,
            instruments=instruments,
            process=name,
        )
        config = components.config
        # A set that was given no name has that of the primary.
        if given is None or process is not None or config.process == PRIMARY:
            config.process, config.role = name, "" if process else "worker"
        claims = config.capabilities
        if claims is None:
            logger.warning(
                "this transport does not say whether it reaches other processes; it is taken "
                "at its user's word"
            )
        elif not claims.cross_process:
            raise ConfigurationError(
                "a worker needs a transport that reaches other processes, and this one stays "
                "within its own; run the agents in the Runtime, or choose another transport"
            )
        super().__init__(components, "_worker", {})
        self._retirements: set[asyncio.Task[None]] = set()
        self._intensity = RestartIntensity(_DEFAULTS)
        self._on_their_own: set[str] = set()
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._backing_off: dict[str, float] = {}
        """When agents are restarted that wait for it, by `platform.monotonic`."""
        self._completion = Completion()
        self._ends = [self._make_slot(agent, self._agent_exited) for agent in checked]

    @classmethod
    def from_topology(cls, topology: Topology, process: str) -> Self:
        """Make the worker of one process of a topology that was loaded and checked."""
        from civitas._node.build import agents_of, components_of, elsewhere

        components = components_of(topology, process)
        worker = cls(agents_of(topology, process), components=components)
        components.bus.routes.expected.update(elsewhere(topology, process))
        return worker

    async def wait_until_stopped(self) -> int:
        """Return when the worker has ended: 0 for success, 1 when `failure` says why not.

        It ends when `stop` is called, also before the start, when every agent has stopped by
        itself, and when it was superseded by another process of its name.
        """
        return await self._wait_ended()

    @property
    def process(self) -> str:
        """The worker's process name."""
        return self._config.process

    def _supervised(self) -> Supervised:
        return Supervised(
            dict(self._backing_off), crashes=self._crashes.stats(), queues=self._queues
        )

    async def _start_agents(self) -> None:
        for slot in self._slots.values():
            if not slot.finished:
                await slot.start()

    async def _abort_start(self, ending: Ending) -> None:
        await self._end_restarts()
        for slot in reversed(self._slots.values()):
            await ending.step(f"agent {slot.name!r}", slot.stop(drain=False))
        await super()._abort_start(ending)

    async def _stop_agents(self, since: float) -> None:
        await self._end_restarts()
        for slot in reversed(self._slots.values()):
            await slot.stop(drain=self.failure is None, since=since, final=True)
        if self._retirements:
            await asyncio.wait(self._retirements)

    def _agent_exited(self, slot: AgentSlot) -> None:
        """Report a crash; of an agent that is done, take it off the system."""
        error = slot.failure
        if error is None:
            task = start_task(self._retire(slot), name="civitas retire", failed=self._config.failed)
            self._retirements.add(task)
            task.add_done_callback(self._retirements.discard)
            return
        logger.error("agent %r crashed: %s", slot.name, describe(error), exc_info=error)
        self._agent_crashed(slot.name, error)
        assert self._cluster is not None
        self._cluster.report_crash(slot.name, slot.incarnation, error, redelivered=slot.redelivered)

    def _answer(self, node: str, agent: str, result: Result) -> None:
        slot = self._slots.get(agent)
        if (
            slot is not None
            and slot.failure is not None
            and result.status == ProcessStatus.CRASHED.value
        ):
            assert self._cluster is not None  # an announcement, which comes first, has no reason
            self._cluster.report_crash(agent, result.incarnation, slot.failure)
        super()._answer(node, agent, result)

    @property
    def _all_ended(self) -> bool:
        return self._completion.reached(self._ends)

    def _supervise(self, slot: AgentSlot) -> None:
        """Supervise an agent that no tree names, with the default limits of a supervisor."""
        if slot.name not in self._on_their_own:
            self._on_their_own.add(slot.name)
            logger.warning(
                "agent %r crashed, and no supervision tree names it: this process restarts it, "
                "with the default limits; add_remote_child, or a topology, would name it",
                slot.name,
            )
        if slot.name not in self._restarts and slot.status is ProcessStatus.CRASHED:
            name = f"civitas restart {slot.name}"
            task = start_task(self._restart(slot), name=name, failed=self._config.failed)
            self._restarts[slot.name] = task

    async def _restart(self, slot: AgentSlot) -> None:
        """Restart an agent until it starts, or has crashed too often: then this process ends."""
        try:
            while slot.status is ProcessStatus.CRASHED and not self._bus.closing:
                now = asyncio.get_running_loop().time()
                decision = self._intensity.decide(slot.name, now, counts=not slot.redelivered)
                if decision.delay is None:
                    self._fail(slot.failure or SpawnError(f"agent {slot.name!r} crashes too often"))
                    return
                self._backing_off[slot.name] = platform.monotonic() + decision.delay
                await asyncio.sleep(decision.delay)
                self._backing_off.pop(slot.name, None)
                if not self._bus.closing:
                    with suppress(SpawnError):  # it is CRASHED again then, and logged by the slot
                        await slot.start(fresh=True)
        finally:
            del self._restarts[slot.name]
            self._backing_off.pop(slot.name, None)
            self._announce(slot.name)

    async def _end_restarts(self) -> None:
        """Restart no agent any more: it would be left behind."""
        await self._commands.end()
        restarts = list(self._restarts.values())
        for task in restarts:
            cancel_task(task)
        if restarts:
            await asyncio.wait(restarts)

    async def _retire(self, slot: AgentSlot) -> None:
        await slot.retire()
        self._agent_ended()
