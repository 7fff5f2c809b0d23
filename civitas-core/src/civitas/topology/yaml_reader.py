"""The YAML reader: from text to nodes that know their lines, within bounds.

Mistakes get their line here: those of the syntax at once, all others from the nodes.

The tree is built from parser events: composing nodes in libyaml recurses in C without a limit, so
deep nesting would end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple

import yaml

from civitas.errors import Location
from civitas.topology.problems import Problem, TopologyError
from civitas.topology.yaml_nodes import (
    MAX_DEPTH,
    Entry,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
)

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_ALIASED: Final = 100_000
"""Nodes that aliases may repeat in one document; nested aliases multiply (CWE-776)."""

_MERGE: Final = "tag:yaml.org,2002:merge"
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "value", "merge", "timestamp")
)
"""Scalars that stay text: dates too, because a topology holds what JSON could hold."""
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
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
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

    A key given twice, or a value of an unknown type, is a problem of the result.

    Args:
        text: one document.
        locate: makes the location of a line, counted from 1.

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


def retype(text: str) -> Any:
    """Return the value that text without quotes has in YAML: `5` is a number, `yes` is true.

    Raises:
        ValueError: it looks like a number and is none, such as one of 5,000 digits.
    """
    tag: str = _resolver().resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _construct(tag, text)


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


@cache
def _resolver() -> yaml.resolver.Resolver:
    return yaml.resolver.Resolver()


def _construct(tag: str, text: str) -> Any:
    """Return the value of a scalar.

    Raises:
        ValueError: the text is no value of this type, or the type is unknown.
    """
    if tag in _PLAIN_TAGS:
        return text
    constructor = yaml.constructor.SafeConstructor()
    try:
        return constructor.construct_object(yaml.ScalarNode(tag, text))
    except yaml.YAMLError as error:
        raise ValueError(_meaningless(tag)) from error


def _meaningless(tag: str) -> str:
    return f"the YAML tag {tag!r} has no meaning here"


class _Composer:
    """Builds the tree of one document from the events of a loader."""

    def __init__(self, loader: Any, locate: Callable[[int], Location]) -> None:
        self._loader = loader
        self._locate = locate
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node] = {}
        self._open_anchors: set[str] = set()
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

    def _complain(self, where: Location, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(where, "", message, suggestion))

    def _next(self) -> Any:
        return self._loader.get_event()

    def _where(self, event: Any) -> Location:
        return self._locate(event.start_mark.line + 1)

    def _node(self, event: Any, depth: int) -> Node:
        where = self._where(event)
        if depth > MAX_DEPTH:
            raise _error(where, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, where, depth)
        anchor = event.anchor
        if anchor is not None:
            self._open_anchors.add(anchor)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, where)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(where, depth)
        else:
            node = self._mapping(where, depth)
        if not isinstance(node, ScalarNode) and event.tag not in _CONTAINER_TAGS:
            self._complain(where, _meaningless(event.tag))
        if anchor is not None:
            self._open_anchors.discard(anchor)
            self._anchors[anchor] = node
        return node

    def _scalar(self, event: yaml.ScalarEvent, where: Location) -> ScalarNode:
        plain = event.tag is None and event.implicit[0]
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        value = event.value
        try:
            value = _construct(tag, value)
        except ValueError as error:
            self._complain(where, str(error))
        return ScalarNode(where, value, plain)

    def _sequence(self, where: Location, depth: int) -> SequenceNode:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return SequenceNode(where, items)

    def _mapping(self, where: Location, depth: int) -> MappingNode:
        entries: dict[Any, Entry] = {}
        merged: list[Node] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key_where = self._where(event)
            if self._is_merge(event):
                merged += self._merge_sources(depth)
                continue
            key = self._key(event, key_where, depth)
            node = self._node(self._next(), depth + 1)
            if key in entries:
                again = f"the key {str(key)!r} stands here already, at {entries[key].where}"
                self._complain(key_where, again, "remove one of the two")
            else:
                entries[key] = Entry(key_where, node)
        for source in merged:
            if not isinstance(source, MappingNode):
                self._complain(source.where, "`<<` merges mappings only")
                continue
            for key, entry in source.entries.items():
                entries.setdefault(key, entry)
        return MappingNode(where, entries)

    def _is_merge(self, event: Any) -> bool:
        return (
            isinstance(event, yaml.ScalarEvent)
            and event.value == "<<"
            and (event.tag == _MERGE or (event.tag is None and event.implicit[0]))
        )

    def _merge_sources(self, depth: int) -> list[Node]:
        """Return what `<<` names: one mapping or a list of them, the first one winning."""
        source = self._node(self._next(), depth + 1)
        if isinstance(source, SequenceNode):
            return source.items
        return [source]

    def _key(self, event: Any, where: Location, depth: int) -> Any:
        node = self._node(event, depth + 1)
        if not isinstance(node, ScalarNode):
            raise _error(where, "a key must be text, not a list or a mapping")
        return node.value

    def _alias(self, anchor: Any, where: Location, depth: int) -> Node:
        if anchor in self._open_anchors:
            raise _error(where, f"the alias *{anchor} contains itself")
        if anchor not in self._anchors:
            raise _error(where, f"the alias *{anchor} has no anchor &{anchor} before it")
        return self._copy(self._anchors[anchor], where, depth)

    def _copy(self, node: Node, where: Location, depth: int) -> Node:
        """Copy an anchored node: an override of one use must not change the others."""
        self._aliased += 1
        if self._aliased > MAX_ALIASED:
            raise _error(where, f"the aliases repeat more than {MAX_ALIASED} values")
        if depth > MAX_DEPTH:
            raise _error(where, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(node, ScalarNode):
            return ScalarNode(node.where, node.value, node.plain)
        if isinstance(node, SequenceNode):
            items = [self._copy(item, where, depth + 1) for item in node.items]
            return SequenceNode(node.where, items)
        entries = {
            key: Entry(entry.where, self._copy(entry.node, where, depth + 1))
            for key, entry in node.entries.items()
        }
        return MappingNode(node.where, entries)
