"""Which versions of each other our distributions admit, and whether that makes sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.workspace import CORE, Distribution


def lower_end(admitted: SpecifierSet) -> Version | None:
    """Return the oldest version in a range; `None` where the range does not name it."""
    ends = [Version(each.version) for each in admitted if each.operator in (">=", "~=")]
    ends += [
        Version(each.version)
        for each in admitted
        if each.operator == "==" and not each.version.endswith(".*")
    ]
    oldest = max(ends, default=None)
    return oldest if oldest is not None and oldest in admitted else None


def has_upper_end(admitted: SpecifierSet) -> bool:
    """Return whether a range ends before releases that nobody can know yet."""
    return any(each.operator in ("<", "<=", "~=", "==") for each in admitted)


def range_problems(
    distribution: Distribution, workspace: Mapping[str, Distribution]
) -> Iterator[str]:
    """Say what is wrong with the ranges that a distribution has of others of this workspace."""
    needed = [*distribution.requirements]
    for extra in distribution.extras.values():
        needed += extra
    ours = {canonicalize_name(each.name) for each in needed} & workspace.keys()
    if distribution.is_plugin and CORE not in ours:
        yield f"{distribution.name} does not say which {CORE} it needs"
    for each in needed:
        other = workspace.get(canonicalize_name(each.name))
        if other is None:
            continue
        if not each.specifier.contains(other.version, prereleases=True):
            yield f"{distribution.name} needs {each}, and {other.name} is {other.version} here"
        if lower_end(each.specifier) is None:
            yield f"{distribution.name} needs {each}: that names no oldest version"
        if not has_upper_end(each.specifier):
            yield f"{distribution.name} needs {each}: that admits releases nobody knows yet"
