"""Client: a node that hosts no agents, to talk to a running system from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from civitas._cluster.config import random_name, unbelieved
from civitas._cluster.events import Event, Evicted
from civitas._cluster.protocol import RESTART
from civitas._node.ending import Ending
from civitas._node.node import Node
from civitas._supervision.remote_state import Demand
from civitas.components import ComponentSet, components_for
from civitas.errors import (
    CivitasError,
    ConfigurationError,
    IdentityError,
    NotConnectedError,
    OutcomeUnknownError,
    SpawnError,
    logger_of,
)
from civitas.messages import PRIMARY
from civitas.process import AgentProcess
from civitas.serializer import Serializer
from civitas.transport import Transport

if TYPE_CHECKING:
    from civitas._cluster.cluster import Cluster
    from civitas.topology import Topology

logger = logger_of("civitas.node")

CONNECT_TIMEOUT: Final = 10.0
"""Seconds in which a running system is found."""

REASON_GRACE: Final = 1.0
"""Seconds at most that a transport has beyond that, to say itself why it does not connect."""


class Client(Node):
    """Sends to, and asks, the agents of a running system.

    Args:
        transport: a transport's name, a mapping `{"type": name, ...}` or a Transport.
        serializer: a serializer's name or a Serializer; msgpack when left out.
        components: wiring made with `build_component_set`, instead of all these.
        connect_timeout: seconds in which the system is found.
        may_be_alone: start also where no system is found; `absence` says so then.
        instruments: instruments' names, mappings with their options, or instances; see
            `civitas.instruments`.
        **transport_options: options of that transport, prefixed by its name; and the settings
            `send_timeout`, `cluster_key` and `signed_frames`, as `build_component_set` has them.

    Raises:
        ConfigurationError: an argument or an option is wrong, or the transport stays within one
            process.
        PluginError: the transport, the serializer or an instrument can't be used.

    Example:
        Asking an agent of a system that runs:

            async with Client(transport="my_transport") as client:
                reply = await client.ask("greeter", {"name": "Ada"})
    """

    role = "client"

    def __init__(
        self,
        transport: str | Mapping[str, Any] | Transport | None = None,
        serializer: str | Mapping[str, Any] | Serializer | None = None,
        components: ComponentSet | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        may_be_alone: bool = False,
        *,
        instruments: Iterable[str | Mapping[str, Any] | object] = (),
        **transport_options: Any,
    ) -> None:
        name = random_name("client")
        components = components_for(
            "Client",
            transport,
            serializer,
            components,
            transport_options,
            instruments=instruments,
            process=name,
        )
        config = components.config
        if config.process in {name, PRIMARY}:  # the latter of a set that was given no name
            config.process, config.role = name, "client"
        claims = config.capabilities
        if claims is not None and not claims.cross_process:
            raise ConfigurationError(
                "a running system is reached over a transport between processes, and this one "
                "stays within its own: its agents can be asked only from inside; how it is, "
                "/ready and /metrics of `civitas run --health PORT` say"
            )
        super().__init__(components, config.process, {})
        self.absence = ""
        """Why no system was found; empty when one was."""
        self._may_be_alone = may_be_alone
        self._connect_timeout = connect_timeout
        self._grace = min(connect_timeout, REASON_GRACE)
        self._found_until = 0.0
        """Until when the system may be looked for (event loop's time)."""
        self._news = asyncio.Event()
        """Set when the cluster reports something."""

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        agent_classes: Mapping[str, Callable[..., AgentProcess]] | None = None,
        *,
        overlays: Sequence[str | Path] = (),
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> Self:
        """Make a client for the system of a topology file.

        The classes of its agents are neither imported nor judged. `CIVITAS_TRANSPORT` and
        `CIVITAS_SET` change the topology.

        Args:
            path: the YAML file.
            agent_classes: taken as `Runtime.from_config` takes it, and not needed.
            overlays: files that are laid over it, as `--overlay` does, in this order.
            connect_timeout: seconds in which the system is found.

        Raises:
            ConfigurationError: the topology is wrong, or its transport stays within one process.
            PluginError: the transport or the serializer can't be used.

        Example:
            Asking an agent of the system that `civitas up topology.yaml` runs:

                async with Client.from_config("topology.yaml") as client:
                    reply = await client.ask("greeter", {"name": "Ada"})
        """
        from civitas.topology import load_topology

        topology = load_topology(
            path,
            agent_base=AgentProcess,
            agent_classes=agent_classes,
            overlays=overlays,
            processes=(),
        )
        return cls.from_topology(topology, connect_timeout)

    @classmethod
    def from_config_dict(
        cls,
        mapping: Mapping[str, Any],
        agent_classes: Mapping[str, Callable[..., AgentProcess]] | None = None,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> Self:
        """Make a client from a topology given as a mapping; see `from_config`."""
        from civitas.topology import load_topology_mapping

        topology = load_topology_mapping(
            mapping, agent_base=AgentProcess, agent_classes=agent_classes, processes=()
        )
        return cls.from_topology(topology, connect_timeout)

    @classmethod
    def from_topology(
        cls,
        topology: Topology,
        connect_timeout: float = CONNECT_TIMEOUT,
        *,
        may_be_alone: bool = False,
        watched: bool = True,
    ) -> Self:
        """Make a client for the system of a topology that was loaded and checked.

        `watched` says whether it has the instruments of the topology.
        """
        from civitas._node.build import components_of, elsewhere

        name = random_name("client")
        components = components_of(topology, name, watched=watched)
        components.config.role = "client"
        client = cls(
            components=components, connect_timeout=connect_timeout, may_be_alone=may_be_alone
        )
        components.bus.routes.expected.update(elsewhere(topology, name))
        return client

    async def start(self) -> None:
        """Find the system; return when its agents can be asked.

        Raises:
            NotConnectedError: the transport did not connect in time, or did, and none was found.
            TransportError: the transport could not start.
        """
        await super().start()

    async def delivered(self, agent: str, timeout: float) -> None:
        """Return when all that was sent to an agent has been accounted for by its node.

        Raises:
            TimeoutError: it was not in time.
            OutcomeUnknownError: its node has gone before.
            MessageRoutingError: there is no such agent.
        """
        self._check_loop()
        async with asyncio.timeout(timeout):
            await self._bus.routes.delivered(agent)

    def nodes(self) -> dict[str, str]:
        """Return the process names of the nodes of the system, by node id."""
        peers = self._cluster.peers() if self._cluster is not None else ()
        return {peer.node: peer.process for peer in peers if peer.role != "client"}

    def agents(self) -> dict[str, str]:
        """Return the agents that the nodes of the system have, with the names of their processes.

        Those that are done are not among them.
        """
        return {route.name: route.process for route in self._bus.routes.remote()}

    @property
    def link_problem(self) -> str:
        """Why the transport has no connection, in its own words; empty while it has one."""
        return self._config.link_state.reason

    async def stats(self, timeout: float = 5.0) -> list[dict[str, Any]]:
        """Return the counters of every node of the system, the primary's first.

        A node that does not answer in time has an `error` instead of counters.
        """
        self._check_loop()
        cluster = self._cluster
        assert cluster is not None

        async def counters(node: str, process: str) -> dict[str, Any]:
            try:
                return dict(await cluster.counters_of(node, timeout))
            except (CivitasError, TimeoutError) as error:
                late = f"no answer within {timeout:g} s"
                return {"process": process, "node": node, "error": str(error) or late}

        found = await asyncio.gather(*(counters(*each) for each in self.nodes().items()))
        return sorted(found, key=lambda e: (e.get("role") != "primary", str(e.get("process"))))

    async def restart(self, agent: str, timeout: float | None = 60.0) -> None:
        """Have an agent restarted by its supervisor; return when it has started again.

        See `Runtime.restart`, whose errors come here, too. A primary that is not there yet is
        waited for within the time in which the system is found.

        Args:
            agent: its name.
            timeout: seconds for all of it, the agent's `on_start` included; None: no limit.

        Raises:
            MessageRoutingError: the tree has no such agent, or it is done, or its process is away.
            SpawnError: it could not start, or its supervisor does not run.
            NotConnectedError: the primary is not there, which has the tree.
            OutcomeUnknownError: the primary has gone meanwhile.
            TimeoutError: it took longer, and goes on.
        """
        self._check_loop()
        cluster = self._cluster
        assert cluster is not None
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        found_until = self._found_until if end is None else min(self._found_until, end)
        primary = await self._primary(cluster, found_until)
        if primary is None:
            raise NotConnectedError(
                f"agent {agent!r} can't be restarted: the primary process is not there, which has "
                f"the supervision tree"
            )
        try:
            async with asyncio.timeout_at(end):
                report = await cluster.command(Demand(primary, RESTART, 0), agent)
        except TimeoutError:
            raise TimeoutError(
                f"agent {agent!r} has not started again within {timeout:g} s; that goes on, and "
                f"`civitas stats` shows what becomes of it"
            ) from None
        if report is None:
            raise OutcomeUnknownError(
                f"the primary process has gone while it restarted agent {agent!r}"
            )
        if report.error is not None:
            raise SpawnError(str(report.error)) if report.status else report.error

    async def backlog(self, agents: Collection[str], timeout: float = 5.0) -> dict[str, int] | None:
        """Return how many messages the transport keeps for each of these agents, also absent ones.

        What an agent has in hand counts. None where the transport keeps nothing, or can't count.

        Raises:
            TimeoutError: it was not counted in time.
            TransportError: the broker does not answer, or refuses.
        """
        self._check_loop()
        claims, count = self._config.capabilities, getattr(self._bus.transport, "backlog", None)
        if claims is None or not claims.at_least_once or count is None:
            return None
        async with asyncio.timeout(timeout):
            found: Mapping[str, int] = await count(agents)
        return {agent: found.get(agent, 0) for agent in agents}

    # --- life ---------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._callers.name = self._config.process  # a forked child chooses another one
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + self._connect_timeout
        await self._connect()
        self._found_until = max(deadline, loop.time() + self._grace)
        await self._find(began, self._found_until)

    async def _abort_start(self, ending: Ending) -> None:
        """There is nothing to undo but the transport, which the node stops."""

    async def _stop(self, ending: Ending) -> None:
        """There is nothing to finish."""

    def _on_event(self, event: Event) -> None:
        """End, and say why, when this client can't stay; all else is about agents, which it lacks.

        A process that stood still for long was taken for dead, and its frames are refused.
        """
        self._news.set()
        if isinstance(event, Evicted):
            reason = f"this client can't stay in the system ({event.reason}); make a new one"
            logger.error("%s", reason)
            self._bus.routes.close(reason)
            self._fail(IdentityError(reason))

    async def _primary(self, cluster: Cluster, end: float) -> str | None:
        """Return the node that has the tree; None when none has come by then (loop's time)."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                while (node := _primary_of(cluster)) is None:
                    self._news.clear()
                    await self._news.wait()
        return node

    async def _connect(self) -> None:
        """Start the transport, which may give up just when this does: it has the reason."""
        try:
            async with asyncio.timeout(self._connect_timeout + self._grace):
                await self._start_transport()
        except TimeoutError as error:
            reason = str(error) or self._config.link_state.reason
            raise NotConnectedError(
                f"the transport did not connect within {self._connect_timeout:g} s"
                f"{f': {reason}' if reason else ''}; is what it connects to there, and does it "
                f"let this process in with these transport options?"
            ) from None

    async def _find(self, began: float, deadline: float) -> None:
        """Join the system that runs on the transport."""
        connected = ""
        try:
            async with asyncio.timeout_at(deadline):
                await self._bus.transport.wait_ready()
                connected = "the transport is connected, and "
                await self._join()
        except TimeoutError:
            if not (connected and self._may_be_alone):
                raise self._nobody(connected, began) from None
        if not self.nodes():
            nobody = self._nobody(connected, began)
            if not self._may_be_alone:
                raise nobody
            self.absence = str(nobody)

    def _nobody(self, connected: str, began: float) -> NotConnectedError:
        seconds = asyncio.get_running_loop().time() - began
        doubt = unbelieved(self._bus.dead_letters.counts)
        return NotConnectedError(
            f"{connected}no running system was found in {seconds:.1f} s; "
            f"{doubt or 'is it started, with the same transport options and the same cluster_key?'}"
        )


def _primary_of(cluster: Cluster) -> str | None:
    return next((peer.node for peer in cluster.peers() if peer.role == "primary"), None)
