"""Showing a resolved topology: as JSON-like values in which nothing secret is left."""

from __future__ import annotations

from typing import Any

from civitas.messages import PRIMARY
from civitas.topology.masking import mask_values
from civitas.topology.model import AgentBlock, SupervisorBlock
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)

_SUPERVISOR = [key for key in SupervisorBlock.model_fields if key != "children"]
_AGENT = [
    key for key in AgentBlock.model_fields if key not in ("name", "type", "process", "config")
]
"""The keys that are shown as they are."""


def as_mapping(topology: Topology) -> dict[str, Any]:
    """Return the topology as it would run, in the form of a topology.

    Of `config` only the keys are shown: what an application keeps there may be secret.
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
        **{key: getattr(supervisor, key) for key in _SUPERVISOR},
        "children": [
            {"agent": _agent(child)}
            if isinstance(child, ResolvedAgent)
            else {"supervisor": _supervisor(child)}
            for child in supervisor.children
        ],
    }


def _agent(agent: ResolvedAgent) -> dict[str, Any]:
    given = {key: getattr(agent, key) for key in _AGENT if getattr(agent, key) is not None}
    return {
        "name": agent.name,
        "type": f"{agent.cls.__module__}.{agent.cls.__qualname__}",
        "process": agent.process or PRIMARY,
        **({"config": list(agent.config)} if agent.config else {}),
        **given,
    }
