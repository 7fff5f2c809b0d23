"""The nodes of a topology: values that know the file and line where they were written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from civitas.errors import Location

Path: TypeAlias = tuple[Any, ...]
"""Keys and indices from the top of the topology to a value."""
MAX_DEPTH: Final = 200
_READ_BY_SET: Final = re.compile(r"""[.=\\]|\A["']""")


@dataclass(slots=True)
class ScalarNode:
    """A value without parts. `plain` text stood without quotes in YAML, so it may be retyped.

    `variables` are those that were replaced in it, with their values; `None` for none.
    """

    where: Location
    value: Any
    plain: bool = False
    variables: Mapping[str, str] | None = None


@dataclass(slots=True)
class SequenceNode:
    """A list."""

    where: Location
    items: list[Node]


@dataclass(slots=True)
class Entry:
    """A value of a mapping, where its key stands, and how the key is written there."""

    where: Location
    node: Node
    written: str = ""


@dataclass(slots=True)
class MappingNode:
    """A mapping."""

    where: Location
    entries: dict[Any, Entry]

    def get(self, key: str) -> Node | None:
        """Return the node under this key, or `None`."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


def from_mapping(value: Any, where: Location, deepest: int = MAX_DEPTH) -> Node:
    """Make a tree of dicts, lists and scalars; all of it is at one location.

    Raises:
        RecursionError: there are more than `deepest` levels, or a value contains itself.
    """
    if not isinstance(value, Mapping | list):
        return ScalarNode(where, value)
    if deepest == 0:
        raise RecursionError
    if isinstance(value, list):
        return SequenceNode(where, [from_mapping(item, where, deepest - 1) for item in value])
    items = ((key, from_mapping(item, where, deepest - 1)) for key, item in value.items())
    return MappingNode(where, {key: Entry(where, node, str(key)) for key, node in items})


def plain(node: Node | None) -> Any:
    """Return the values alone: fresh dicts and lists; `None` for no node."""
    if node is None:
        return None
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def text(node: Node | None) -> str | None:
    """Return the value of a scalar that is text, else `None`."""
    return node.value if isinstance(node, ScalarNode) and isinstance(node.value, str) else None


def locate(node: Node, path: Path) -> Location:
    """Return where `path` stands: the line of its last key, or of the deepest part there is."""
    return _follow(node, path)[0]


def find(node: Node, path: Path) -> Node | None:
    """Return the node that `path` leads to, if there is one."""
    _, depth, found = _follow(node, path)
    return found if depth == len(path) else None


def _follow(node: Node, path: Path) -> tuple[Location, int, Node]:
    where = node.where
    for depth, step in enumerate(path):
        if isinstance(node, MappingNode) and step in node.entries:
            where, node = node.entries[step].where, node.entries[step].node
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            where = node.where
        else:
            return where, depth, node
    return where, len(path), node


def scalars(node: Node) -> Iterator[tuple[Path, ScalarNode]]:
    """Walk over all scalars with their paths, in the order in which they stand."""
    # A stack, since each level of nested generators would pass on each of the values below it.
    waiting: list[tuple[Path, Node]] = [((), node)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, ScalarNode):
            yield path, node
        elif isinstance(node, SequenceNode):
            below = [((*path, index), item) for index, item in enumerate(node.items)]
            waiting.extend(reversed(below))
        else:
            entries = reversed(node.entries.items())
            waiting.extend(((*path, key), entry.node) for key, entry in entries)


def dotted(path: Path) -> str:
    """Return a path in the form that `--set` takes, with a backslash before what it reads."""
    return ".".join(_READ_BY_SET.sub(r"\\\g<0>", str(step)) for step in path)
