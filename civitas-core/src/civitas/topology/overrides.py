"""`--transport` and `--set`: changes of a topology before it is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from civitas.errors import Location
from civitas.plugins.similar import closest
from civitas.topology.problems import MistakeError, Problem, TopologyError
from civitas.topology.yaml_nodes import (
    Entry,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    dotted,
    text,
)
from civitas.topology.yaml_reader import parse

_TOKEN: Final = re.compile(r"\\[.=\\]|.", re.DOTALL)
"""A character of a path; one with a backslash before it is part of a key, as in Helm's `--set`."""


def replace_transport(root: MappingNode, name: str) -> str | None:
    """Replace the whole transport block, in place, by one that has a type only.

    Returns what was dropped, without any value of an option; `None` when there was no block.
    """
    where = Location("--transport")
    entry = root.entries.get("transport")
    block = MappingNode(where, {"type": Entry(where, ScalarNode(where, name))})
    root.entries["transport"] = Entry(where, block)
    if entry is None:
        return None
    note = f"--transport {name} replaces the transport block at {entry.where}"
    if isinstance(entry.node, MappingNode):
        former = text(entry.node.get("type"))
        dropped = [str(key) for key in entry.node.entries if key != "type"]
        note += f" (type {former})" if former else ""
        note += f"; dropped: {', '.join(dropped)}" if dropped else ""
    return note


def apply_sets(root: MappingNode, sets: Sequence[str]) -> list[Problem]:
    """Apply the values of `--set`, each `key.path=YAML`, in order and in place.

    A child is addressed by its index or its name. A dot, an equals sign or a backslash that is part
    of a key or name has a backslash before it. Returns a problem for each one that could not be
    applied; its location names the option, never the value, which may be a secret.
    """
    return [problem for each in sets for problem in _apply(root, each)]


def _apply(root: MappingNode, given: str) -> list[Problem]:
    path, value = _split(given)
    where = Location(f"--set {path}")
    steps = _steps(path)
    if value is None or not all(steps):
        message = "there is no value" if value is None else "a part of the path is empty"
        return [Problem(where, path, message, "write --set key.path=VALUE")]
    try:
        parsed = parse(value or '""', lambda _: where)
        _assign(root, steps, Entry(where, parsed.root))
    except TopologyError as error:
        return list(error.problems)
    except MistakeError as error:
        return [Problem(where, path, str(error), error.suggestion)]
    return parsed.problems


def _split(given: str) -> tuple[str, str | None]:
    """Return the path and the value; None when there is none."""
    end = next((each.start() for each in _TOKEN.finditer(given) if each[0] == "="), None)
    return (given.strip(), None) if end is None else (given[:end].strip(), given[end + 1 :])


def _steps(path: str) -> list[str]:
    steps = [""]
    for token in _TOKEN.findall(path):
        if token == ".":
            steps.append("")
        else:
            steps[-1] += token[-1]
    return steps


def _assign(root: MappingNode, steps: Sequence[str], value: Entry) -> None:
    """Put a value at the end of a path; mappings that are missing on the way are made."""
    node: Node = root
    for step in steps[:-1]:
        holder, key = _place(node, step)
        if isinstance(holder, SequenceNode):
            node = holder.items[int(key)]
            continue
        entry = holder.entries.get(key)
        if entry is None or (isinstance(entry.node, ScalarNode) and entry.node.value is None):
            entry = holder.entries[key] = Entry(value.where, MappingNode(value.where, {}))
        node = entry.node
    holder, key = _place(node, steps[-1])
    if isinstance(holder, SequenceNode):
        holder.items[int(key)] = value.node
    else:
        holder.entries[key] = value


def _place(node: Node, step: str) -> tuple[MappingNode | SequenceNode, str]:
    """Return the list or mapping, and the index or key in it, that a step of a path means."""
    if isinstance(node, MappingNode):
        return node, step
    if not isinstance(node, SequenceNode):
        raise MistakeError(f"what stands before {step!r} is a single value and has no parts")
    names: list[str] = []
    for child in node.items:
        for kind in ("agent", "supervisor"):
            block = child.get(kind) if isinstance(child, MappingNode) else None
            name = text(block.get("name")) if isinstance(block, MappingNode) else None
            if name == step and isinstance(child, MappingNode):
                return child, kind
            names += [] if name is None else [name]
    if not (step.isascii() and step.isdigit()):
        raise MistakeError(f"the list has no item {step!r}", _suggestion(step, names))
    size = len(node.items)
    if len(step) > 9 or int(step) >= size:
        message = f"the list has {size} items, there is no item {step}"
        raise MistakeError(message, "indices begin at 0")
    return node, step


def _suggestion(step: str, names: Sequence[str]) -> str:
    """Return what may be meant: the name that begins with this part, or a similar one, or all."""
    longer = (each for each in names if each.startswith(f"{step}."))
    meant = next(longer, None) or closest(step, names)
    if meant is not None:
        return f"did you mean '{dotted((meant,))}'?"
    written = [dotted((each,)) for each in names]
    return f"its items are {', '.join(written)}" if names else "give the item's index"
