"""`--transport` and `--set`, also as variables: changes of a topology before it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from civitas.errors import Location
from civitas.plugins.similar import closest
from civitas.topology.problems import MistakeError, Problem, TopologyError
from civitas.topology.validation import nest_agents
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

_PART: Final = re.compile(
    r"""(["'])(?P<quoted>.*?)\1\s*(?=[.=]|\Z)|(?P<plain>(?:\\[.=\\"']|[^.=])*)""", re.DOTALL
)
"""A part of a path, with or without quotes; what has a backslash before it is part of the key."""
_ESCAPED: Final = re.compile(r"""\\([.=\\"'])""")
_FORM: Final = "write key.path=VALUE"
_WITH_INDEX: Final = re.compile(r"(.+)\[([0-9]+)\]", re.DOTALL)


def replace_transport(root: MappingNode, name: str, option: str = "--transport") -> str | None:
    """Replace the whole transport block, in place, by one that has a type only.

    `option` is what says so, which may be a variable. Returns what was dropped, without any value
    of an option; `None` when there was no block.
    """
    where = Location(option)
    entry = root.entries.get("transport")
    block = MappingNode(where, {"type": Entry(where, ScalarNode(where, name))})
    root.entries["transport"] = Entry(where, block)
    if entry is None:
        return None
    return f"{option} {name} replaces {describe_replaced(entry, 'transport')}"


def describe_replaced(entry: Entry, block: str) -> str:
    """Return which block of a plugin is replaced, and what is dropped, without any value."""
    note = f"the {block} block at {entry.where}"
    if isinstance(entry.node, MappingNode):
        former = text(entry.node.get("type"))
        dropped = [str(key) for key in entry.node.entries if key != "type"]
        note += f" (type {former})" if former else ""
        note += f"; dropped: {', '.join(dropped)}" if dropped else ""
    return note


def apply_sets(
    root: MappingNode, sets: Sequence[str], option: str = "--set", where: Location | None = None
) -> list[Problem]:
    """Apply the values of `--set`, each `key.path=YAML`, in order and in place.

    A child is addressed by its index or its name. A key or name with a dot or an equals sign stands
    in quotes, or has a backslash before each of them, and before each backslash. Returns a problem
    for each one that could not be applied; its location names `option`, which may be a variable,
    and never the value, which may be a secret. An option that sets only one thing gives `where`.
    """
    return [problem for each in sets for problem in _apply(root, each, option, where)]


def _apply(
    root: MappingNode, given: str, option: str, where: Location | None = None
) -> list[Problem]:
    path, equals, value = _split(given.lstrip())
    where = where or Location(f"{option} {path}")
    try:
        steps = _steps(path)
        if not equals:
            raise MistakeError("there is no value", _FORM)
        parsed = parse(value or '""', lambda _: where)
        _assign(root, steps, Entry(where, parsed.root))
        nest_agents(root)  # the next one may address by its name what this one has brought
    except TopologyError as error:
        return list(error.problems)
    except MistakeError as error:
        return [Problem(where, path, str(error), error.suggestion)]
    return parsed.problems


def _split(given: str) -> tuple[str, str, str]:
    """Return the path, the equals sign and the value; nothing for the last two without a sign."""
    *_, last = _parts(given)
    end = last.end()
    return given[:end].strip(), given[end : end + 1], given[end + 1 :]


def _steps(path: str) -> list[str]:
    """Return the keys of a path.

    Raises:
        MistakeError: one is empty, or a quote has no end.
    """
    steps: list[str] = []
    for part in _parts(path):
        steps.append(part["quoted"] or _ESCAPED.sub(r"\1", part["plain"] or ""))
        if not steps[-1]:
            raise MistakeError("a part of the path is empty", _FORM)
        if part["plain"] and part["plain"][0] in "\"'":
            raise MistakeError(f"the quote that begins {part['plain']!r} has no end")
    return steps


def _parts(given: str) -> Iterator[re.Match[str]]:
    """Find the parts of the path that a text begins with; there is always one."""
    end = -1
    while end < 0 or given[end : end + 1] == ".":
        part = _PART.match(given, end + 1)
        assert part is not None  # it may be empty
        yield part
        end = part.end()


def _assign(root: MappingNode, steps: Sequence[str], value: Entry) -> None:
    """Put a value at the end of a path; mappings that are missing on the way are made.

    Raises:
        MistakeError: the path leads nowhere.
    """
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
        indexed = _WITH_INDEX.fullmatch(step)
        if indexed is not None and step not in node.entries:
            message = f"there is no key {step!r}, and an index stands behind a dot"
            raise MistakeError(message, f"did you mean '{dotted(indexed.groups())}'?")
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
