"""Selection: the one installed plugin that a name such as `type: NAME` means, or why there is none.

It reads metadata only; `loader` imports what is selected here. Two environment variables say which
plugins may be imported at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from civitas.errors import Location
from civitas.plugins import catalog, errors
from civitas.plugins.catalog import Candidate, PluginKind, Reference
from civitas.plugins.compatibility import incompatibility
from civitas.plugins.metadata import closed_folders, normalise

ALLOW_SETTING: Final = "CIVITAS_PLUGINS"
DENY_SETTING: Final = "CIVITAS_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the two settings say.

    An entry is the name of a plugin, the name of a distribution, or `distribution:name`; it holds
    for plugins of every kind.

    Attributes:
        allowed: entries of `CIVITAS_PLUGINS`; `None` when it is not set, so that all are allowed.
            Set but empty, it allows the built-ins alone, which it never excludes.
        denied: entries of `CIVITAS_DISABLE_PLUGINS`. They outweigh the allowed ones, and a
            built-in that is named here is disabled too.
    """

    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Policy:
        """Read the settings."""
        allowed = environment.get(ALLOW_SETTING)
        denied = _entries(environment.get(DENY_SETTING, ""))
        return cls(None if allowed is None else _entries(allowed), denied)

    def objection(self, candidate: Candidate) -> str | None:
        """Say which setting disables the candidate; `None` when it may be imported."""
        for entry in self.denied:
            if _matches(entry, candidate):
                return f"{DENY_SETTING} (its entry {entry!r})"
        if self.allowed is None or candidate.builtin:
            return None
        if any(_matches(entry, candidate) for entry in self.allowed):
            return None
        listed = ", ".join(map(repr, self.allowed))
        allowed = f"{listed} and the built-ins" if listed else "the built-ins alone"
        return f"{ALLOW_SETTING} (it allows {allowed})"

    def idle_entries(self, candidates: Iterable[Candidate]) -> list[tuple[str, str]]:
        """Return (setting, entry) for each entry that fits none of the candidates: a typo?"""
        candidates = list(candidates)
        settings = ((ALLOW_SETTING, self.allowed or ()), (DENY_SETTING, self.denied))
        return [
            (setting, entry)
            for setting, entries in settings
            for entry in entries
            if not any(_matches(entry, candidate) for candidate in candidates)
        ]


def select(kind: PluginKind, name: str, where: Location | None = None) -> Candidate:
    """Return the plugin that a topology names, as `name` or `distribution:name`.

    A built-in is found without reading any metadata. The settings are applied.

    Raises:
        UnusablePluginError: one of its subclasses, for every state but "broken".
    """
    reference = Reference.parse(name)
    policy = Policy.from_environment()
    own = catalog.builtin(kind, reference.name)
    if own is not None and reference.fits(own):
        return _permitted([own], policy, where)
    named = catalog.scan(reference.name)
    offers = [each for each in catalog.usable(named, kind) if reference.fits(each)]
    if own is not None and offers:
        raise errors.PluginConflictError([own, *offers], where)
    if offers:
        return _permitted(offers, policy, where)
    raise _absence(kind, name, catalog.scan_all(), where)


def _permitted(offers: Sequence[Candidate], policy: Policy, where: Location | None) -> Candidate:
    """Return the one usable offer that the settings leave, which may decide a conflict."""
    objections = [policy.objection(each) for each in offers]
    left = [each for each, setting in zip(offers, objections, strict=True) if setting is None]
    if not left:
        raise errors.DisabledPluginError(offers[0], str(objections[0]), where)
    if len({each.owner for each in left}) > 1:
        raise errors.PluginConflictError(left, where)
    if len(left) > 1:
        twice = (
            f"it declares this entry point twice, as {' and '.join(each.value for each in left)}"
        )
        raise errors.BrokenPluginError(left[0], twice, where)
    if left[0].damage:
        raise errors.BrokenPluginError(left[0], left[0].damage, where)
    if problem := catalog.name_problem(left[0].name):
        raise errors.BrokenPluginError(left[0], problem, where)
    if reason := incompatibility(left[0]):
        raise errors.IncompatiblePluginError(left[0], reason, where)
    return left[0]


def _absence(
    kind: PluginKind, name: str, installed: Sequence[Candidate], where: Location | None
) -> errors.UnusablePluginError:
    """Return the diagnosis for a name that no plugin of this API offers."""
    reference = Reference.parse(name)
    for candidate in catalog.foreign(installed, kind):
        if reference.fits(candidate) and (reason := incompatibility(candidate)):
            return errors.IncompatiblePluginError(candidate, reason, where)
    for candidate in catalog.usable(installed, kind):
        problem = catalog.name_problem(candidate.name)
        if problem and name in (candidate.name, candidate.qualified_name):
            return errors.BrokenPluginError(candidate, problem, where)
    requirement = catalog.known_distributions(kind).get(reference.name)
    if requirement is not None and reference.means(reference.name, requirement):
        if present := _present(kind, reference.name, requirement, installed):
            return errors.BrokenPluginError(*present, where)
        return errors.PluginNotInstalledError(kind, name, requirement, where)
    return unknown_plugin([kind], name, installed, where)


def _present(
    kind: PluginKind, name: str, distribution: str, installed: Sequence[Candidate]
) -> tuple[Candidate, str] | None:
    """Return the distribution that should offer a name, if it is there, and why it does not."""
    owner = normalise(distribution)
    for each in installed:
        if each.owner == owner:
            lacking = replace(each, kind=kind, name=name)
            what = catalog.misplacement(each) if each in catalog.astray([each], each.kind) else ""
            return lacking, f"it is in {what}" if what else "this version of it offers no such name"
    for folder in closed_folders():
        unseen = Candidate(kind, name, "", distribution, "", kind.group)
        return unseen, f"it may be in {folder}, which is on Python's path and can't be read"
    return None


def unknown_plugin(
    kinds: Sequence[PluginKind],
    name: str,
    installed: Sequence[Candidate],
    where: Location | None = None,
) -> errors.UnknownPluginError:
    """Return the error for a name that none of `installed`, what `scan_all` found, has."""
    names: list[str] = []
    known: dict[str, str] = {}
    for kind in kinds:
        offers = [*catalog.builtins(kind), *catalog.usable(installed, kind)]
        present = [each.name for each in offers]
        names += [e.name for e in offers if not (e.damage or catalog.name_problem(e.name))]
        known |= {k: v for k, v in catalog.known_distributions(kind).items() if k not in present}
    return errors.UnknownPluginError(
        kinds[0] if len(kinds) == 1 else None,
        name,
        installed=list(dict.fromkeys(names)),
        known=known,
        hint=_hint(kinds, Reference.parse(name), installed),
        where=where,
    )


def _hint(kinds: Sequence[PluginKind], reference: Reference, installed: Sequence[Candidate]) -> str:
    """Say what a name is, where it is something else, or elsewhere, than was looked for."""
    for kind in PluginKind:
        offers = [each for each in catalog.usable(installed, kind) if each.name == reference.name]
        own = catalog.builtin(kind, reference.name)
        if kind not in kinds and (own or offers):
            return f"{reference.name!r} is {kind.article}"
        if kind in kinds and reference.distribution is not None and (own or offers):
            owners = [each.distribution for each in offers] or [catalog.CORE_DISTRIBUTION]
            return f"{reference.name!r} is offered by {', '.join(owners)}"
    for each in installed:
        if each.name == catalog.UNREADABLE:
            return f"{each.origin} may offer it, and is broken: {each.damage}"
    for kind in kinds:
        for each in catalog.astray(installed, kind):
            if reference.fits(each):
                return f"{each.origin} offers it in {catalog.misplacement(each)}"
    return ""


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry for part in text.split(",") if (entry := part.strip()))


def _matches(entry: str, candidate: Candidate) -> bool:
    return Reference.parse(entry).fits(candidate) or normalise(entry) == candidate.owner
