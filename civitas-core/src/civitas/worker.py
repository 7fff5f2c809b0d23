"""Worker: a node without a supervision tree; the primary's tree supervises its agents."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from civitas._agents.slot import AgentSlot
from civitas._bus.dead_letters import DeadLetterCallback
from civitas._cluster.config import PRIMARY
from civitas._node.node import CrashCallback, Node, NodeStats
from civitas.components import ComponentSet, build_component_set
from civitas.errors import CivitasError, ConfigurationError, NotConnectedError, SpawnError
from civitas.process import AgentProcess
from civitas.serializer import Serializer
from civitas.transport import Transport

if TYPE_CHECKING:
    from civitas.topology import Topology

logger = logging.getLogger("civitas.worker")


class Worker:
    """Hosts agents in a process of their own.

    An agent that crashes is reported to the primary, whose tree decides what becomes of it.

    Args:
        agents: the agents, in the order in which they start.
        transport: a transport's name, a mapping `{"type": name, ...}` or a Transport.
        serializer: a serializer's name or a Serializer; msgpack when left out.
        components: wiring made with `build_component_set`, instead of transport and serializer.
        process: its process name; a unique one when left out.
        **transport_options: options of that transport, prefixed by its name.

    Raises:
        ConfigurationError: an argument or an option is wrong, or the transport stays within one
            process.
        PluginError: the transport or the serializer can't be used.

    Example:
        A worker that runs until it is told to stop:

            async with Worker([Greeter("greeter")], transport="my_transport") as worker:
                await worker.wait_until_stopped()
    """

    def __init__(
        self,
        agents: Iterable[AgentProcess],
        transport: str | Mapping[str, Any] | Transport | None = None,
        serializer: str | Serializer | None = None,
        components: ComponentSet | None = None,
        process: str | None = None,
        **transport_options: Any,
    ) -> None:
        if components is None:
            if transport is None:
                raise ConfigurationError("Worker takes a transport that reaches other processes")
            components = build_component_set(
                transport,
                serializer,
                process=process or _unique_name(),
                is_primary=False,
                **transport_options,
            )
        elif transport is not None or serializer is not None or transport_options:
            raise ConfigurationError(
                "Worker takes either components, or a transport and a serializer"
            )
        elif process is not None:
            components.config.process = process
        elif components.config.process == PRIMARY:  # what a set has that was given no name
            components.config.process = _unique_name()
        claims = components.config.capabilities
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
        self.components = components
        self.failure: Exception | None = None
        """Why the worker could not start, or could not stay; None while neither is so."""
        self._agents = list(agents)
        self._node: Node | None = None
        self._crash_callbacks: list[CrashCallback] = []
        self._working_agents = len(self._agents)
        self._retirements: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[Any] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @classmethod
    def from_topology(cls, topology: Topology, process: str) -> Self:
        """Make the worker of one process of a topology that was loaded and checked."""
        from civitas._node.build import agents_of, components_of, elsewhere

        components = components_of(topology, process)
        worker = cls(agents_of(topology, process), components=components)
        components.bus.routes.expected.update(elsewhere(topology, process))
        return worker

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the transport, join the others, start the agents; return when they can be reached.

        Raises:
            ConfigurationError: two agents share a name, or the worker was started before.
            IdentityError: another process has the name, or an agent of one of the names.
            SpawnError: an agent could not start, and the others are stopped again; or `stop` was
                called meanwhile.
            TransportError: the transport could not start.
        """
        if self._node is not None:
            raise ConfigurationError("this worker was started before; make a new one")
        self._node = Node(self.components.bus, self.components.config, "worker", self._cannot_stay)
        for callback in self._crash_callbacks:
            self._node.on_crash(callback)
        task = self._starting = asyncio.current_task()
        cancelled_before = task.cancelling() if task is not None else 0
        try:
            await self._start(self._node)
        except asyncio.CancelledError:
            # `stop` ends a start in the way of asyncio.timeout.
            stopped = self._stopping is not None
            if stopped and task is not None and task.uncancel() <= cancelled_before:
                raise SpawnError("the worker was stopped while it started") from None
            raise
        finally:
            self._starting = None

    async def stop(self) -> None:
        """Finish what was taken, stop the agents in reverse order, then the transport.

        Stopping twice, or before the start, does no harm; during the start, it ends the start.
        """
        if self._node is None or self._ended.is_set():
            return
        by_agent = self._node.hosts(asyncio.current_task())
        stopping = self._begin_stop()
        if not by_agent:
            await asyncio.shield(stopping)

    async def wait_until_stopped(self) -> int:
        """Return when the worker has ended: 0 for success, 1 when `failure` says why not.

        It ends when `stop` is called, when every agent has stopped by itself, and when it was
        superseded by another process of its name.
        """
        await self._ended.wait()
        return 1 if self.failure is not None else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- looking at it ------------------------------------------------------------------------

    @property
    def process(self) -> str:
        """The worker's process name."""
        return self.components.config.process

    def get_agent(self, name: str) -> AgentProcess | None:
        """Return the agent's current object, or None when there is no such agent."""
        slot = self._node.slots.get(name) if self._node is not None else None
        return None if slot is None else slot.agent

    def all_agents(self) -> list[AgentProcess]:
        """Return the current objects of all agents, in the order in which they start."""
        if self._node is None:
            return list(self._agents)
        return [slot.agent for slot in self._node.slots.values()]

    def stats(self) -> NodeStats:
        """Return a snapshot of this node's counters."""
        if self._node is None:
            raise NotConnectedError("the worker is not started: use `async with`, or `start`")
        return self._node.stats()

    def on_crash(self, callback: CrashCallback) -> None:
        """Call `callback(name, error)`, in the event loop, whenever an agent crashes."""
        self._crash_callbacks.append(callback)
        if self._node is not None:
            self._node.on_crash(callback)

    def on_dead_letter(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for whatever can't be delivered."""
        self.components.bus.dead_letters.subscribe(callback)

    # --- parts --------------------------------------------------------------------------------

    async def _start(self, node: Node) -> None:
        slots: list[AgentSlot] = []
        try:
            await node.start_transport({})
            for agent in self._agents:
                slots.append(node.add(agent, self._agent_exited))
                with self.components.config.guard():
                    await slots[-1].attach()
            await node.join()
            for slot in slots:
                await slot.start()
            node.announce()
        except BaseException as error:
            self.failure = error if isinstance(error, Exception) else None
            try:
                for slot in reversed(slots):
                    await slot.stop(drain=False)
                await node.retire_all()
                await node.stop_transport()
            finally:
                self._ended.set()
            raise
        if not self._working_agents and slots:
            self._begin_stop()

    def _agent_exited(self, slot: AgentSlot) -> None:
        """Report a crash; of an agent that is done, tell everyone."""
        node = self._node
        assert node is not None
        if slot.failure is None:
            task = asyncio.get_running_loop().create_task(self._retire(slot), name="civitas retire")
            self._retirements.add(task)
            task.add_done_callback(self._retirements.discard)
            return
        error = slot.failure
        logger.error(
            "agent %r crashed: %s: %s", slot.name, type(error).__name__, error, exc_info=error
        )
        node.agent_crashed(slot.name, error)
        assert node.cluster is not None
        node.cluster.report(slot.name, slot.restarts, error, redelivered=slot.redelivered)

    async def _retire(self, slot: AgentSlot) -> None:
        assert self._node is not None
        await slot.retire()
        self._node.announce()
        self._working_agents -= 1
        if not self._working_agents and self._starting is None:
            self._begin_stop()

    def _cannot_stay(self, error: CivitasError) -> None:
        """End with failure, and at once: what this node says is refused."""
        self.failure = error
        logger.error("this process can't stay: %s", error)
        assert self._node is not None
        self._node.abandon()
        self._begin_stop()

    def _begin_stop(self) -> asyncio.Task[None]:
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self._stopping = loop.create_task(self._stop(), name="civitas stop")
        return self._stopping

    async def _stop(self) -> None:
        node = self._node
        assert node is not None
        if self._starting is not None:
            self._starting.cancel()
            await self._ended.wait()
            return
        began = asyncio.get_running_loop().time()
        abandoned = self.failure is not None
        try:
            await node.drain()
            for slot in reversed(list(node.slots.values())):
                await slot.stop(drain=not abandoned, since=began)
            if self._retirements:
                await asyncio.wait(self._retirements)
            await node.retire_all()
            await node.stop_transport()
        finally:
            self._ended.set()


def _unique_name() -> str:
    return f"worker-{os.urandom(4).hex()}"
