"""The YAML reader: from text to nodes that know their lines, within bounds.

Mistakes get their line here: those of the syntax at once, all others from the nodes.

The tree is built from parser events: composing nodes in libyaml recurses in C without a limit, so
deep nesting would end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple

import yaml

from civitas.errors import Location
from civitas.topology.pipes import read_bytes
from civitas.topology.problems import Problem, TopologyError
from civitas.topology.yaml_nodes import (
    MAX_DEPTH,
    Entry,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
)
from civitas.topology.yaml_scalars import YES_AND_NO, meaningless, read_plain, read_tagged

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_ALIASED: Final = 100_000
"""Nodes that aliases may repeat in one document; nested aliases multiply (CWE-776)."""

_MERGE: Final = "tag:yaml.org,2002:merge"
_CONTAINER_TAGS: Final = frozenset((None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"))
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Parsed(NamedTuple):
    """A document, and the mistakes in it that did not keep it from being read."""

    root: Node
    problems: list[Problem]


def read_file(file: FilePath) -> Parsed:
    """Read a topology file.

    Raises:
        TopologyError: the file can't be read, is too large, or is not YAML as `parse` wants it.
    """
    name = str(file)
    try:
        data = read_bytes(file, MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _error(Location(name), f"the file can't be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise _error(Location(name), f"the file is larger than {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(Location(name, line), "the file is not UTF-8", "save it as UTF-8") from error
    return parse(text, lambda line: Location(name, line))


def parse(text: str, locate: Callable[[int], Location]) -> Parsed:
    """Read a YAML document.

    A key given twice, or a value of an unknown type, is a problem of the result. `locate` makes the
    location of a line, counted from 1.

    Raises:
        TopologyError: it is empty or not YAML, an alias has no anchor or contains itself, or a
            bound of this module is exceeded.
    """
    loader = None
    try:
        loader = _LOADER(text)
        composer = _Composer(loader, locate)
        return Parsed(composer.document(), composer.problems)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(text, locate, error) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"YAML does not allow the character #x{int(error.character):04x}"
        raise _error(locate(line), message) from error
    finally:
        if loader is not None:
            loader.dispose()


def _error(where: Location, message: str, suggestion: str = "") -> TopologyError:
    return TopologyError([Problem(where, "", message, suggestion)])


def _syntax_error(
    text: str, locate: Callable[[int], Location], error: yaml.MarkedYAMLError
) -> TopologyError:
    lines = text.splitlines() or [""]
    mark = error.problem_mark or error.context_mark
    # What ends too early is noticed behind the last line.
    at = min(mark.line, len(lines) - 1) if mark else 0
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    suggestion = ""
    if "\t" in indentation:
        suggestion = "indent with spaces, not with tabs"
    elif "${" in lines[at]:
        suggestion = "put the value with ${...} in quotes"
    elif error.context_mark and error.context_mark.line < at:
        suggestion = f"in what begins at {locate(error.context_mark.line + 1)}"
    message = error.problem or error.context or "can't be parsed"
    return _error(locate(at + 1), f"this is not YAML: {message}", suggestion)


class _Composer:
    """Builds the tree of one document from the events of a loader."""

    def __init__(self, loader: Any, locate: Callable[[int], Location]) -> None:
        self._loader = loader
        self._next = loader.get_event
        self._locate = locate
        self._line, self._place = 1, locate(1)
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node | None] = {}  # `None` while the anchored node is read
        self._aliased = 0

    def document(self) -> Node:
        self._next()  # the stream starts
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise _error(self._locate(1), "there is nothing here", "a topology has `supervision:`")
        root = self._node(self._next(), 0)
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            where = self._where(event)
            raise _error(where, "a second document begins here", "remove the line `---`")
        return root

    def _where(self, event: Any) -> Location:
        line = event.start_mark.line + 1
        if line != self._line:  # the values of a line share its location
            self._line, self._place = line, self._locate(line)
        return self._place

    def _node(self, event: Any, depth: int) -> Node:
        where = self._where(event)
        if depth > MAX_DEPTH:
            raise _error(where, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, where, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, where)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(where, depth)
        else:
            node = self._mapping(where, depth)
        if not isinstance(node, ScalarNode) and event.tag not in _CONTAINER_TAGS:
            self.problems.append(Problem(where, "", meaningless(event.tag)))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: yaml.ScalarEvent, where: Location) -> ScalarNode:
        value, tag = event.value, event.tag
        try:
            if tag is not None and tag != "!":
                value = read_tagged(tag, value)
            elif event.implicit[0]:
                value = read_plain(value)
        except ValueError as error:
            self.problems.append(Problem(where, "", str(error)))
        return ScalarNode(where, value, plain=tag is None and event.implicit[0])

    def _key(self, event: Any, where: Location, depth: int) -> tuple[Any, str]:
        """Return a key, and how it is written: `on` is text, and 1.10 is not told as 1.1."""
        node = self._node(event, depth)
        if not isinstance(node, ScalarNode):
            raise _error(where, "a key must be text, not a list or a mapping")
        written = event.value if isinstance(event, yaml.ScalarEvent) else str(node.value)
        is_word = node.plain and written in YES_AND_NO
        return written if is_word else node.value, written

    def _sequence(self, where: Location, depth: int) -> SequenceNode:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return SequenceNode(where, items)

    def _mapping(self, where: Location, depth: int) -> MappingNode:
        entries: dict[Any, Entry] = {}
        merged: list[Node] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if _is_merge(event):  # of one mapping or of a list of them, the first one winning
                source = self._node(self._next(), depth + 1)
                merged += source.items if isinstance(source, SequenceNode) else [source]
                continue
            key_where = self._where(event)
            key, written = self._key(event, key_where, depth + 1)
            node = self._node(self._next(), depth + 1)
            if key in entries:
                first = entries[key]
                again = f"the key {first.written!r} stands here already, at {first.where}"
                self.problems.append(Problem(key_where, "", again, "remove one of the two"))
            else:
                entries[key] = Entry(key_where, node, written)
        for source in merged:
            if not isinstance(source, MappingNode):
                self.problems.append(Problem(source.where, "", "`<<` merges mappings only"))
                continue
            for key, entry in source.entries.items():
                entries.setdefault(key, entry)
        return MappingNode(where, entries)

    def _alias(self, anchor: Any, where: Location, depth: int) -> Node:
        if anchor not in self._anchors:
            raise _error(where, f"the alias *{anchor} has no anchor &{anchor} before it")
        node = self._anchors[anchor]
        if node is None:
            raise _error(where, f"the alias *{anchor} contains itself")
        return self._copy(node, where, depth)

    def _copy(self, node: Node, where: Location, depth: int) -> Node:
        """Copy an anchored node: an override of one use must not change the others."""
        self._aliased += 1
        if self._aliased > MAX_ALIASED:
            raise _error(where, f"the aliases repeat more than {MAX_ALIASED} values")
        if depth > MAX_DEPTH:
            raise _error(where, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(node, ScalarNode):
            return replace(node)
        if isinstance(node, SequenceNode):
            items = [self._copy(item, where, depth + 1) for item in node.items]
            return SequenceNode(node.where, items)
        entries = {
            key: replace(entry, node=self._copy(entry.node, where, depth + 1))
            for key, entry in node.entries.items()
        }
        return MappingNode(node.where, entries)


def _is_merge(event: Any) -> bool:
    if not isinstance(event, yaml.ScalarEvent) or event.value != "<<":
        return False
    return event.tag == _MERGE or (event.tag is None and event.implicit[0])
