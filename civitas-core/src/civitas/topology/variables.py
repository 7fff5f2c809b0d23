"""`${VAR}` and `${VAR:-default}` in the texts of a topology; the variables are arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from civitas.topology.problems import Problem, did_you_mean
from civitas.topology.yaml_nodes import Node, ScalarNode, dotted, scalars
from civitas.topology.yaml_scalars import read_plain

_OPENING: Final = "${"
_FORM: Final = "write ${NAME} or ${NAME:-default}, or $${ for the characters themselves"
_OPENINGS: Final = re.compile(r"\$?\$\{")
_HEAD: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\}|:-)")
_BRACES: Final = re.compile(r"[{}]")
_DEEPEST: Final = 20


class Interpolated(NamedTuple):
    """What became of a text: which variables have no value, and which have one.

    It is unchanged when malformed.
    """

    text: str
    missing: tuple[str, ...] = ()
    malformed: bool = False
    used: Mapping[str, str] = {}


class _MalformedError(Exception):
    """A `${` that does not begin a variable."""


def expand(root: Node, variables: Mapping[str, str]) -> list[Problem]:
    """Replace `${VAR}` in every text of a topology, in place.

    Text that stood without quotes is read again as YAML reads it, so `${SIZE:-100}` is a number;
    text in quotes stays text. Returns a problem for each variable without a value and each `${`
    that can't be read.
    """
    return [
        Problem(node.where, dotted(path), message, suggestion)
        for path, node in scalars(root)
        if isinstance(node.value, str) and _OPENING in node.value
        for message, suggestion in _expand_scalar(node, variables)
    ]


def _expand_scalar(node: ScalarNode, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Replace the variables of a text; yield what is wrong with it, each with a suggestion."""
    result = interpolate(node.value, variables)
    if result.malformed:
        yield f"{_OPENING!r} does not begin a variable here", _FORM
    for name in dict.fromkeys(result.missing):
        suggestion = did_you_mean(name, variables, f"set it, or write ${{{name}:-default}}")
        yield f"the environment variable {name!r} is not set", suggestion
    if result.malformed or result.missing:
        return
    node.variables = result.used
    try:
        node.value = read_plain(result.text) if node.plain else result.text
    except ValueError as error:
        node.value = result.text
        yield f"{error} (the variables make it)", ""


def interpolate(text: str, variables: Mapping[str, str]) -> Interpolated:
    """Replace the variables in a text.

    `${NAME}` becomes the variable's value. `${NAME:-default}` becomes the default when the
    variable is unset or empty, as in a POSIX shell; a default may hold variables itself, and
    braces in it must be balanced. `$${` becomes `${`. A value is never read for variables again.
    """
    used: dict[str, str | None] = {}
    try:
        result = _replace(text, variables, used, _DEEPEST)
    except _MalformedError:
        return Interpolated(text, malformed=True)
    missing = tuple(name for name, value in used.items() if value is None)
    return Interpolated(result, missing, used={k: v for k, v in used.items() if v is not None})


def _replace(
    text: str, variables: Mapping[str, str], used: dict[str, str | None], deepest: int
) -> str:
    if deepest == 0:
        raise _MalformedError
    parts: list[str] = []
    position = 0
    while opening := _OPENINGS.search(text, position):
        parts.append(text[position : opening.start()])
        position = opening.end()
        if opening[0] != _OPENING:
            parts.append(_OPENING)
            continue
        name, default, position = _variable(text, position)
        value = variables.get(name)
        if default is not None and not value:
            value = _replace(default, variables, used, deepest - 1)
        used[name] = value
        parts.append(value or "")
    parts.append(text[position:])
    return "".join(parts)


def _variable(text: str, position: int) -> tuple[str, str | None, int]:
    """Read a variable after its `${`: name, default, and the position after the `}`."""
    head = _HEAD.match(text, position)
    if head is None:
        raise _MalformedError
    if head[2] == "}":
        return head[1], None, head.end()
    open_braces = 1
    for brace in _BRACES.finditer(text, head.end()):
        open_braces += 1 if brace[0] == "{" else -1
        if open_braces == 0:
            return head[1], text[head.end() : brace.start()], brace.end()
    raise _MalformedError
