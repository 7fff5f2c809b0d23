"""Selection: the one installed plugin that a name such as `type: NAME` means, or why there is none.

It reads metadata only; `loader` imports what is selected here.
"""

from __future__ import annotations

from collections.abc import Sequence

from civitas.errors import Location
from civitas.plugins.catalog import (
    CORE_DISTRIBUTION,
    Candidate,
    PluginKind,
    Reference,
    astray,
    builtin,
    builtins,
    foreign,
    known_distributions,
    misplacement,
    name_problem,
    scan,
    scan_all,
    usable,
)
from civitas.plugins.compatibility import incompatibility
from civitas.plugins.errors import (
    BrokenPluginError,
    DisabledPluginError,
    IncompatiblePluginError,
    PluginConflictError,
    PluginNotInstalledError,
    UnknownPluginError,
    UnusablePluginError,
)
from civitas.plugins.policy import Policy


def select(kind: PluginKind, name: str, where: Location | None = None) -> Candidate:
    """Return the plugin that a topology names, as `name` or `distribution:name`.

    A built-in is found without reading any metadata. The settings of `policy` are applied.

    Raises:
        UnusablePluginError: one of its subclasses, for every state but "broken".
    """
    reference = Reference.parse(name)
    policy = Policy.from_environment()
    own = builtin(kind, reference.name)
    if own is not None and reference.fits(own):
        return _permitted([own], policy, where)
    named = scan(reference.name)
    offers = [each for each in usable(named, kind) if reference.fits(each)]
    if own is not None and offers:
        raise PluginConflictError([own, *offers], where)
    if offers:
        return _permitted(offers, policy, where)
    raise _absence(kind, name, scan_all(), where)


def _permitted(offers: Sequence[Candidate], policy: Policy, where: Location | None) -> Candidate:
    """Return the one usable offer that the settings leave, which may decide a conflict."""
    objections = [policy.objection(each) for each in offers]
    left = [each for each, setting in zip(offers, objections, strict=True) if setting is None]
    if not left:
        raise DisabledPluginError(offers[0], str(objections[0]), where)
    if len({each.owner for each in left}) > 1:
        raise PluginConflictError(left, where)
    if len(left) > 1:
        values = " and ".join(each.value for each in left)
        raise BrokenPluginError(left[0], f"it declares this entry point twice, as {values}", where)
    if problem := name_problem(left[0].name):
        raise BrokenPluginError(left[0], problem, where)
    if reason := incompatibility(left[0]):
        raise IncompatiblePluginError(left[0], reason, where)
    return left[0]


def _absence(
    kind: PluginKind, name: str, installed: Sequence[Candidate], where: Location | None
) -> UnusablePluginError:
    """Return the diagnosis for a name that no plugin of this API offers."""
    reference = Reference.parse(name)
    for candidate in foreign(installed, kind):
        if reference.fits(candidate) and (reason := incompatibility(candidate)):
            return IncompatiblePluginError(candidate, reason, where)
    for candidate in usable(installed, kind):
        if name in (candidate.name, candidate.qualified_name) and (
            problem := name_problem(candidate.name)
        ):
            return BrokenPluginError(candidate, problem, where)
    requirement = known_distributions(kind).get(reference.name)
    if requirement is not None and reference.means(reference.name, requirement):
        return PluginNotInstalledError(kind, name, requirement, where)
    return unknown_plugin([kind], name, installed, where)


def unknown_plugin(
    kinds: Sequence[PluginKind],
    name: str,
    installed: Sequence[Candidate],
    where: Location | None = None,
) -> UnknownPluginError:
    """Return the error for a name that none of `installed`, what `scan_all` found, has."""
    names: list[str] = []
    known: dict[str, str] = {}
    for kind in kinds:
        present = [each.name for each in [*builtins(kind), *usable(installed, kind)]]
        names += [each for each in present if name_problem(each) is None]
        known |= {k: v for k, v in known_distributions(kind).items() if k not in present}
    return UnknownPluginError(
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
        offers = [each for each in usable(installed, kind) if each.name == reference.name]
        own = builtin(kind, reference.name)
        if kind not in kinds and (own or offers):
            return f"{reference.name!r} is a {kind.value}"
        if kind in kinds and reference.distribution is not None and (own or offers):
            owners = [each.distribution for each in offers] or [CORE_DISTRIBUTION]
            return f"{reference.name!r} is offered by {', '.join(owners)}"
    for kind in kinds:
        for each in astray(installed, kind):
            if reference.fits(each):
                return f"{each.origin} offers it in {misplacement(each)}"
    return ""
