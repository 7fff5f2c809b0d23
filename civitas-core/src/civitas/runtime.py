"""Runtime: a node with the supervision tree."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from civitas._agents.slot import AgentSlot
from civitas._bus.dead_letters import DeadLetterCallback
from civitas._bus.sender import Sender
from civitas._cluster.config import PRIMARY
from civitas._node.node import CrashCallback, Node, NodeStats
from civitas._node.tree import tree_lines
from civitas._supervision.heartbeat import HeartbeatPolicy
from civitas._supervision.remote import RemoteAgent, RemoteChild
from civitas.components import ComponentSet, build_component_set
from civitas.errors import ConfigurationError, NotConnectedError, SpawnError
from civitas.messages import Message
from civitas.process import AgentProcess
from civitas.serializer import Serializer
from civitas.supervisor import Supervisor
from civitas.transport import Transport

if TYPE_CHECKING:
    from civitas.topology import Topology

logger = logging.getLogger("civitas.runtime")


class Runtime:
    """Runs a supervision tree.

    Args:
        supervisor: the root of the tree.
        transport: a transport's name, a mapping `{"type": name, ...}` or a Transport.
        serializer: a serializer's name or a Serializer; msgpack when left out.
        components: wiring made with `build_component_set`, instead of transport and serializer.
        **transport_options: options of that transport, prefixed by its name.

    Raises:
        ConfigurationError: an argument or an option is wrong.
        PluginError: the transport or the serializer can't be used.

    Example:
        A tree of one agent, which is asked:

            async with Runtime(Supervisor("root", children=[Greeter("greeter")])) as runtime:
                reply = await runtime.ask("greeter", {"name": "Ada"})
    """

    def __init__(
        self,
        supervisor: Supervisor,
        transport: str | Mapping[str, Any] | Transport = "in_process",
        serializer: str | Serializer | None = None,
        components: ComponentSet | None = None,
        **transport_options: Any,
    ) -> None:
        if components is None:
            components = build_component_set(
                transport, serializer, process=PRIMARY, **transport_options
            )
        elif transport != "in_process" or serializer is not None or transport_options:
            raise ConfigurationError(
                "Runtime takes either components, or a transport and a serializer"
            )
        self.supervisor = supervisor
        self.components = components
        self.failure: Exception | None = None
        """Why the runtime could not start, or why the root gave up; None while neither is so."""
        self._node: Node | None = None
        self._callers = Sender(components.bus, "_runtime")
        self._crash_callbacks: list[CrashCallback] = []
        self._working_agents = 0
        self._parents: dict[str, Supervisor] = {}  # of agents of other processes
        self._starting: asyncio.Task[Any] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._stop_asked = False
        self._ended = asyncio.Event()

    @classmethod
    def from_config(
        cls, path: str | Path, agent_classes: Mapping[str, type[AgentProcess]] | None = None
    ) -> Self:
        """Make a runtime from a topology file.

        Args:
            path: the YAML file.
            agent_classes: agent classes by the names that the topology uses as `type`.

        Raises:
            ConfigurationError: the topology is wrong; all its mistakes are listed.
        """
        from civitas.topology import load_topology

        topology = load_topology(path, agent_base=AgentProcess, agent_classes=agent_classes)
        return cls.from_topology(topology)

    @classmethod
    def from_config_dict(
        cls,
        mapping: Mapping[str, Any],
        agent_classes: Mapping[str, type[AgentProcess]] | None = None,
    ) -> Self:
        """Make a runtime from a topology given as a mapping; see `from_config`."""
        from civitas.topology import load_topology_mapping

        topology = load_topology_mapping(
            mapping, agent_base=AgentProcess, agent_classes=agent_classes
        )
        return cls.from_topology(topology)

    @classmethod
    def from_topology(cls, topology: Topology) -> Self:
        """Make a runtime from a topology that was loaded and checked."""
        from civitas._node.build import components_of, supervisor_of

        return cls(supervisor_of(topology), components=components_of(topology))

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the transport, then the agents in order; return when messages would arrive.

        Raises:
            ConfigurationError: two agents share a name, or the runtime was started before.
            SpawnError: an agent could not start, and the others are stopped again; or `stop` was
                called meanwhile.
            TransportError: the transport could not start.
        """
        if self._node is not None:
            raise ConfigurationError("this runtime was started before; make a new one")
        self._node = Node(self.components.bus, self.components.config, "primary", self.tree_failed)
        self._node.on_lost(self._nodes_agents_lost)
        for callback in self._crash_callbacks:
            self._node.on_crash(callback)
        task = self._starting = asyncio.current_task()
        cancelled_before = task.cancelling() if task is not None else 0
        try:
            await self._start(self._node)
        except asyncio.CancelledError:
            # `stop` ends a start in the way of asyncio.timeout.
            if self._stop_asked and task is not None and task.uncancel() <= cancelled_before:
                raise SpawnError("the runtime was stopped while it started") from None
            raise
        finally:
            self._starting = None

    async def stop(self) -> None:
        """Finish what was taken, stop the agents in reverse order, then the transport.

        Returns when all has ended; called by an agent in one of its hooks, which can't end while
        it waits, at once. Stopping twice, or before the start, does no harm; during the start, it
        ends the start.
        """
        if self._node is None or self._ended.is_set():
            return
        by_agent = self._node.hosts(asyncio.current_task())
        if self._starting is not None:
            if not self._stop_asked:
                self._stop_asked = True
                self._starting.cancel()
            if not by_agent:
                await self._ended.wait()
            return
        stopping = self._begin_stop()
        if not by_agent:
            await asyncio.shield(stopping)

    async def wait(self) -> int:
        """Return when the runtime has ended: 0 for success, 1 when `failure` says why not.

        It ends when `stop` is called, when every agent has stopped by itself, and when the root
        supervisor gives up.
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

    # --- talking to agents --------------------------------------------------------------------

    def send(
        self, recipient: str, payload: dict[str, Any], message_type: str = "message"
    ) -> Coroutine[Any, Any, None]:
        """Send a message to an agent; see `AgentProcess.send`."""
        self._started()
        return self._callers.send(recipient, payload, message_type)

    def ask(
        self,
        recipient: str,
        payload: dict[str, Any],
        message_type: str = "message",
        timeout: float | None = 30.0,
    ) -> Coroutine[Any, Any, Message]:
        """Send a message to an agent; awaiting it gives the answer; see `AgentProcess.ask`."""
        self._started()
        return self._callers.ask(recipient, payload, message_type, timeout)

    async def broadcast(
        self, pattern: str, payload: dict[str, Any], message_type: str = "message"
    ) -> None:
        """Send to every agent whose name matches; see `AgentProcess.broadcast`."""
        self._started()
        await self._callers.broadcast(pattern, payload, message_type)

    # --- looking at it ------------------------------------------------------------------------

    def get_agent(self, name: str) -> AgentProcess | None:
        """Return the agent's current object, or None when there is no such agent."""
        if self._node is None:
            return None
        slot = self._node.slots.get(name)
        return None if slot is None else slot.agent

    def all_agents(self) -> list[AgentProcess]:
        """Return the current objects of all agents, in the order in which they start."""
        if self._node is None:
            return []
        return [slot.agent for slot in self._node.slots.values()]

    def tree(self) -> str:
        """Return the supervision tree as text, an agent or a supervisor a line."""
        return "\n".join(tree_lines(self.supervisor))

    def print_tree(self) -> None:
        """Print the supervision tree to stdout."""
        sys.stdout.write(self.tree() + "\n")

    def stats(self) -> NodeStats:
        """Return a snapshot of this node's counters."""
        return self._started().stats()

    def on_crash(self, callback: CrashCallback) -> None:
        """Call `callback(name, error)`, in the event loop, whenever an agent crashes."""
        self._crash_callbacks.append(callback)
        if self._node is not None:
            self._node.on_crash(callback)

    def on_dead_letter(self, callback: DeadLetterCallback) -> None:
        """Call `callback(message or frame, reason)` for whatever can't be delivered."""
        self.components.bus.dead_letters.subscribe(callback)

    # --- what the tree tells its host ---------------------------------------------------------

    def make_slot(self, agent: AgentProcess, parent: Supervisor) -> AgentSlot:
        """Return the slot for an agent; the supervisor calls it when it is attached."""
        return self._started().add(agent, parent.child_exited)

    def make_remote_agent(self, child: RemoteChild, parent: Supervisor) -> RemoteAgent:
        """Return the slot for an agent of another process."""
        self._parents[child.name] = parent
        return self._started().supervise(child, parent.child_exited)

    def agent_crashed(self, name: str, error: Exception) -> None:
        """Pass a crash on to those who asked to know."""
        self._started().agent_crashed(name, error)

    def agent_ended(self, slot: AgentSlot | RemoteAgent) -> None:
        """Count the agents that are left; the runtime ends with the last."""
        self._started().announce()
        self._working_agents -= 1
        if not self._working_agents:
            self._begin_stop()

    def tree_failed(self, error: Exception) -> None:
        """End with failure: the root has given up."""
        self.failure = error
        self._started().abandon()
        self._begin_stop()

    # --- parts --------------------------------------------------------------------------------

    def _started(self) -> Node:
        if self._node is None:
            raise NotConnectedError("the runtime is not started: use `async with`, or `start`")
        return self._node

    def _begin_stop(self) -> asyncio.Task[None]:
        if self._stopping is None:
            loop = asyncio.get_running_loop()
            self._stopping = loop.create_task(self._stop(), name="civitas stop")
        return self._stopping

    def _policies(self) -> dict[str, HeartbeatPolicy] | None:
        """Return how agents of other processes are watched; None where there can be none.

        Raises:
            ConfigurationError: there are such agents, and the transport can't reach them.
        """
        children = self.supervisor.remote_children()
        claims = self.components.config.capabilities
        # A transport made by hand that claims nothing is as its user says.
        reaches_others = bool(children) if claims is None else claims.cross_process
        if children and not reaches_others:
            raise ConfigurationError(
                f"agent {children[0].name!r} is a remote child, and this transport stays within "
                f"one process"
            )
        return {child.name: child.policy for child in children} if reaches_others else None

    def _nodes_agents_lost(self, slots: list[RemoteAgent], error: Exception) -> None:
        """Tell each supervisor, once, of the agents that it has lost with a node."""
        by_parent: dict[Supervisor, list[RemoteAgent]] = {}
        for slot in slots:
            by_parent.setdefault(self._parents[slot.name], []).append(slot)
        for parent, lost in by_parent.items():
            parent.children_failed(lost, error)

    async def _start(self, node: Node) -> None:
        try:
            await node.start_transport(self._policies())
            with self.components.config.guard():
                await self.supervisor.attach(self)
            self._working_agents = len(node.slots) + len(self._parents)
            await node.join()
            await self.supervisor.start()
            node.announce()
        except BaseException as error:
            self.failure = error if isinstance(error, Exception) else None
            try:
                await node.retire_all()
                await node.stop_transport()
            finally:
                self._ended.set()
            raise
        if not self._working_agents:
            self._begin_stop()

    async def _stop(self) -> None:
        node = self._started()
        began = asyncio.get_running_loop().time()
        try:
            await node.drain()
            await self.supervisor.stop(drain=True, since=began)
            await node.retire_all()
            await node.stop_transport()
        finally:
            self._ended.set()
