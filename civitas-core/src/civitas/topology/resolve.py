"""From a file or a mapping to a topology that is ready to run, or to all that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

from civitas.errors import Location
from civitas.topology.build import Builder
from civitas.topology.classes import import_from
from civitas.topology.expand import expand
from civitas.topology.explain import kind_of
from civitas.topology.overrides import apply_sets, replace_transport
from civitas.topology.parts import Plugins, find_classes, load_plugins
from civitas.topology.problems import Problem, TopologyError, raise_problems
from civitas.topology.resolved import Topology
from civitas.topology.rules import check_model, check_rules
from civitas.topology.source import MAX_DEPTH, read_file
from civitas.topology.yaml_nodes import MappingNode, Node, from_mapping, plain

MAPPING_FILE: Final = "<mapping>"


@dataclass(frozen=True, slots=True)
class _Request:
    """What the caller of `load_topology` wants."""

    agent_base: type
    agent_classes: Mapping[str, type]
    transport: str | None
    sets: Sequence[str]
    app_dir: FilePath | None
    check_plugins: bool
    variables: Mapping[str, str]


class _Findings:
    """The problems of all steps. What an earlier step said of a path, a later one does not."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        self._paths = {each.path for each in self.problems}

    def add(self, problems: Iterable[Problem]) -> None:
        new = [each for each in problems if not each.path or each.path not in self._paths]
        self.problems += new
        self._paths |= {each.path for each in new}


def load_topology(
    path: str | os.PathLike[str],
    *,
    agent_base: type,
    agent_classes: Mapping[str, type] | None = None,
    transport: str | None = None,
    sets: Sequence[str] = (),
    app_dir: str | os.PathLike[str] | None = None,
    check_plugins: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Topology:
    """Read a topology file, judge it, and fill in its classes and plugins.

    Args:
        path: the YAML file.
        agent_base: the class that all agents derive from.
        agent_classes: classes that agents may name as their `type`.
        transport: replaces the whole transport block, as `--transport` does.
        sets: values of `--set`, each `key.path=YAML`, applied in order after `transport`.
        app_dir: a folder that is put in front of `sys.path`; `None` leaves `sys.path` as it is.
        check_plugins: whether to load the plugins that are named, and check the options.
        variables: what `${VAR}` stands for; by default the environment.

    Raises:
        TopologyPluginError: a transport or a serializer can't be used.
        TopologyError: anything else is wrong. Both list all problems of the file.
    """
    parsed = read_file(FilePath(path))
    request = _Request(
        agent_base,
        agent_classes or {},
        transport,
        sets,
        FilePath(app_dir) if app_dir is not None else None,
        check_plugins,
        os.environ if variables is None else variables,
    )
    return _resolve(str(path), parsed.root, parsed.problems, request)


def load_topology_mapping(
    mapping: Mapping[str, Any],
    *,
    agent_base: type,
    agent_classes: Mapping[str, type] | None = None,
    check_plugins: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Topology:
    """Judge a topology that is given as a mapping, and fill in its classes and plugins.

    Problems have the file `<mapping>` and no line. Texts with `${VAR}` stay texts.

    Args:
        mapping: the topology; it is not changed, and nothing of it is kept.
        agent_base: the class that all agents derive from.
        agent_classes: classes that agents may name as their `type`.
        check_plugins: whether to load the plugins that are named, and check the options.
        variables: what `${VAR}` stands for; by default the environment.

    Raises:
        TopologyPluginError: a transport or a serializer can't be used.
        TopologyError: anything else is wrong. Both list all problems.
    """
    where = Location(MAPPING_FILE)
    try:
        root = from_mapping(mapping, where, MAX_DEPTH)
    except RecursionError as error:
        message = f"this is nested more than {MAX_DEPTH} levels deep, or contains itself"
        raise TopologyError([Problem(where, "", message)]) from error
    environment = os.environ if variables is None else variables
    classes = agent_classes or {}
    request = _Request(agent_base, classes, None, (), None, check_plugins, environment)
    return _resolve(MAPPING_FILE, root, [], request)


def _resolve(file: str, root: Node, problems: Sequence[Problem], request: _Request) -> Topology:
    if not isinstance(root, MappingNode):
        message = f"a topology is a mapping, not {kind_of(plain(root))}"
        mistake = Problem(root.where, "", message, "begin with `supervision:`")
        raise TopologyError([*problems, mistake])
    findings = _Findings(problems)
    note = replace_transport(root, request.transport) if request.transport is not None else None
    findings.add(apply_sets(root, request.sets))
    findings.add(expand(root, request.variables))
    findings.add(check_rules(root))
    model, wrong = check_model(root)
    findings.add(wrong)
    if request.app_dir is not None:
        import_from(request.app_dir)
    classes, wrong = find_classes(root, request.agent_base, request.agent_classes)
    findings.add(wrong)
    plugins = load_plugins(root) if request.check_plugins else Plugins()
    findings.add(plugins.problems)
    raise_problems(findings.problems)
    if model is None:
        raise TopologyError([Problem(root.where, "", "the topology is malformed")])
    return Builder(file, root, model, classes, plugins).topology((note,) if note else ())
