"""Topologies: from a YAML file to checked settings, loaded plugins and imported classes.

Nothing here knows the runtime. `load` runs the steps in order: `layers` makes one tree of all that
is given (`yaml_reader` gives each value its line and `yaml_scalars` its meaning, `overlays` lays
one file over another, `overrides` applies `--transport` and `--set`), `variables` replaces
`${VAR}`, `validation` checks keys, types and rules, `classes` and `plugins` import what is named.
"""

from civitas.topology.load import load_topology, load_topology_mapping
from civitas.topology.problems import Problem, TopologyError, TopologyPluginError
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedInstrument,
    ResolvedPlugin,
    ResolvedSerializer,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)

__all__ = [
    "Problem",
    "ResolvedAgent",
    "ResolvedInstrument",
    "ResolvedPlugin",
    "ResolvedSerializer",
    "ResolvedSupervisor",
    "ResolvedTransport",
    "Topology",
    "TopologyError",
    "TopologyPluginError",
    "load_topology",
    "load_topology_mapping",
]
