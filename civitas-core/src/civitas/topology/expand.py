"""Replacing the variables in all texts of the tree."""

from __future__ import annotations

from collections.abc import Mapping

from civitas.errors import Location
from civitas.topology.interpolate import OPENING, interpolate
from civitas.topology.problems import Problem, did_you_mean
from civitas.topology.source import retype
from civitas.topology.yaml_nodes import Node, Path, ScalarNode, dotted, scalars

_MALFORMED = "write ${NAME} or ${NAME:-default}, or $${ for the characters themselves"


def expand(root: Node, variables: Mapping[str, str]) -> list[Problem]:
    """Replace `${VAR}` in every text of the tree, in place.

    Text that stood without quotes is read again as YAML reads it, so `${SIZE:-100}` is a number;
    text in quotes stays text.

    Args:
        root: the topology.
        variables: names and values, such as `os.environ`.

    Returns:
        A problem for each variable without a value and each `${` that can't be read.
    """
    problems: list[Problem] = []
    for path, node, where in scalars(root):
        if isinstance(node.value, str) and OPENING in node.value:
            problems += _expand_scalar(node, path, where, variables)
    return problems


def _expand_scalar(
    node: ScalarNode, path: Path, where: Location, variables: Mapping[str, str]
) -> list[Problem]:
    result = interpolate(node.value, variables)
    if result.malformed:
        message = f"{OPENING!r} does not begin a variable here"
        return [Problem(where, dotted(path), message, _MALFORMED)]
    if result.missing:
        return [
            Problem(
                where,
                dotted(path),
                f"the environment variable {name!r} is not set",
                did_you_mean(name, variables, f"set it, or write ${{{name}:-default}}"),
            )
            for name in dict.fromkeys(result.missing)
        ]
    node.value = result.text
    if node.plain:
        try:
            node.value = retype(result.text)
        except ValueError:
            return [Problem(where, dotted(path), "the variables make a number that can't be read")]
    return []
