"""The plugins that a topology names: its transport with its options, and its serializers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from pydantic import BaseModel

from civitas.errors import Location, PluginError
from civitas.plugins.loader import (
    LoadedSerializer,
    LoadedTransport,
    load_serializer,
    load_transport,
)
from civitas.topology.options import check_options
from civitas.topology.problems import Problem
from civitas.topology.yaml_nodes import (
    MappingNode,
    Path,
    SequenceNode,
    dotted,
    find,
    locate,
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


TRANSPORT: Final[Path] = ("transport",)
SERIALIZER: Final[Path] = ("serializer",)
ACCEPTED: Final[Path] = ("accept_serializers",)

_Loaded = TypeVar("_Loaded")


class _Named(NamedTuple):
    """The name of a plugin, and where in the topology it stands."""

    path: Path
    name: str


def load_plugins(root: MappingNode) -> Plugins:
    """Load the transport and the serializers that the topology names, and those alone."""
    problems: list[Problem] = []
    plugins = Plugins(problems=problems)
    transport = _named(root, TRANSPORT, "in_process")
    plugins.transport = _load(load_transport, transport, root, problems)
    plugins.serializer = _load(load_serializer, _named(root, SERIALIZER, "msgpack"), root, problems)
    accepted = root.get(ACCEPTED[0])
    for index, item in enumerate(accepted.items if isinstance(accepted, SequenceNode) else ()):
        name = text(item)
        named = None if name is None else _Named((*ACCEPTED, index), name)
        serializer = _load(load_serializer, named, root, problems)
        if serializer is not None:
            plugins.accepted[index] = serializer
    if plugins.transport is not None:
        plugins.options, wrong = check_options(root, plugins.transport.spec)
        problems += wrong
    return plugins


def _named(root: MappingNode, path: Path, default: str) -> _Named | None:
    """Return which plugin a block names; `None` for a malformed block, which names nothing."""
    node = find(root, path)
    if node is None:
        return _Named(path, default)
    if isinstance(node, MappingNode):
        path = (*path, "type")
        node = node.get("type")
    elif path == TRANSPORT:
        return None
    name = text(node)
    return None if name is None else _Named(path, name)


def _load(
    load: Callable[[str, Location], _Loaded],
    named: _Named | None,
    root: MappingNode,
    problems: list[Problem],
) -> _Loaded | None:
    """Load a plugin; its error becomes a problem of the topology."""
    if named is None:
        return None
    where = locate(root, named.path)
    try:
        return load(named.name, where)
    except PluginError as error:
        message = str(error).removeprefix(f"{where}: ")  # the problem begins with it as well
        path = dotted(named.path)
        problems.append(Problem(where, path, message, code=error.code, cause=error))
        return None
