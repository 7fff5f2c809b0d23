"""The cluster's key of a topology: from its settings, or else from the environment."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from civitas._signing.settings import Signing, signing_of
from civitas.errors import ConfigurationError
from civitas.plugins import Capabilities
from civitas.topology.model import TopologyModel
from civitas.topology.problems import Problem, problem_at
from civitas.topology.yaml_nodes import Node


def find_signing(
    root: Node,
    model: TopologyModel | None,
    claims: Capabilities | None,
    variables: Mapping[str, str],
) -> tuple[Signing, list[Problem]]:
    """Return how frames are signed, and what is wrong with the settings of it.

    Args:
        root: the topology as it was read.
        model: the same, checked; None where it is wrong.
        claims: those of the transport; `None` where they are not known.
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
    if claims is None:
        return signing, []
    try:
        signing.check(claims)
    except ConfigurationError as error:
        return signing, [problem_at(root, ("signed_frames",), str(error))]
    return signing, []
