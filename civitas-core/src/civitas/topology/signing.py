"""The cluster's key of a topology: from its settings, or else from the environment."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from civitas._signing.settings import Signing, signing_of
from civitas.errors import ConfigurationError, PluginError
from civitas.plugins.loader import capabilities_of
from civitas.topology.model import TopologyModel
from civitas.topology.problems import Problem, problem_at
from civitas.topology.resolved import ResolvedTransport
from civitas.topology.yaml_nodes import Node


def find_signing(
    root: Node,
    model: TopologyModel | None,
    transport: ResolvedTransport | None,
    variables: Mapping[str, str],
) -> tuple[Signing, list[Problem]]:
    """Return how frames are signed, and what is wrong with the settings of it.

    Args:
        root: the topology as it was read.
        model: the same, checked; None where it is wrong.
        transport: what carries the messages; its claims are known where its plugin was loaded.
        variables: what `${VAR}` stands for, the key's own variable included.
    """
    if model is None:
        return Signing(), []
    given = model.cluster_key
    secrets = [given] if isinstance(given, SecretStr) else given or []
    texts = [each.get_secret_value() for each in secrets]
    try:
        signing = signing_of(texts, model.signed_frames, variables)
    except ConfigurationError as error:
        return Signing(), [problem_at(root, ("cluster_key",), str(error))]
    if transport is None or transport.plugin is None:
        return signing, []
    try:
        claims = capabilities_of(transport.plugin, transport.options, transport.where)
    except PluginError:  # told where the transport is made
        return signing, []
    try:
        signing.check(claims)
    except ConfigurationError as error:
        return signing, [problem_at(root, ("signed_frames",), str(error))]
    return signing, []
