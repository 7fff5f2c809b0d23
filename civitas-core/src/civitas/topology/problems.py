"""The problems of a topology, how they are worded, and the error that lists all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NamedTuple

from civitas.errors import ConfigurationError, Location, PluginError, printable
from civitas.plugins.similar import closest
from civitas.topology.yaml_nodes import Node, Path, dotted, locate

_TEXTS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "invalid_key": "a key must be text",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "finite_number": "must be a finite number",
    "too_short": "needs at least {min_length}, and has {actual_length}",
    "too_long": "has at most {max_length}, and has {actual_length}",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "has at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "union_tag_invalid": "{discriminator} must be {expected_tags}",
    "union_tag_not_found": "needs {discriminator}, which says what it is",
    "callable_type": "must be a function, which only code can give",
    "is_instance_of": "must be of the class {class}",
}
_EXPECTED: Final[Mapping[str, str]] = {
    kind: expected
    for expected, kinds in {
        "a whole number": ("int_type", "int_parsing", "int_from_float"),
        "a number": ("float_type", "float_parsing"),
        "true or false": ("bool_type", "bool_parsing"),
        "text": ("string_type", "path_type", "bytes_type", "string_sub_type"),
        "a list": tuple(
            f"{kind}_type" for kind in ("list", "tuple", "set", "frozen_set", "deque", "iterable")
        ),
        "a mapping": tuple(
            f"{kind}_type" for kind in ("dict", "mapping", "model", "model_attributes", "dataclass")
        ),
    }.items()
    for kind in kinds
}
_BEGINNINGS: Final = {
    "Value error, ": "",
    "Assertion failed, ": "",
    "Input should be ": "must be ",
    "Input is not ": "is not ",
}
"""How messages of pydantic begin, and how they begin here."""
_WORDS: Final = {int | float: "a number", str: "text", list: "a list", Mapping: "a mapping"}
REMOVE_QUOTES: Final = "remove the quotes"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a topology, worded for the person who must fix it.

    Attributes:
        location: file and line, or the option that set the value (`--set transport.type`).
        path: where in the topology, in the form that `--set` takes: `supervision.children.0`.
        message: what is wrong.
        suggestion: what to do about it; empty when the message says it already.
        code: stable, for programs; that of the plugin error where a plugin is the cause.
        cause: the error that this problem reports, such as that of a plugin.
    """

    location: Location
    path: str
    message: str
    suggestion: str = ""
    code: str = ConfigurationError.code
    cause: Exception | None = None

    def __str__(self) -> str:
        is_named = str(self.location).endswith(f" {self.path}")  # by `--set`
        path = f"{self.path}: " if self.path and not is_named else ""
        suggestion = f" ({self.suggestion})" if self.suggestion else ""
        return printable(f"{self.location}: {path}{self.message}{suggestion}", sys.maxsize)


class MistakeError(Exception):
    """What is wrong with a value, raised where its place in the topology is not known."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


def problem_at(root: Node, path: Path, message: str, suggestion: str = "") -> Problem:
    """Return a problem of what stands at a path of the topology, with its line."""
    return Problem(locate(root, path), dotted(path), message, suggestion)


class TopologyError(ConfigurationError):
    """A topology has mistakes; the text lists all of them, one for each line, by file and line.

    Attributes:
        problems: the mistakes, sorted by file and line; those of variables and options come last.
        lines: the lines of the text.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_place_of))
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"the topology has {len(lines)} problems")
        self.lines = tuple(lines)
        super().__init__("\n".join(lines))

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _place_of(problem: Problem) -> tuple[bool, str, int, str]:
    file, line = problem.location
    return (True, "", 0, problem.path) if line is None else (False, file, line, problem.path)


class TopologyPluginError(TopologyError, PluginError):
    """A topology has mistakes, and a plugin that can't be used is among them.

    The plugin's own error is the `cause` of its problem; this error is chained from the first,
    and has its `code`.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        causes = (each.cause for each in self.problems)
        self.code = next(each.code for each in causes if isinstance(each, PluginError))


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise when there are problems.

    Raises:
        TopologyPluginError: a plugin can't be used; chained from its cause.
        TopologyError: everything else; chained from the first cause.
    """
    if not problems:
        return
    of_plugins = any(isinstance(each.cause, PluginError) for each in problems)
    error = TopologyPluginError(problems) if of_plugins else TopologyError(problems)
    causes = [each.cause for each in error.problems if each.cause is not None]
    causes.sort(key=lambda each: not isinstance(each, PluginError))
    raise error from next(iter(causes), None)


def did_you_mean(wrong: str, known: Collection[str], otherwise: str = "") -> str:
    """Return a suggestion: the known name that is closest to the wrong one, or `otherwise`."""
    meant = closest(wrong, known)
    return f"did you mean {meant!r}?" if meant is not None else otherwise


class Explanation(NamedTuple):
    """What is wrong and what to do, for one error of pydantic."""

    message: str
    suggestion: str = ""


def explain(error: Mapping[str, Any]) -> Explanation:
    """Explain one entry of `ValidationError.errors()`. The offending value is not repeated."""
    kind = error["type"]
    value = error.get("input")
    expected = _EXPECTED.get(kind)
    if expected is not None:
        return Explanation(f"must be {expected}, not {kind_of(value)}", _hint(expected, value))
    if kind in _TEXTS:
        context = error.get("ctx", {}).items()
        shown = {key: f"{each:g}" if isinstance(each, float) else each for key, each in context}
        return Explanation(_TEXTS[kind].format_map(shown))
    message = str(error["msg"])
    for begin, instead in _BEGINNINGS.items():
        if message.startswith(begin):
            message = instead + message.removeprefix(begin)
    return Explanation(message)


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of a topology."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, word in _WORDS.items():
        if isinstance(value, kind):
            return word
    return type(value).__name__


def _hint(expected: str, value: Any) -> str:
    if expected == "text" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if not isinstance(value, str):
        return ""
    if expected == "true or false":
        return REMOVE_QUOTES if value.lower() in ("true", "false") else ""
    try:
        is_number = isfinite(float(value))
    except ValueError:
        return ""
    return REMOVE_QUOTES if is_number and expected in ("a whole number", "a number") else ""
