"""Overlays: one topology file laid over another, for what differs between two places.

An overlay has the form of a topology, and names only what it changes. In place of the value that
was there stands that of the overlay, with its own file and line. The rules are those of a JSON
merge patch (RFC 7396), and three more, where a topology has names or a `type`:

=============================  ====================================================================
what the overlay has           what becomes of it
=============================  ====================================================================
a mapping                      is merged, key by key
nothing (`key:` or `null`)     removes the key; one that is not there is a mistake
`children` of a supervisor     a child of the same kind and name is merged, a new one is added last
`transport`, `serializer`      another `type` replaces the block: options belong to their type
anything else, lists included  replaces what was there
=============================  ====================================================================

A child that is not there, and lacks what a new one needs, is a slip in its name or place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from civitas.topology.model import AgentBlock, SupervisorBlock
from civitas.topology.overrides import describe_replaced
from civitas.topology.problems import Problem, did_you_mean
from civitas.topology.validation import blocks
from civitas.topology.yaml_nodes import (
    Entry,
    MappingNode,
    Node,
    Path,
    ScalarNode,
    SequenceNode,
    dotted,
    find,
    locate,
    text,
)

_Rule: TypeAlias = Callable[[Entry, Entry, Path], None]
"""Merges the value of an overlay into the one that is there; both stand at the path."""

_NEEDED: Final = {"agent": "type", "supervisor": "children"}
"""What a new child can't do without."""
_OF_SUPERVISORS: Final = SupervisorBlock.model_fields.keys() - AgentBlock.model_fields.keys()


class _Child(NamedTuple):
    """What children are known by."""

    kind: str
    name: str


def lay_over(root: MappingNode, overlay: MappingNode) -> tuple[list[str], list[Problem]]:
    """Merge an overlay into a topology, in place.

    Returns notes of what was dropped, without any value, and the problems.
    """
    merging = _Merging(root)
    merging.top(overlay)
    return merging.notes, merging.problems


class _Merging:
    """One overlay on its way into a topology."""

    def __init__(self, root: MappingNode) -> None:
        self._root = root
        self._paths = dict(_all_children(root))
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def top(self, overlay: MappingNode) -> None:
        """Merge the whole overlay."""
        rules: dict[str, _Rule] = {
            "transport": self._typed,
            "serializer": self._typed,
            "supervision": self._supervisor,
        }
        self._mapping(self._root, overlay, (), rules)

    def _mapping(
        self, base: MappingNode, over: MappingNode, path: Path, rules: Mapping[str, _Rule]
    ) -> None:
        for key, entry in over.entries.items():
            here, former = (*path, key), base.entries.get(key)
            if isinstance(entry.node, ScalarNode) and entry.node.value is None:
                self._remove(base, entry, here)
            elif former is None:
                base.entries[key] = entry
            else:
                rules.get(key, self._value)(former, entry, here)

    def _remove(self, base: MappingNode, entry: Entry, path: Path) -> None:
        if base.entries.pop(path[-1], None) is None:
            message = "there is no such key to remove"
            suggestion = did_you_mean(str(path[-1]), [str(key) for key in base.entries])
            self.problems.append(Problem(entry.where, dotted(path), message, suggestion))

    def _value(self, former: Entry, entry: Entry, path: Path) -> None:
        if isinstance(former.node, MappingNode) and isinstance(entry.node, MappingNode):
            self._mapping(former.node, entry.node, path, {})
        else:
            former.where, former.node = entry.where, entry.node

    def _typed(self, former: Entry, entry: Entry, path: Path) -> None:
        """Merge the block of a plugin; a serializer may be given by its name alone."""
        if path == ("serializer",):
            former.node, entry.node = _with_type(former.node), _with_type(entry.node)
        given = _type_of(entry.node)
        if given is None or given == _type_of(former.node):
            self._value(former, entry, path)
            return
        if isinstance(former.node, MappingNode) and former.node.entries.keys() - {"type"}:
            replaced = describe_replaced(former, path[0])
            self.notes.append(f"{entry.where} replaces {replaced}")
        former.where, former.node = entry.where, entry.node

    def _supervisor(self, former: Entry, entry: Entry, path: Path) -> None:
        if isinstance(former.node, MappingNode) and isinstance(entry.node, MappingNode):
            self._mapping(former.node, entry.node, path, {"children": self._children})
        else:
            self._value(former, entry, path)

    def _children(self, former: Entry, entry: Entry, path: Path) -> None:
        if not (isinstance(former.node, SequenceNode) and isinstance(entry.node, SequenceNode)):
            self._value(former, entry, path)
            return
        items = former.node.items
        there = {_child_of(node): index for index, node in enumerate(items)}
        names = [child.name for child in there if child is not None]
        for node in map(_nested, entry.node.items):
            child = _child_of(node)
            index = there.pop(child, None) if child is not None else None  # a second one is added
            base = None if index is None else items[index]
            if child and isinstance(base, MappingNode) and isinstance(node, MappingNode):
                _nameless(node, child.kind)
                self._mapping(base, node, (*path, index), {"supervisor": self._supervisor})
            elif child is None or self._may_be_new(child, node, path, names):
                items.append(node)

    def _may_be_new(self, child: _Child, node: Node, path: Path, names: list[str]) -> bool:
        """Return whether a child that is not there may be added; else it is a problem."""
        block = _block(node, child.kind)
        assert block is not None
        place = self._paths.get(child)
        needed = _NEEDED[child.kind]
        if place is not None and place[:-2] != path:
            holder = text(find(self._root, (*place[:-3], "name"))) or ""
            message = (
                f"the {child.kind} {child.name!r} stands below {holder!r} at "
                f"{locate(self._root, place)}, not here"
            )
            suggestion = "an overlay names the supervisors above as well"
        elif place is None and needed not in block.entries:
            message = f"there is no {child.kind} {child.name!r} here to change"
            suggestion = did_you_mean(child.name, names, f"a new one needs `{needed}`")
        else:
            return True
        where, at = block.entries["name"].where, dotted((*path, child.name))
        self.problems.append(Problem(where, at, message, suggestion))
        return False


def _all_children(root: MappingNode) -> Iterator[tuple[_Child, Path]]:
    """Return the children of all supervisors, each with its path."""
    for kind, path, node in blocks(root):
        name = text(node.get("name"))
        if len(path) > 1 and name is not None:
            yield _Child(kind, name), path


def _nested(node: Node) -> Node:
    """Return an agent that is written flat, without `agent:`, in the form with it.

    In an overlay it needs no `type`: its name says that it is one, unless it has what only a
    supervisor has.
    """
    if not isinstance(node, MappingNode) or text(node.get("name")) is None:
        return node
    if node.entries.keys() & {*_NEEDED, *_OF_SUPERVISORS}:
        return node
    return MappingNode(node.where, {"agent": Entry(node.where, node)})


def _child_of(node: Node) -> _Child | None:
    """Return what a child is known by; `None` where it is not written like one."""
    for kind in _NEEDED:
        block = _block(node, kind)
        name = text(block.get("name")) if block is not None else None
        if name is not None:
            return _Child(kind, name)
    return None


def _nameless(node: MappingNode, kind: str) -> None:
    """Take the name off a child that was found by it: the name is as it was, and where it was."""
    block = _block(node, kind)
    assert block is not None
    del block.entries["name"]


def _block(node: Node, kind: str) -> MappingNode | None:
    block = node.get(kind) if isinstance(node, MappingNode) else None
    return block if isinstance(block, MappingNode) else None


def _with_type(node: Node) -> Node:
    """Return a serializer's block for its name."""
    if text(node) is None:
        return node
    return MappingNode(node.where, {"type": Entry(node.where, node)})


def _type_of(node: Node) -> str | None:
    return text(node.get("type")) if isinstance(node, MappingNode) else None
