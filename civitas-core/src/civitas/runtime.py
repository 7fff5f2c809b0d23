"""Runtime: a node with the supervision tree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from civitas._agents.slot import AgentSlot
from civitas._agents.states import CRASHED_AGAIN
from civitas._node.counters import AgentStats, NodeStats, RemoteAgentStats, Supervised
from civitas._node.crashes import CrashStats
from civitas._node.ending import Ending
from civitas._node.host import AgentHost
from civitas._node.restarts import Restarts
from civitas._node.tree import build_engine, check_tree, restart_times, tree_lines
from civitas._supervision.engine import Engine, TreeObserver
from civitas._supervision.remote import AgentReport, RemoteAgent, RemoteChild
from civitas._supervision.remote_state import Demand
from civitas.components import ComponentSet, components_for
from civitas.errors import (
    ConfigurationError,
    MessageRoutingError,
    NodeLostError,
    RemoteCrashError,
    SpawnError,
)
from civitas.messages import PRIMARY
from civitas.plugins.similar import closest
from civitas.process import AgentProcess, ProcessStatus
from civitas.serializer import Serializer
from civitas.supervisor import Supervisor
from civitas.transport import Transport

if TYPE_CHECKING:
    from civitas._cluster.events import Event
    from civitas._cluster.protocol import NodeInfo, Pong
    from civitas.topology import Topology

__all__ = ["AgentStats", "CrashStats", "NodeStats", "RemoteAgentStats", "Runtime"]

CRASHED: Final = ProcessStatus.CRASHED.value


class Runtime(AgentHost):
    """Runs a supervision tree.

    Args:
        supervisor: the root of the tree.
        transport: a transport's name, a mapping `{"type": name, ...}` or a Transport.
        serializer: a serializer's name or a Serializer; msgpack when left out.
        components: wiring made with `build_component_set`, instead of all these.
        instruments: instruments' names, mappings with their options, or instances; see
            `civitas.instruments`.
        **transport_options: options of that transport, prefixed by its name; and the settings
            `send_timeout`, `cluster_key` and `signed_frames`, as `build_component_set` has them.

    Raises:
        ConfigurationError: an argument or an option is wrong, a name is given twice in the tree,
            or the tree has agents of other processes and the transport stays within one.
        PluginError: the transport, the serializer or an instrument can't be used.

    Example:
        A tree of one agent, which is asked:

            async with Runtime(Supervisor("root", children=[Greeter("greeter")])) as runtime:
                reply = await runtime.ask("greeter", {"name": "Ada"})
    """

    role = "primary"

    def __init__(
        self,
        supervisor: Supervisor,
        transport: str | Mapping[str, Any] | Transport = "in_process",
        serializer: str | Mapping[str, Any] | Serializer | None = None,
        components: ComponentSet | None = None,
        *,
        instruments: Iterable[str | Mapping[str, Any] | object] = (),
        **transport_options: Any,
    ) -> None:
        check_tree(supervisor)
        named = None if transport == "in_process" else transport  # the default is no choice
        components = components_for(
            "Runtime",
            named,
            serializer,
            components,
            transport_options,
            instruments=instruments,
            process=PRIMARY,
        )
        remote = supervisor.remote_children()
        claims = components.config.capabilities
        # A transport made by hand that claims nothing is as its user says.
        reaches_others = bool(remote) if claims is None else claims.cross_process
        if remote and not reaches_others:
            raise ConfigurationError(
                f"agent {remote[0].name!r} is a remote child, and this transport stays within one "
                f"process"
            )
        policies = {child.name: child.policy for child in remote} if reaches_others else None
        super().__init__(components, "_runtime", policies)
        self.supervisor = supervisor
        self._remote: dict[str, RemoteAgent] = {}
        self._parents: dict[str, Engine] = {}
        self._leavers: set[str] = set()
        """The nodes that leave, and have not gone yet."""
        self._commanded: dict[str, dict[str, None]] = {}
        """Agents, by node, whose last command was answered; it may have come to nothing."""
        self._begun = asyncio.Event()
        """Set when the tree starts, or will not any more."""
        self._restarts = Restarts(self._restart, self._answer, self._config.failed)
        observer = TreeObserver(
            self._agent_crashed,
            lambda _: self._agent_ended(),
            self._fail,
            self._config.failed,
            self._drain.look_again,
        )
        self._engine = build_engine(supervisor, observer, self._make_local, self._make_remote)

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        agent_classes: Mapping[str, Callable[..., AgentProcess]] | None = None,
        *,
        services: Mapping[str, Any] | None = None,
        overlays: Sequence[str | Path] = (),
    ) -> Self:
        """Make a runtime from a topology file: the primary process of that system.

        Only the classes of agents that this process hosts are imported. Where the transport stays
        within one process, it hosts all. `CIVITAS_TRANSPORT` and `CIVITAS_SET` change the topology.

        Args:
            path: the YAML file.
            agent_classes: agent classes, or factories of agents, by the names that the topology
                uses as `type`.
            services: what constructors and factories are given besides `config`, by the names of
                their arguments: each gets those that it names.
            overlays: files that are laid over it, as `--overlay` does, in this order.

        Raises:
            ConfigurationError: the topology is wrong; all its mistakes are listed.
        """
        from civitas.topology import load_topology

        topology = load_topology(
            path,
            agent_base=AgentProcess,
            agent_classes=agent_classes,
            services=services,
            overlays=overlays,
            processes=(PRIMARY,),
        )
        return cls.from_topology(topology)

    @classmethod
    def from_config_dict(
        cls,
        mapping: Mapping[str, Any],
        agent_classes: Mapping[str, Callable[..., AgentProcess]] | None = None,
        *,
        services: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a runtime from a topology given as a mapping; see `from_config`."""
        from civitas.topology import load_topology_mapping

        topology = load_topology_mapping(
            mapping,
            agent_base=AgentProcess,
            agent_classes=agent_classes,
            services=services,
            processes=(PRIMARY,),
        )
        return cls.from_topology(topology)

    @classmethod
    def from_topology(cls, topology: Topology) -> Self:
        """Make a runtime from a topology that was loaded and checked."""
        from civitas._node.build import components_of, supervisor_of

        return cls(supervisor_of(topology), components=components_of(topology))

    async def wait(self) -> int:
        """Return when the runtime has ended: 0 for success, 1 when `failure` says why not.

        It ends when `stop` is called, also before the start, when every agent has stopped by
        itself, and when the root supervisor gives up. A tree without agents runs until `stop`.
        """
        return await self._wait_ended()

    async def restart(self, agent: str) -> None:
        """Restart an agent, in whichever process it is; return when it has started again.

        Its supervisor does it: the message in hand is finished, or cancelled after
        `shutdown_timeout`, then a fresh object begins with the mailbox as it is. That is no crash,
        so it does not count towards `max_restarts`, and the strategy concerns nobody else. An agent
        that waits for its restart gets that at once; one that starts is restarted after it.

        Raises:
            MessageRoutingError: the tree has no such agent, or it is done, or its process is away.
            SpawnError: it could not start: then it is restarted as after a crash. Or its supervisor
                does not run.
            NotConnectedError: the runtime has not started, or has ended.
        """
        self._check_running()
        self._check_loop()
        await self._restarts.run(agent)

    def print_tree(self) -> str:
        """Return the supervision tree as text, an agent or a supervisor a line."""
        return "\n".join(tree_lines(self._engine))

    # --- the tree -----------------------------------------------------------------------------

    async def _restart(self, name: str) -> None:
        agent = self._slots.get(name) or self._remote.get(name)
        if agent is None:
            similar = closest(name, self._parents)
            hint = f"; did you mean {similar!r}?" if similar else ""
            raise MessageRoutingError(f"no agent of the supervision tree is called {name!r}{hint}")
        await self._begun.wait()  # others may have met this node before it has met all of them
        if self._bus.closing or self._aborting:
            raise SpawnError(f"agent {name!r}: this process is stopping")
        await self._parents[name].restart(agent)

    def _make_local(self, agent: AgentProcess, parent: Engine) -> AgentSlot:
        self._parents[agent.name] = parent
        return self._make_slot(agent, parent.child_exited)

    def _make_remote(self, child: RemoteChild, parent: Engine) -> RemoteAgent:
        agent = RemoteAgent(child, self._command, parent.child_exited, self._config.failed)
        self._remote[child.name] = agent
        self._parents[child.name] = parent
        self._bus.routes.expected[child.name] = child.process or "of a worker"
        return agent

    async def _command(self, demand: Demand, agent: str) -> AgentReport | None:
        assert self._cluster is not None
        report = await self._cluster.command(demand, agent)
        if report is not None:
            self._commanded.setdefault(demand.node, {})[agent] = None
        return report

    @property
    def _all_ended(self) -> bool:
        return self._engine.finished

    def _supervise(self, slot: AgentSlot) -> None:
        """Do nothing: this node has the tree, which names all its agents."""

    def _restart_times(self) -> Mapping[str, float]:
        return restart_times(self._engine)

    def _supervised(self) -> Supervised:
        remote, crashes = tuple(self._remote.values()), self._crashes.stats()
        return Supervised(self._restart_times(), remote, crashes, queues=self._queues)

    async def _start_agents(self) -> None:
        self._begun.set()
        await self._engine.start()

    async def _abort_start(self, ending: Ending) -> None:
        self._begun.set()
        await ending.step("the tree", self._engine.stop(drain=False))
        await super()._abort_start(ending)

    async def _stop_agents(self, since: float) -> None:
        await self._restarts.end()
        await self._engine.stop(drain=self.failure is None, since=since, final=True)

    # --- agents of other processes ------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        # Both are loaded by the cluster alone.
        from civitas._cluster.events import Finished, NodeLost, Received
        from civitas._cluster.protocol import RESTART, Command, Crashed, Pong

        match event:
            case Received(info=info, message=Command() as command) if command.verb == RESTART:
                self._restarts.receive(info.node, command)
            case Received(info=info, message=Pong() as pong) if info.leaving:
                self._node_leaves(info, pong)
            case Received(info=info, message=Pong() as pong):
                for name, (status, incarnation) in pong.agents.items():
                    if name in self._remote:
                        self._remote[name].hosted_in(info.node)
                    self._reported(info, name, AgentReport(status, incarnation))
                for name in self._commanded.pop(info.node, ()):
                    self._remote[name].repeat()
            case NodeLost(info=info):
                self._leavers.discard(info.node)
                error = NodeLostError(f"{info} has gone: {event.reason}")
                self._node_gone(info, error if event.died else None)
            case Finished(node=node, agents=agents):
                for name in agents:
                    if name in self._remote:
                        self._remote[name].finished_in(node)
            case Received(info=info, message=Crashed() as crash):
                error_text = f"{crash.error_type}: {crash.error_text}"
                report = AgentReport(
                    CRASHED, crash.incarnation, RemoteCrashError(error_text), crash.redelivered
                )
                self._reported(info, crash.agent, report)
            case _:
                super()._on_event(event)

    def _node_leaves(self, info: NodeInfo, pong: Pong) -> None:
        """Let its agents be absent from now on; it may still say that some are done."""
        if info.node not in self._leavers:
            self._leavers.add(info.node)
            self._node_gone(info, None)
        for name, (status, incarnation) in pong.agents.items():
            if status == ProcessStatus.STOPPED.value and name in self._remote:
                self._reported(info, name, AgentReport(status, incarnation))

    def _reported(self, info: NodeInfo, agent: str, report: AgentReport) -> None:
        """Take in what a node reports of an agent; one that no tree names is the node's affair."""
        if agent in self._remote:
            self._remote[agent].reported(info.node, report)
        elif report.error is not None or report.status in {CRASHED, CRASHED_AGAIN}:
            assert self._cluster is not None
            self._cluster.supervise(info.node, agent, report.incarnation)

    def _finished_of(self, info: NodeInfo) -> tuple[str, ...]:
        remote = self._remote
        return tuple(name for name in info.agents if name in remote and remote[name].finished)

    def _node_gone(self, info: NodeInfo, error: NodeLostError | None) -> None:
        """Let each supervisor know, once, of the agents that it has lost with a node."""
        self._commanded.pop(info.node, None)
        lost: dict[Engine, list[RemoteAgent]] = {}
        for agent in self._remote.values():
            if agent.lost(info.node, error):
                lost.setdefault(self._parents[agent.name], []).append(agent)
        if error is not None:
            for parent, agents in lost.items():
                for agent in agents:  # their own node can't tell its instruments any more
                    self._bus.instruments.crashed(agent.name, error)
                parent.children_failed(agents, error)
