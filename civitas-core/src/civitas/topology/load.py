"""Loading: from a file or a mapping to a topology that is ready to run, or to all its problems."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from civitas.errors import Location
from civitas.messages import PRIMARY
from civitas.topology.classes import find_classes, import_from
from civitas.topology.model import AgentBlock, SupervisorBlock
from civitas.topology.overrides import apply_sets, replace_transport
from civitas.topology.plugins import ACCEPTED, SERIALIZER, TRANSPORT, Plugins, load_plugins
from civitas.topology.problems import Problem, TopologyError, raise_problems
from civitas.topology.pydantic_errors import kind_of
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedSerializer,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)
from civitas.topology.validation import check_model, check_rules
from civitas.topology.variables import expand
from civitas.topology.yaml_nodes import (
    MappingNode,
    Node,
    Path,
    dotted,
    from_mapping,
    locate,
    plain,
)
from civitas.topology.yaml_reader import MAX_DEPTH, read_file

MAPPING_FILE: Final = "<mapping>"


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
    """Read and check a topology file, and load its classes and plugins.

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
    return _load(
        str(path),
        parsed.root,
        parsed.problems,
        agent_base,
        agent_classes or {},
        check_plugins=check_plugins,
        variables=variables,
        transport=transport,
        sets=sets,
        app_dir=app_dir,
    )


def load_topology_mapping(
    mapping: Mapping[str, Any],
    *,
    agent_base: type,
    agent_classes: Mapping[str, type] | None = None,
    check_plugins: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Topology:
    """Check a topology that is given as a mapping, and load its classes and plugins.

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
    return _load(
        MAPPING_FILE,
        root,
        [],
        agent_base,
        agent_classes or {},
        check_plugins=check_plugins,
        variables=variables,
    )


def _load(
    file: str,
    root: Node,
    problems: Sequence[Problem],
    agent_base: type,
    agent_classes: Mapping[str, type],
    *,
    check_plugins: bool,
    variables: Mapping[str, str] | None,
    transport: str | None = None,
    sets: Sequence[str] = (),
    app_dir: str | os.PathLike[str] | None = None,
) -> Topology:
    if not isinstance(root, MappingNode):
        message = f"a topology is a mapping, not {kind_of(plain(root))}"
        mistake = Problem(root.where, "", message, "begin with `supervision:`")
        raise TopologyError([*problems, mistake])
    findings = _Findings(problems)
    note = replace_transport(root, transport) if transport is not None else None
    findings.add(apply_sets(root, sets))
    findings.add(expand(root, os.environ if variables is None else variables))
    findings.add(check_rules(root))
    model, wrong = check_model(root)
    findings.add(wrong)
    if app_dir is not None:
        import_from(FilePath(app_dir))
    classes, wrong = find_classes(root, agent_base, agent_classes)
    findings.add(wrong)
    plugins = load_plugins(root) if check_plugins else Plugins()
    findings.add(plugins.problems)
    raise_problems(findings.problems)
    if model is None:
        raise TopologyError([Problem(root.where, "", "the topology is malformed")])
    return Topology(
        file=file,
        model=model,
        transport=ResolvedTransport(
            model.transport.type, plugins.transport, plugins.options, locate(root, TRANSPORT)
        ),
        serializer=ResolvedSerializer(
            model.serializer.type, plugins.serializer, locate(root, SERIALIZER)
        ),
        accept_serializers=tuple(
            ResolvedSerializer(name, plugins.accepted.get(index), locate(root, (*ACCEPTED, index)))
            for index, name in enumerate(model.accept_serializers)
        ),
        send_timeout=model.send_timeout,
        supervision=_supervisor(model.supervision, ("supervision",), root, classes),
        notes=(note,) if note else (),
    )


def _supervisor(
    block: SupervisorBlock, path: Path, root: MappingNode, classes: Mapping[str, type]
) -> ResolvedSupervisor:
    """Return a supervisor with all that is below it; nothing is wrong with the topology."""
    children: list[ResolvedSupervisor | ResolvedAgent] = []
    for index, child in enumerate(block.children):
        below = (*path, "children", index)
        if child.supervisor is not None:
            children.append(_supervisor(child.supervisor, (*below, "supervisor"), root, classes))
        elif child.agent is not None:
            children.append(_agent(child.agent, (*below, "agent"), root, classes))
    # The fields that a block and what is resolved from it share have the same names.
    given = dict(block) | {"children": tuple(children)}
    return ResolvedSupervisor(**given, where=locate(root, path))


def _agent(
    block: AgentBlock, path: Path, root: MappingNode, classes: Mapping[str, type]
) -> ResolvedAgent:
    given = dict(block)
    type_name = given.pop("type")
    given["config"] = dict(block.config or {})
    given["process"] = None if block.process == PRIMARY else block.process
    return ResolvedAgent(
        **given,
        cls=classes[type_name],
        type_name=type_name,
        path=dotted(path),
        where=locate(root, path),
    )
