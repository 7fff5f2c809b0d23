"""From a resolved topology to what a Runtime is made of."""

from __future__ import annotations

import logging

from civitas.components import ComponentSet, wire
from civitas.errors import ConfigurationError
from civitas.plugins.loader import capabilities_of
from civitas.process import AgentProcess
from civitas.supervisor import Supervisor
from civitas.topology import ResolvedAgent, ResolvedSupervisor, Topology

logger = logging.getLogger("civitas.runtime")


def supervisor_of(resolved: ResolvedSupervisor) -> Supervisor:
    """Make the supervision tree of a topology, with all its agents.

    Raises:
        ConfigurationError: a constructor raised; the message names the agent and its line.
    """
    return Supervisor(
        resolved.name,
        [
            agent_of(child) if isinstance(child, ResolvedAgent) else supervisor_of(child)
            for child in resolved.children
        ],
        strategy=resolved.strategy,
        max_restarts=resolved.max_restarts,
        restart_window=resolved.restart_window,
        backoff=resolved.backoff,
        backoff_base=resolved.backoff_base,
        backoff_max=resolved.backoff_max,
    )


def agent_of(resolved: ResolvedAgent) -> AgentProcess:
    """Make an agent of a topology; see `supervisor_of`."""
    try:
        agent: AgentProcess = resolved.build()
    except Exception as error:
        raise ConfigurationError(
            f"{resolved.where}: agent {resolved.name!r}: the constructor of "
            f"{resolved.type_name} raised {type(error).__name__}: {error}"
        ) from error
    if agent.name != resolved.name:
        raise ConfigurationError(
            f"{resolved.where}: agent {resolved.name!r}: the constructor of "
            f"{resolved.type_name} named it {agent.name!r}; pass the name on to AgentProcess"
        )
    agent.configure(
        resolved.mailbox_size,
        resolved.max_retries,
        resolved.shutdown_timeout,
        resolved.handle_timeout,
    )
    return agent


def components_of(topology: Topology) -> ComponentSet:
    """Wire the components that a topology names, for its primary process.

    Raises:
        PluginError: the transport's factory fails.
    """
    transport = topology.transport
    assert transport.plugin is not None
    claims = capabilities_of(transport.plugin, transport.options, transport.where)
    if topology.processes and not claims.cross_process:
        logger.info(
            "transport %r stays within one process: the agents of %s run here too",
            transport.type_name,
            ", ".join(topology.processes),
        )
    return wire(
        transport.plugin,
        transport.options,
        topology.serializer.type_name,
        accept_serializers=[each.type_name for each in topology.accept_serializers],
        send_timeout=topology.send_timeout,
        where=transport.where,
    )
