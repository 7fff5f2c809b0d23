"""The state of every plugin, for lists: what is installed, disabled, in conflict, or missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from civitas.plugins import catalog
from civitas.plugins.catalog import Candidate, PluginKind
from civitas.plugins.compatibility import incompatibility
from civitas.plugins.selection import Policy


class State(Enum):
    """What is known of a plugin without importing it."""

    OK = "ok"
    """It is installed and allowed. Only `civitas plugins check` finds out whether it works."""
    DISABLED = "disabled"
    CONFLICT = "conflict"
    SHADOWS_BUILTIN = "shadows-builtin"
    INCOMPATIBLE = "incompatible"
    BROKEN = "broken"
    """Its metadata can't be read, or it has a name that no topology can say."""
    MISPLACED = "misplaced"
    """It is in a group of entry points that nothing reads."""
    NOT_INSTALLED = "not-installed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a list of plugins: which one, its state, and what to know of that.

    A plugin that is not installed has no candidate, and the distribution is the one to install.
    """

    kind: PluginKind
    name: str
    state: State
    distribution: str
    candidate: Candidate | None = None
    note: str = ""


def survey(kind: PluginKind, installed: Sequence[Candidate], policy: Policy) -> list[Finding]:
    """Judge every plugin of a kind by metadata and settings alone.

    `installed` is what `catalog.scan` found, or `catalog.scan_all`. Built-ins come first, then
    third parties by name, then those that are known but not installed, then those that nothing
    reads.
    """
    present = catalog.usable(installed, kind)
    namesakes: dict[str, list[Candidate]] = {}
    for each in present:
        namesakes.setdefault(each.name, []).append(each)
    findings = [
        _finding(each, *_state(each, namesakes.get(each.name, ()), policy))
        for each in (*catalog.builtins(kind), *present)
    ]
    findings += [
        _finding(each, State.INCOMPATIBLE, f"{reason.reason}; {reason.command}")
        for each in catalog.foreign(installed, kind)
        if (reason := incompatibility(each))
    ]
    names = {each.name for each in findings}
    findings += [
        Finding(kind, name, State.NOT_INSTALLED, distribution, note=f'pip install "{distribution}"')
        for name, distribution in catalog.known_distributions(kind).items()
        if name not in names
    ]
    findings += [
        _finding(each, State.MISPLACED, f"in {catalog.misplacement(each)}")
        for each in catalog.astray(installed, kind)
    ]
    return findings


def _finding(candidate: Candidate, state: State, note: str) -> Finding:
    return Finding(candidate.kind, candidate.name, state, candidate.distribution, candidate, note)


def _state(
    candidate: Candidate, namesakes: Sequence[Candidate], policy: Policy
) -> tuple[State, str]:
    """Return the state of a plugin for this plugin API, and what to know of it."""
    if not candidate.builtin and catalog.builtin(candidate.kind, candidate.name):
        return State.SHADOWS_BUILTIN, "never used: the built-in can't be replaced"
    if objection := policy.objection(candidate):
        return State.DISABLED, f"by {objection}"
    if problem := candidate.damage or catalog.name_problem(candidate.name):
        return State.BROKEN, problem
    rivals = [
        each.origin
        for each in namesakes
        if each.owner != candidate.owner and policy.objection(each) is None
    ]
    if rivals and not candidate.builtin:
        choice = f'choose with "{candidate.qualified_name}"'
        return State.CONFLICT, f"also offered by {', '.join(rivals)}; {choice}"
    if reason := incompatibility(candidate):
        return State.INCOMPATIBLE, f"{reason.reason}; {reason.command}"
    return State.OK, ""
