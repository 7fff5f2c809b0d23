"""The errors of plugins that can't be used: one class for each state, with what to do about it.

`selection` raises them, all but "broken", which `guard` raises around a plugin's own code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from civitas.errors import Location, PluginError
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.compatibility import Incompatibility
from civitas.plugins.similar import closest


class UnusablePluginError(PluginError):
    """A plugin can't be used. Raised as one of the subclasses below.

    Attributes:
        kind: what was looked for; `None` when it could have been of any kind.
        name: the plugin's name as the topology gives it.
        problem: what is wrong and what to do, without the place and the interpreter.
        where: the place in the topology that names the plugin, if one does.
        interpreter: path of the interpreter whose packages were searched.
        candidates: the installed plugins that this is about.
    """

    def __init__(
        self,
        kind: PluginKind | None,
        name: str,
        problem: str,
        where: Location | None = None,
        candidates: Iterable[Candidate] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.problem = problem
        self.where = where
        self.interpreter = sys.executable
        self.candidates = tuple(candidates)
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{problem} [{self.code}; Python: {self.interpreter}]")

    @property
    def distributions(self) -> tuple[str, ...]:
        """The distributions that this is about, by name."""
        return tuple(dict.fromkeys(each.distribution for each in self.candidates))

    def as_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON-like values, for programs."""
        return {
            "code": self.code,
            "kind": self.kind.value if self.kind else None,
            "name": self.name,
            "problem": self.problem,
            "file": self.where.file if self.where else None,
            "line": self.where.line if self.where else None,
            "interpreter": self.interpreter,
            "distributions": [
                {"name": each.distribution, "version": each.version} for each in self.candidates
            ],
        }


class UnknownPluginError(UnusablePluginError):
    """Nothing that is installed or known has this name."""

    code = "plugin-unknown"

    def __init__(
        self,
        kind: PluginKind | None,
        name: str,
        *,
        installed: Sequence[str],
        known: Mapping[str, str],
        hint: str = "",
        where: Location | None = None,
    ) -> None:
        """Compose the message; `hint` explains the likely mistake, where one is known."""
        self.suggestion = closest(name, [*installed, *known])
        end = f": did you mean {self.suggestion!r}?" if self.suggestion else "."
        parts = [f"unknown {kind.value if kind else 'plugin'} {name!r}{end}"]
        if hint:
            parts.append(f"{hint}.")
        parts.append(f"Installed: {', '.join(installed) or 'none'}.")
        if known:
            offers = (f'{each} (pip install "{known[each]}")' for each in known)
            parts.append(f"Known but not installed: {', '.join(offers)}.")
        super().__init__(kind, name, " ".join(parts), where)


class PluginNotInstalledError(UnusablePluginError):
    """The distribution that offers this name is known, and is not installed.

    Attributes:
        requirement: the distribution to install.
    """

    code = "plugin-not-installed"

    def __init__(
        self, kind: PluginKind, name: str, requirement: str, where: Location | None = None
    ) -> None:
        self.requirement = requirement
        problem = f'{kind.value} {name!r} is not installed; run: pip install "{requirement}"'
        super().__init__(kind, name, problem, where)


class BrokenPluginError(UnusablePluginError):
    """The plugin is there and does not work.

    Attributes:
        cause: what exactly failed.
    """

    code = "plugin-broken"

    def __init__(self, candidate: Candidate, cause: str, where: Location | None = None) -> None:
        self.cause = cause
        problem = f"{candidate.title} is broken: {cause}"
        super().__init__(candidate.kind, candidate.name, problem, where, [candidate])


class IncompatiblePluginError(UnusablePluginError):
    """The plugin was made for another plugin API, or for other versions of core.

    Attributes:
        upgrade: the requirement to give to `pip install --upgrade`.
    """

    code = "plugin-incompatible"

    def __init__(
        self, candidate: Candidate, reason: Incompatibility, where: Location | None = None
    ) -> None:
        self.upgrade = reason.upgrade
        problem = f"{candidate.title} {reason.reason}; run: {reason.command}"
        super().__init__(candidate.kind, candidate.name, problem, where, [candidate])


class DisabledPluginError(UnusablePluginError):
    """A setting forbids the plugin, which has not been imported.

    Attributes:
        setting: which setting, and which entry of it.
    """

    code = "plugin-disabled"

    def __init__(self, candidate: Candidate, setting: str, where: Location | None = None) -> None:
        self.setting = setting
        problem = (
            f"{candidate.title} is disabled by the environment variable {setting}; change it, or "
            f"choose another {candidate.kind.value}"
        )
        super().__init__(candidate.kind, candidate.name, problem, where, [candidate])


class PluginConflictError(UnusablePluginError):
    """Two distributions offer one name, or one offers the name of a built-in."""

    code = "plugin-conflict"

    def __init__(self, candidates: Sequence[Candidate], where: Location | None = None) -> None:
        first = candidates[0]
        problem = f"{first.kind.value} {first.name!r} is "
        if first.builtin:
            problem += (
                f"built in and can't be replaced by {_origins(candidates[1:])}; for the built-in "
                f"write {first.name!r}, and ask the author of the other to give it a name of its "
                "own"
            )
        else:
            key = "serializer" if first.kind is PluginKind.SERIALIZER else "type"
            choices = " or ".join(f'{key}: "{each.qualified_name}"' for each in candidates)
            problem += (
                f"offered by {_origins(candidates)}; choose with {choices}, or uninstall what you "
                "don't need"
            )
        super().__init__(first.kind, first.name, problem, where, candidates)


def _origins(candidates: Iterable[Candidate]) -> str:
    *most, last = (each.origin for each in candidates)
    return f"{', '.join(most)} and {last}" if most else last
