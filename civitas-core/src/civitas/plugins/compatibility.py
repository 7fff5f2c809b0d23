"""Whether a plugin and the installed core are compatible, by metadata and without an import."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final, NamedTuple

from civitas.errors import logger_of
from civitas.plugins.catalog import API_VERSION, CORE_DISTRIBUTION, Candidate
from civitas.plugins.metadata import installed_version

if TYPE_CHECKING:
    from packaging.specifiers import Specifier, SpecifierSet
    from packaging.version import Version

_logger: Final = logger_of("civitas.plugins")


class Incompatibility(NamedTuple):
    """What a plugin needs and what there is, as the rest of a sentence, and what to upgrade."""

    reason: str
    upgrade: str

    @property
    def command(self) -> str:
        """The command that makes them compatible."""
        return f'pip install --upgrade "{self.upgrade}"'


def incompatibility(candidate: Candidate) -> Incompatibility | None:
    """Judge by metadata alone whether core can use a plugin; `None` when it can.

    The plugin API must be this one, and the range of civitas-core that the plugin's distribution
    requires must admit the one that is installed. Installers see to the range by default.
    """
    if candidate.api_version != API_VERSION:
        needed = candidate.api_version
        reason = f"needs plugin API {needed}, this {CORE_DISTRIBUTION} has {API_VERSION}"
        outdated = CORE_DISTRIBUTION if needed > API_VERSION else candidate.distribution
        return Incompatibility(reason, outdated)
    if not candidate.core_requirements:
        return None
    core = installed_version(CORE_DISTRIBUTION)
    if core is None:  # it runs from sources, never installed
        return None
    from packaging.version import Version

    return incompatibility_with(candidate, Version(core))


def incompatibility_with(candidate: Candidate, core: Version) -> Incompatibility | None:
    """Judge the range that a plugin's distribution requires, for a version of civitas-core."""
    from packaging.specifiers import SpecifierSet

    admitted = reduce(and_, _ranges(candidate), SpecifierSet())
    violated = [each for each in admitted if not _admits(each, core)]
    if not violated:
        return None
    # As its author would write it: the lower end first.
    ordered = sorted(admitted, key=lambda each: (each.operator[0] in "<!", str(each)))
    needed = CORE_DISTRIBUTION + ",".join(map(str, ordered))
    newer = all(_asks_for_newer(each, core) for each in violated)
    reason = f"needs {needed}, and {CORE_DISTRIBUTION} {core} is installed"
    return Incompatibility(reason, needed if newer else candidate.distribution)


def _ranges(candidate: Candidate) -> Iterable[SpecifierSet]:
    """Read the ranges of core that hold here; those of extras and of other platforms do not."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in candidate.core_requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:  # somebody else's malformed file: log it, go on
            _logger.warning("a requirement of %s can't be read: %s", candidate.origin, error)
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.specifier


def _admits(specifier: Specifier, version: Version) -> bool:
    """Return whether a version is in a range.

    A pre-release counts as the release that it leads to, too: core 0.2.0.dev1 has what plugins
    for 0.2 need, and by PEP 440 alone neither `<0.2` nor `>=0.2` would admit it.
    """
    return specifier.contains(version, prereleases=True) or (
        version.is_prerelease and specifier.contains(version.base_version)
    )


def _asks_for_newer(specifier: Specifier, version: Version) -> bool:
    """Return whether a specifier that a version violates wants a later one."""
    from packaging.version import Version

    if specifier.operator in ("<", "<=", "==="):
        return False
    bound = Version(specifier.version.removesuffix(".*"))
    return specifier.operator in (">", "!=") or bound > version
