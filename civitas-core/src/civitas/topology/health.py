"""The health block of a topology: where its processes answer probes."""

from __future__ import annotations

from typing import Final

from civitas._health.settings import HealthSettings, read_listen
from civitas.errors import ConfigurationError
from civitas.topology.model import TopologyModel
from civitas.topology.problems import Problem, problem_at
from civitas.topology.yaml_nodes import Node, find, locate

_LISTEN: Final = ("health", "listen")


def find_health(root: Node, model: TopologyModel | None) -> tuple[HealthSettings, list[Problem]]:
    """Return how processes are asked how they are, and what is wrong with the settings of it.

    Args:
        root: the topology as it was read.
        model: the same, checked; None where it is wrong.
    """
    block = None if model is None else model.health
    if block is None:
        return HealthSettings(), []
    try:
        listen = read_listen(block.listen)
    except ConfigurationError as error:
        return HealthSettings(), [problem_at(root, _LISTEN, str(error))]
    where = locate(root, _LISTEN if find(root, _LISTEN) is not None else _LISTEN[:1])
    settings = HealthSettings(listen, block.metrics, block.stalled_after, block.stuck_after, where)
    return settings, []
