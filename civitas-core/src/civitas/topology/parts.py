"""Filling in what a topology only names: plugins and classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from civitas.errors import Location, PluginError
from civitas.plugins.loader import (
    LoadedSerializer,
    LoadedTransport,
    load_serializer,
    load_transport,
)
from civitas.topology.classes import ClassError, argument_problems, find_class
from civitas.topology.options import check_options
from civitas.topology.problems import Problem
from civitas.topology.rules import Found, blocks
from civitas.topology.yaml_nodes import (
    MappingNode,
    Path,
    SequenceNode,
    dotted,
    find,
    locate,
    plain,
    text,
)


@dataclass(slots=True)
class Plugins:
    """The plugins of a topology, as far as they could be loaded.

    Attributes:
        transport: the transport.
        options: its options; `None` for a transport without any.
        serializer: the serializer that messages are written with.
        accepted: serializers by their index in `accept_serializers`.
        problems: why the others could not be loaded, and what is wrong with the options.
    """

    transport: LoadedTransport | None = None
    options: BaseModel | None = None
    serializer: LoadedSerializer | None = None
    accepted: dict[int, LoadedSerializer] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


TRANSPORT: Path = ("transport",)
SERIALIZER: Path = ("serializer",)
ACCEPTED: Path = ("accept_serializers",)


def load_plugins(root: MappingNode) -> Plugins:
    """Load the transport and the serializers that the topology names, and those alone."""
    plugins = Plugins()
    transport = _name(root, TRANSPORT, "in_process")
    if transport is not None:
        where = locate(root, transport.path)
        with _blame(plugins, transport.path, where):
            plugins.transport = load_transport(transport.text, where)
    serializer = _name(root, SERIALIZER, "msgpack")
    if serializer is not None:
        where = locate(root, serializer.path)
        with _blame(plugins, serializer.path, where):
            plugins.serializer = load_serializer(serializer.text, where)
    for index, name in _accepted_names(root):
        path = (*ACCEPTED, index)
        where = locate(root, path)
        with _blame(plugins, path, where):
            plugins.accepted[index] = load_serializer(name, where)
    if plugins.transport is not None:
        plugins.options, problems = check_options(root, plugins.transport.spec)
        plugins.problems += problems
    return plugins


def find_classes(
    root: MappingNode, base: type, given: Mapping[str, type]
) -> tuple[dict[str, type], list[Problem]]:
    """Import the classes of all agents, each once, and compare `config` with their constructors.

    Returns:
        Classes by the text of `type`, and the problems.
    """
    classes: dict[str, type | ClassError] = {}
    problems: list[Problem] = []
    for found in blocks(root):
        name = text(found.node.get("type"))
        if found.kind != "agent" or name is None:
            continue
        if name not in classes:
            classes[name] = _class_or_error(name, base, given)
        cls = classes[name]
        if isinstance(cls, ClassError):
            path = (*found.path, "type")
            problems.append(Problem(locate(root, path), dotted(path), str(cls), cls.suggestion))
        else:
            problems += _argument_problems(root, found, cls)
    return {name: cls for name, cls in classes.items() if isinstance(cls, type)}, problems


class _Name(NamedTuple):
    path: Path
    text: str


def _name(root: MappingNode, path: Path, default: str) -> _Name | None:
    """Return which plugin a block names; `None` for a malformed block, which names nothing."""
    node = find(root, path)
    if node is None:
        return _Name(path, default)
    if isinstance(node, MappingNode):
        path = (*path, "type")
        node = node.get("type")
    elif path == TRANSPORT:
        return None
    name = text(node)
    return None if name is None else _Name(path, name)


def _accepted_names(root: MappingNode) -> Iterator[tuple[int, str]]:
    accepted = root.get(ACCEPTED[0])
    if isinstance(accepted, SequenceNode):
        for index, item in enumerate(accepted.items):
            name = text(item)
            if name is not None:
                yield index, name


@contextmanager
def _blame(plugins: Plugins, path: Path, where: Location) -> Iterator[None]:
    """Turn a plugin's error into a problem of the topology."""
    try:
        yield
    except PluginError as error:
        # The error begins with the same location, which the problem tells itself.
        message = str(error).removeprefix(f"{where}: ")
        plugins.problems.append(Problem(where, dotted(path), message, code=error.code, cause=error))


def _class_or_error(name: str, base: type, given: Mapping[str, type]) -> type | ClassError:
    try:
        return find_class(name, base, given)
    except ClassError as error:
        return error


def _argument_problems(root: MappingNode, found: Found, cls: type) -> Iterable[Problem]:
    config: Any = plain(found.node.get("config"))
    if config is None:
        config = {}
    if not isinstance(config, dict):
        return  # the model says so
    for key, message, suggestion in argument_problems(cls, config):
        path: Path = (*found.path, "config") if "config" in found.node.entries else found.path
        if key is not None:
            path = (*path, key)
        yield Problem(locate(root, path), dotted(path), message, suggestion)
