"""Topologies: reading, judging and resolving them. Nothing here knows the runtime."""

from civitas.topology.problems import Problem, TopologyError, TopologyPluginError
from civitas.topology.resolve import load_topology, load_topology_mapping
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedSerializer,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)

__all__ = [
    "Problem",
    "ResolvedAgent",
    "ResolvedSerializer",
    "ResolvedSupervisor",
    "ResolvedTransport",
    "Topology",
    "TopologyError",
    "TopologyPluginError",
    "load_topology",
    "load_topology_mapping",
]
