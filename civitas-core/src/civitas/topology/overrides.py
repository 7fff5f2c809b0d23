"""`--transport` and `--set`: changes of a topology before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from civitas.errors import Location
from civitas.topology.problems import Problem, TopologyError, did_you_mean
from civitas.topology.yaml_nodes import Entry, MappingNode, Node, ScalarNode, SequenceNode, text
from civitas.topology.yaml_reader import parse

TRANSPORT_OPTION: Final = "--transport"
SET_OPTION: Final = "--set"

_FORM: Final = "write --set key.path=VALUE"


class _PathError(Exception):
    """A path of `--set` leads nowhere."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


def replace_transport(root: MappingNode, name: str) -> str | None:
    """Replace the whole transport block by one that has a type only.

    Args:
        root: the topology; changed in place.
        name: the transport's name.

    Returns:
        What was dropped, without any value of an option; `None` when there was no block.
    """
    where = Location(TRANSPORT_OPTION)
    entry = root.entries.get("transport")
    block = MappingNode(where, {"type": Entry(where, ScalarNode(where, name))})
    root.entries["transport"] = Entry(where, block)
    if entry is None:
        return None
    note = f"{TRANSPORT_OPTION} {name} replaces the transport block at {entry.where}"
    if isinstance(entry.node, MappingNode):
        former = text(entry.node.get("type"))
        dropped = [str(key) for key in entry.node.entries if key != "type"]
        note += f" (type {former})" if former else ""
        note += f"; dropped: {', '.join(dropped)}" if dropped else ""
    return note


def apply_sets(root: MappingNode, sets: Sequence[str]) -> list[Problem]:
    """Apply the values of `--set`, in order.

    Args:
        root: the topology; changed in place.
        sets: texts of the form `key.path=YAML`. A child is addressed by its index or its name.

    Returns:
        A problem for each one that could not be applied; its location names the option, never the
        value, which may be a secret.
    """
    problems: list[Problem] = []
    for each in sets:
        problems += _apply(root, each)
    return problems


def _apply(root: MappingNode, given: str) -> list[Problem]:
    path, equals, value = given.partition("=")
    path = path.strip()
    where = Location(f"{SET_OPTION} {path}")
    if not equals:
        return [Problem(where, path, "there is no value", _FORM)]
    steps = path.split(".")
    if not all(steps):
        return [Problem(where, path, "a part of the path is empty", _FORM)]
    try:
        parsed = parse(value or '""', lambda _: where)
        _assign(root, steps, Entry(where, parsed.root))
    except TopologyError as error:
        return list(error.problems)
    except _PathError as error:
        return [Problem(where, path, str(error), error.suggestion)]
    return parsed.problems


def _assign(root: MappingNode, steps: Sequence[str], value: Entry) -> None:
    node: Node = root
    for step in steps[:-1]:
        node = _descend(node, step, value.where)
    if isinstance(node, SequenceNode):
        child = _child_named(node, steps[-1])
        if child is None:
            node.items[_index(node, steps[-1])] = value.node
            return
        holder, kind = child
        holder.entries[kind] = value
    elif isinstance(node, MappingNode):
        node.entries[steps[-1]] = value
    else:
        raise _no_parts(steps[-1])


def _descend(node: Node, step: str, where: Location) -> Node:
    """Return the part that a step leads to; a mapping that is missing is made."""
    if isinstance(node, SequenceNode):
        child = _child_named(node, step)
        if child is None:
            return node.items[_index(node, step)]
        holder, kind = child
        return holder.entries[kind].node
    if not isinstance(node, MappingNode):
        raise _no_parts(step)
    entry = node.entries.get(step)
    if entry is None or (isinstance(entry.node, ScalarNode) and entry.node.value is None):
        entry = node.entries[step] = Entry(where, MappingNode(where, {}))
    return entry.node


def _child_named(children: SequenceNode, name: str) -> tuple[MappingNode, str] | None:
    """Return the child that has this name, and which of the two kinds it is."""
    for child, kind, found in _named(children):
        if found == name:
            return child, kind
    return None


def _named(children: SequenceNode) -> list[tuple[MappingNode, str, str]]:
    named: list[tuple[MappingNode, str, str]] = []
    for child in children.items:
        if not isinstance(child, MappingNode):
            continue
        for kind in ("agent", "supervisor"):
            block = child.get(kind)
            name = text(block.get("name")) if isinstance(block, MappingNode) else None
            if name is not None:
                named.append((child, kind, name))
    return named


def _index(items: SequenceNode, step: str) -> int:
    if not (step.isascii() and step.isdigit()):
        names = [name for _, _, name in _named(items)]
        listed = f"its items are {', '.join(names)}" if names else "give the item's index"
        raise _PathError(f"the list has no item {step!r}", did_you_mean(step, names, listed))
    if len(step) > 9 or int(step) >= len(items.items):
        raise _PathError(
            f"the list has {len(items.items)} items, there is no item {step}", "indices begin at 0"
        )
    return int(step)


def _no_parts(step: str) -> _PathError:
    return _PathError(f"what stands before {step!r} is a single value and has no parts")
