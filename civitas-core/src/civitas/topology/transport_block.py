"""The transport block of a topology alone, for commands that need its options and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from civitas.errors import ConfigurationError
from civitas.plugins import TransportSpec
from civitas.plugins.catalog import Reference
from civitas.topology.layers import Layers, read_layers
from civitas.topology.plugins import check_options
from civitas.topology.problems import raise_problems
from civitas.topology.variables import expand
from civitas.topology.yaml_nodes import find, text


def options_of(
    file: Path, spec: TransportSpec, distribution: str, overlays: Sequence[Path] = ()
) -> BaseModel | None:
    """Return the options of a topology's transport; nothing else of the file has to be right.

    No plugin is looked for, and no agent class imported. The `type` has to be that of `spec`, and
    may name the distribution that offers it. The options of a transport without any are `None`.
    Overlays and the environment change the block as for all commands.

    Raises:
        TopologyError: the file can't be read, the block is wrong, or a variable in it is not set.
        ConfigurationError: it is the block of another transport.
    """
    layered = read_layers(Layers(file, overlays), os.environ)
    root = layered.root
    problems = [*layered.problems, *expand(root, os.environ)]
    raise_problems([each for each in problems if each.path.split(".")[0] in {"", "transport"}])
    kind = text(find(root, ("transport", "type")))
    meant = Reference.parse(kind or "").means(spec.name, distribution)
    if not meant:
        found = f"; its type is {kind!r}" if kind else ""
        raise ConfigurationError(f"{file} has no transport of type {spec.name}{found}")
    options, problems = check_options(root, spec)
    raise_problems(problems)
    return options
