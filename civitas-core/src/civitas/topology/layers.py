"""Layers: a topology as it is given, by its file and by all that changes it, in one tree.

Each layer wins over those before it: the file, overlays in their order, the environment
(`CIVITAS_TRANSPORT`, then `CIVITAS_SET`), and the options of a command (`--transport`, `--set`,
then `--health`). A value knows the file and line, the variable or the option, that it has come
from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from civitas.errors import Location
from civitas.topology.overlays import lay_over
from civitas.topology.overrides import apply_sets, replace_transport
from civitas.topology.problems import Problem, TopologyError, kind_of
from civitas.topology.validation import nest_agents
from civitas.topology.yaml_nodes import MappingNode, Node, plain
from civitas.topology.yaml_reader import read_file

TRANSPORT_VARIABLE: Final = "CIVITAS_TRANSPORT"
SET_VARIABLE: Final = "CIVITAS_SET"


@dataclass(frozen=True, slots=True)
class Layers:
    """Where a topology comes from.

    Attributes:
        file: the YAML file.
        overlays: files that are laid over it, in this order.
        transport: replaces the whole transport block, as `--transport` does.
        sets: values of `--set`, each `key.path=YAML`, applied in order after `transport`.
        health: where the process is to answer probes, as `--health` says.
    """

    file: FilePath
    overlays: Sequence[FilePath] = ()
    transport: str | None = None
    sets: Sequence[str] = ()
    health: str | None = None


@dataclass(slots=True)
class Layered:
    """The tree of a topology with all its layers, and the mistakes in them.

    Attributes:
        root: the tree.
        problems: what could not be read or applied.
        notes: what the user should know, such as what was dropped.
    """

    root: MappingNode
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def replace_transport(self, name: str, option: str) -> None:
        """Replace the transport block, as an option or a variable says."""
        note = replace_transport(self.root, name, option)
        self.notes += [note] if note else []

    def apply_sets(self, sets: Sequence[str], option: str, where: Location | None = None) -> None:
        """Set values, as an option or a variable says."""
        self.problems += apply_sets(self.root, sets, option, where)


def read_layers(layers: Layers, variables: Mapping[str, str]) -> Layered:
    """Read a topology's files, and apply what changes it.

    Raises:
        TopologyError: a file can't be read, or is no YAML or no mapping.
    """
    layered = _read_files((layers.file, *layers.overlays))
    if named := variables.get(TRANSPORT_VARIABLE, "").strip():
        layered.replace_transport(named, TRANSPORT_VARIABLE)
    layered.apply_sets(settings_of(variables.get(SET_VARIABLE, "")), SET_VARIABLE)
    if layers.transport is not None:
        layered.replace_transport(layers.transport, "--transport")
    layered.apply_sets(layers.sets, "--set")
    if layers.health is not None:
        setting = f"health.listen={json.dumps(layers.health)}"
        layered.apply_sets([setting], "--health", Location("--health"))
    return layered


def settings_of(text: str) -> list[str]:
    """Return the settings of `CIVITAS_SET`: one a line, empty lines aside."""
    lines = (each.rstrip("\r") for each in text.split("\n"))
    return [each for each in lines if each.strip()]


def top_mapping(root: Node, problems: Sequence[Problem] = ()) -> MappingNode:
    """Return the root of a topology.

    Raises:
        TopologyError: it is no mapping; the problems that were found before are listed as well.
    """
    if isinstance(root, MappingNode):
        nest_agents(root)  # overlays and `--set` find agents by their names
        return root
    message = f"a topology is a mapping, not {kind_of(plain(root))}"
    raise TopologyError([*problems, Problem(root.where, "", message, "begin with `supervision:`")])


def _read_files(files: Sequence[FilePath]) -> Layered:
    """Read a file and its overlays, and lay these over it."""
    trees: list[MappingNode] = []
    problems: list[Problem] = []
    unread: list[Problem] = []
    for file in files:
        try:
            parsed = read_file(file)
            trees.append(top_mapping(parsed.root, parsed.problems))
            problems += parsed.problems
        except TopologyError as error:
            unread += error.problems
    if unread:
        raise TopologyError([*problems, *unread])
    layered = Layered(trees[0], problems)
    for overlay in trees[1:]:
        notes, wrong = lay_over(layered.root, overlay)
        layered.notes += notes
        layered.problems += wrong
    return layered


def as_paths(files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[FilePath]:
    """Return the paths of some files, or of a single one."""
    if isinstance(files, str | os.PathLike):
        files = (files,)
    return [FilePath(each) for each in files]
