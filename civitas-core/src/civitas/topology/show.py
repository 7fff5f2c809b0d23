"""A resolved topology as JSON-like values in which nothing secret is left."""

from __future__ import annotations

from typing import Any

from civitas.topology.masking import mask_values
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)

_SETTINGS = (
    "mailbox_size",
    "max_retries",
    "handle_timeout",
    "shutdown_timeout",
    "heartbeat_interval",
    "heartbeat_timeout",
    "missed_heartbeats_threshold",
)


def as_mapping(topology: Topology) -> dict[str, Any]:
    """Return the topology as it would run, in the form of a topology.

    Of `config` only the keys are told: what an application keeps there may be secret.
    """
    return {
        "file": topology.file,
        "transport": _transport(topology.transport),
        "serializer": topology.serializer.type_name,
        "accept_serializers": [each.type_name for each in topology.accept_serializers],
        "send_timeout": topology.send_timeout,
        "supervision": _supervisor(topology.supervision),
    }


def _transport(transport: ResolvedTransport) -> dict[str, Any]:
    options = {}
    if transport.options is not None:
        options = mask_values(transport.options.model_dump(mode="json", by_alias=True))
    return {"type": transport.type_name, **options}


def _supervisor(supervisor: ResolvedSupervisor) -> dict[str, Any]:
    return {
        "name": supervisor.name,
        "strategy": supervisor.strategy,
        "max_restarts": supervisor.max_restarts,
        "restart_window": supervisor.restart_window,
        "backoff": supervisor.backoff,
        "backoff_base": supervisor.backoff_base,
        "backoff_max": supervisor.backoff_max,
        "children": [
            {"agent": _agent(child)}
            if isinstance(child, ResolvedAgent)
            else {"supervisor": _supervisor(child)}
            for child in supervisor.children
        ],
    }


def _agent(agent: ResolvedAgent) -> dict[str, Any]:
    given = {key: getattr(agent, key) for key in _SETTINGS if getattr(agent, key) is not None}
    return {
        "name": agent.name,
        "type": f"{agent.cls.__module__}.{agent.cls.__qualname__}",
        "process": agent.process or "supervisor",
        **({"config": list(agent.config)} if agent.config else {}),
        **given,
    }
