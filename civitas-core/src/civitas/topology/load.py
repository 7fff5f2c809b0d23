"""Loading: from a file or a mapping to a topology that is ready to run, or to all its problems."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from civitas.errors import CivitasError, Location
from civitas.plugins import Capabilities
from civitas.plugins.loader import capabilities_of
from civitas.plugins.masking import looks_secret, secret_texts
from civitas.plugins.search_path import enter_app_folder, name_app_folder
from civitas.plugins.shadowing import namesakes
from civitas.topology.classes import (
    find_classes,
    hosted_agents,
    named_classes,
    unjudged_classes,
)
from civitas.topology.constructors import Constructor, Maker
from civitas.topology.health import find_health
from civitas.topology.layers import Layered, Layers, as_paths, read_layers, top_mapping
from civitas.topology.model import SupervisorBlock
from civitas.topology.plugins import Plugins, load_plugins, option_files, option_secrets
from civitas.topology.problems import Problem, TopologyError, raise_problems
from civitas.topology.resolved import (
    ResolvedAgent,
    ResolvedPlugin,
    ResolvedSupervisor,
    ResolvedTransport,
    Topology,
)
from civitas.topology.signing import find_signing
from civitas.topology.validation import Found, check_model, check_rules
from civitas.topology.variables import expand
from civitas.topology.yaml_nodes import (
    MAX_DEPTH,
    Entry,
    MappingNode,
    Node,
    Path,
    SequenceNode,
    find,
    from_mapping,
    plain,
    scalars,
)


def load_topology(
    path: str | os.PathLike[str],
    *,
    agent_base: type,
    agent_classes: Mapping[str, Maker] | None = None,
    services: Mapping[str, Any] | None = None,
    overlays: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    transport: str | None = None,
    sets: Sequence[str] = (),
    health: str | None = None,
    app_dir: str | os.PathLike[str] | None = None,
    processes: Collection[str] | None = None,
    import_classes: bool = True,
    import_plugins: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Topology:
    """Read and check a topology file with what changes it, and load its classes and plugins.

    The variables `CIVITAS_TRANSPORT` and `CIVITAS_SET` change it as `transport` and `sets` do, and
    before these.

    To import them is to run code that the file chooses. Without an import, what it would show is
    not judged; `Topology.not_judged` says what.

    Args:
        path: the YAML file.
        agent_base: the class that all agents derive from.
        agent_classes: classes, or factories, that agents may name as their `type`.
        services: what constructors and factories are given besides `config`, by the names of their
            arguments: each gets those that it names.
        overlays: files that are laid over it, in this order, each over all before it.
        transport: replaces the whole transport block, as `--transport` does.
        sets: values of `--set`, each `key.path=YAML`, applied in order after `transport`.
        health: where the process is to answer probes, as `--health` says.
        app_dir: a folder that is put in front of `sys.path` before classes are imported; `None`
            leaves `sys.path` as it is.
        processes: names of processes; of agents that others host, only the settings are used.
            `None`: all; none at all: nothing of an agent is imported or judged.
        import_classes: whether to import the classes of agents, and compare `config` with them.
        import_plugins: whether to import the plugins that are named, and check the options; else
            they only have to be installed. Built-in ones are loaded all the same.
        variables: the environment, if it is not to be that of this process.

    Raises:
        TopologyPluginError: a plugin that it names can't be used.
        TopologyError: anything else is wrong. Both list all problems of the file.
    """
    variables = os.environ if variables is None else variables
    layers = Layers(FilePath(path), as_paths(overlays), transport, sets, health)
    layered = read_layers(layers, variables)
    imports = _Imports(
        agent_base,
        agent_classes or {},
        services or {},
        processes,
        app_dir,
        import_classes,
        import_plugins,
    )
    return _load(str(path), layered, variables, imports)


def load_topology_mapping(
    mapping: Mapping[str, Any],
    *,
    agent_base: type,
    agent_classes: Mapping[str, Maker] | None = None,
    services: Mapping[str, Any] | None = None,
    processes: Collection[str] | None = None,
    import_plugins: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Topology:
    """Check a topology that is given as a mapping, and load its classes and plugins.

    Problems have the file `<mapping>` and no line. Texts with `${VAR}` stay texts. The mapping is
    not changed, and nothing of it is kept. The other arguments are those of `load_topology`.

    Raises:
        TopologyPluginError: a plugin that it names can't be used.
        TopologyError: anything else is wrong. Both list all problems.
    """
    where = Location("<mapping>")
    try:
        layered = Layered(top_mapping(from_mapping(mapping, where)))
    except RecursionError as error:
        message = f"this is nested more than {MAX_DEPTH} levels deep, or contains itself"
        raise TopologyError([Problem(where, "", message)]) from error
    imports = _Imports(
        agent_base, agent_classes or {}, services or {}, processes, import_plugins=import_plugins
    )
    variables = os.environ if variables is None else variables
    return _load(where.file, layered, variables, imports)


@dataclass(frozen=True, slots=True)
class _Imports:
    """What a topology may import, and from where; the arguments of `load_topology`."""

    agent_base: type
    agent_classes: Mapping[str, Maker]
    services: Mapping[str, Any]
    processes: Collection[str] | None
    app_dir: str | os.PathLike[str] | None = None
    import_classes: bool = True
    import_plugins: bool = True

    def name_app_folder(self) -> None:
        """Say beforehand from which folder classes will be imported."""
        if self.import_classes and self.app_dir is not None:
            name_app_folder(str(FilePath(self.app_dir).resolve()))

    def classes(
        self, root: MappingNode, agents: Sequence[Found]
    ) -> tuple[dict[str, Constructor], list[Problem]]:
        """Find the classes of these agents."""
        if not self.import_classes:
            return named_classes(root, agents, self.agent_base, self.agent_classes)
        if self.app_dir is not None:
            enter_app_folder(str(FilePath(self.app_dir).resolve()))
        return find_classes(root, agents, self.agent_base, self.agent_classes, self.services)


def _load(file: str, layered: Layered, variables: Mapping[str, str], imports: _Imports) -> Topology:
    root, problems = layered.root, layered.problems

    def add(found: Iterable[Problem]) -> None:
        """Add the problems of a step, but those of a path that an earlier step found wrong."""
        wrong = {each.path for each in problems if each.path}
        problems.extend(each for each in found if each.path not in wrong)

    add(expand(root, variables))
    add(check_rules(root))
    model, of_model = check_model(root)
    add(of_model)
    imports.name_app_folder()
    # Before the classes: what is in the app folder can't take the place of a plugin.
    plugins = load_plugins(root, imports=imports.import_plugins)
    claims = _claims(plugins.transport)
    crosses = claims is None or claims.cross_process  # not known: what is surely not here stays out
    agents = hosted_agents(root, imports.processes, crosses=crosses)
    classes, of_classes = imports.classes(root, agents)
    add(of_classes)
    add(plugins.problems)
    signing, of_signing = find_signing(root, model, claims, variables)
    add(of_signing)
    settings, of_health = find_health(root, model)
    add(of_health)
    raise_problems(problems)
    if model is None or plugins.transport is None or plugins.serializer is None:
        raise TopologyError([Problem(root.where, "", "the topology is malformed")])
    return Topology(
        file=file,
        model=model,
        transport=plugins.transport,
        serializer=plugins.serializer,
        accept_serializers=tuple(plugins.accepted),
        instruments=tuple(plugins.instruments),
        send_timeout=model.send_timeout,
        signing=signing,
        health=settings,
        supervision=_resolved(
            model.supervision, "supervision", root.entries["supervision"], classes
        ),
        notes=(*layered.notes, *_namesake_notes(plugins)),
        not_judged=(*plugins.not_judged, *unjudged_classes(root, agents, classes)),
        secrets=_secrets(root, plugins),
        root=root,
    )


def _claims(transport: ResolvedTransport | None) -> Capabilities | None:
    """Return what a transport claims; `None` where it is not known."""
    if transport is None or transport.plugin is None:
        return None
    try:
        return capabilities_of(transport.plugin, transport.options, transport.where)
    except CivitasError:  # told where the transport is made
        return None


def _namesake_notes(plugins: Plugins) -> list[str]:
    """Say which modules beside the agents have the name of a library or of one of Python's."""
    used = (plugins.transport, plugins.serializer, *plugins.accepted, *plugins.instruments)
    loaded = [each.plugin for each in used if each is not None and each.plugin is not None]
    found = (str(each) for plugin in loaded for each in namesakes(plugin.candidate))
    return list(dict.fromkeys(found))


def _secrets(root: MappingNode, plugins: Plugins) -> frozenset[str]:
    """Return the values of options, keys and variables that have the names of secrets."""
    resolved: dict[Path, ResolvedPlugin[Any] | None] = {
        ("transport",): plugins.transport,
        ("serializer",): plugins.serializer,
        **{("instruments", place): each for place, each in enumerate(plugins.instruments)},
    }
    options = [
        (_mapping(find(root, path)), type(each.options))
        for path, each in resolved.items()
        if each is not None and each.options is not None
    ]
    texts = {
        *secret_texts(plain(root), ()),
        *(text for given, model in options for text in option_secrets(given, model)),
        *(
            value
            for _, node in scalars(root)
            if node.variables
            for name, value in node.variables.items()
            if looks_secret(name)
        ),
    }
    return frozenset(texts.difference(*(option_files(*each) for each in options)))


def _mapping(node: Node | None) -> dict[str, Any]:
    """Return a block's keys; a serializer may be given by its name alone."""
    block = plain(node)
    return block if isinstance(block, dict) else {}


def _resolved(
    block: SupervisorBlock, path: str, entry: Entry, classes: Mapping[str, Constructor]
) -> ResolvedSupervisor:
    """Return a supervisor with all that is below it; nothing is wrong with the topology.

    `path` and `entry` are where it is in the tree.
    """
    resolved: list[ResolvedSupervisor | ResolvedAgent] = []
    assert isinstance(entry.node, MappingNode)
    nodes = entry.node.get("children")
    listed = nodes.items if isinstance(nodes, SequenceNode) else ()
    for index, (child, node) in enumerate(zip(block.children, listed, strict=True)):
        assert isinstance(node, MappingNode)
        for kind, given in child:
            if given is None:
                continue
            below, place = f"{path}.children.{index}.{kind}", node.entries[kind]
            if isinstance(given, SupervisorBlock):
                resolved.append(_resolved(given, below, place, classes))
            else:
                constructor = classes.get(given.type)
                resolved.append(ResolvedAgent(given, constructor, below, place.where))
    return ResolvedSupervisor(block, tuple(resolved), entry.where)
