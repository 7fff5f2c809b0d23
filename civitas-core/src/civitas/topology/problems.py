"""The problems of a topology, and the error that lists all of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from civitas.errors import ConfigurationError, Location, PluginError
from civitas.plugins.errors import closest
from civitas.topology.yaml_nodes import Node, Path, dotted, locate


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
        path = f"{self.path}: " if self.path else ""
        suggestion = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.location}: {path}{self.message}{suggestion}"


class MistakeError(Exception):
    """What is wrong with a value, raised where its place in the topology is not known.

    Attributes:
        suggestion: what to do about it.
    """

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


def problem_at(root: Node, path: Path, message: str, suggestion: str = "") -> Problem:
    """Return a problem of what stands at a path of the topology, with its line."""
    return Problem(locate(root, path), dotted(path), message, suggestion)


class TopologyError(ConfigurationError):
    """A topology has mistakes; the text lists all of them, one for each line, by line.

    Attributes:
        problems: the mistakes, sorted by line; those of command-line options come last.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_by_line))
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"the topology has {len(lines)} problems")
        super().__init__("\n".join(lines))


class TopologyPluginError(TopologyError, PluginError):
    """A topology has mistakes, and a transport or a serializer that can't be used is among them.

    The plugin's own error is the `cause` of its problem; this error is chained from the first,
    and has its `code`.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.code = _plugin_errors(self.problems)[0].code


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise when there are problems.

    Raises:
        TopologyPluginError: a transport or a serializer can't be used; chained from its cause.
        TopologyError: everything else; chained from the first cause.
    """
    if not problems:
        return
    of_plugins = _plugin_errors(problems)
    error = TopologyPluginError(problems) if of_plugins else TopologyError(problems)
    causes = [each.cause for each in error.problems if each.cause is not None]
    raise error from next(iter([*of_plugins, *causes]), None)


def did_you_mean(wrong: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a suggestion: the known name that is closest to the wrong one, or `otherwise`."""
    meant = closest(wrong, known)
    return f"did you mean {meant!r}?" if meant is not None else otherwise


def _plugin_errors(problems: Iterable[Problem]) -> list[PluginError]:
    causes = (each.cause for each in sorted(problems, key=_by_line))
    return [cause for cause in causes if isinstance(cause, PluginError)]


def _by_line(problem: Problem) -> tuple[bool, int, str]:
    line = problem.location.line
    return line is None, line or 0, problem.path
