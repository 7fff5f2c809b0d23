"""Which plugins there are: read from the metadata of distributions, without importing any."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint, IDistribution

API_VERSION: Final = 1
"""Version of the plugin API: of the hooks, the specs and the protocols behind them."""

CORE_DISTRIBUTION: Final = "civitas-core"
"""The distribution that the built-ins belong to."""

_GROUP: Final = re.compile(r"civitas\.v(\d+)\.(transport|serializer)s")
_REQUIRED_NAME: Final = re.compile(r"\s*([\w.-]+)")
_logger: Final = logging.getLogger("civitas.plugins")


class PluginKind(Enum):
    """What a plugin provides. The value is the word for one of them."""

    TRANSPORT = "transport"
    SERIALIZER = "serializer"

    @property
    def group(self) -> str:
        """The entry-point group of this plugin API."""
        return f"civitas.v{API_VERSION}.{self.value}s"

    @property
    def hook(self) -> str:
        """The name of the hook that offers plugins of this kind."""
        return f"civitas_{self.value}s"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that is installed but not imported: one entry point of one distribution.

    Attributes:
        kind: what it provides.
        name: the entry point's name, which is the name used in topologies.
        value: what would be imported, as `module` or `module:object`.
        distribution: the distribution's name as its author writes it.
        version: the distribution's version; empty for a built-in.
        group: the entry-point group.
        builtin: whether it is part of core.
        core_requirements: what the distribution requires of civitas-core, as its metadata has it.
    """

    kind: PluginKind
    name: str
    value: str
    distribution: str
    version: str
    group: str
    builtin: bool = False
    core_requirements: tuple[str, ...] = ()

    @property
    def api_version(self) -> int:
        """The plugin API that this plugin was made for."""
        match = _GROUP.fullmatch(self.group)
        return int(match[1]) if match else API_VERSION

    @property
    def qualified_name(self) -> str:
        """The name that means this plugin and no other, as `distribution:name`."""
        return f"{self.distribution}:{self.name}"

    @property
    def origin(self) -> str:
        """The distribution and its version, for people."""
        return f"{self.distribution} {self.version}".rstrip()


class Reference(NamedTuple):
    """How a topology names a plugin: `name`, or `distribution:name` to choose between two."""

    name: str
    distribution: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take `name` or `distribution:name` apart."""
        distribution, colon, name = text.rpartition(":")
        return cls(name.strip(), distribution.strip() if colon else None)

    def fits(self, candidate: Candidate) -> bool:
        """Return whether the reference means this candidate."""
        return self.name == candidate.name and (
            self.distribution is None
            or normalise(self.distribution) == normalise(candidate.distribution)
        )


_BUILTINS: Final[Mapping[PluginKind, Mapping[str, str]]] = {
    PluginKind.TRANSPORT: {"in_process": "civitas.transport.plugin"},
    PluginKind.SERIALIZER: {
        "json": "civitas.plugins.builtin",
        "msgpack": "civitas.plugins.builtin",
    },
}


def normalise(distribution: str) -> str:
    """Return the name under which a distribution is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def builtins(kind: PluginKind) -> list[Candidate]:
    """Return the built-in plugins of a kind, by name. No metadata is read."""
    return [
        Candidate(kind, name, value, CORE_DISTRIBUTION, "", kind.group, builtin=True)
        for name, value in _BUILTINS[kind].items()
    ]


def builtin(kind: PluginKind, name: str) -> Candidate | None:
    """Return the built-in plugin of that name, if there is one. No metadata is read."""
    return next((found for found in builtins(kind) if found.name == name), None)


@cache
def known_distributions(kind: PluginKind) -> Mapping[str, str]:
    """Return which distribution offers which name, for plugins known when core was released."""
    from importlib.resources import files

    table = json.loads(files(__package__).joinpath("known.json").read_text(encoding="utf-8"))
    names: dict[str, str] = table[f"{kind.value}s"]
    return names


def scan() -> list[Candidate]:
    """Read every plugin that a distribution on `sys.path` offers, for any plugin API.

    Nothing is imported. Where one distribution is found twice, the first on `sys.path` counts, as
    for imports. The result is sorted, so that lists and messages do not depend on the file system.
    """
    found = {
        candidate
        for distribution in _distributions_with_plugins()
        for candidate in _candidates(distribution)
    }
    return sorted(found, key=_sort_key)


def usable(candidates: Iterable[Candidate], kind: PluginKind) -> list[Candidate]:
    """Return the candidates of a kind that are made for this plugin API."""
    return [each for each in candidates if each.group == kind.group]


def foreign(candidates: Iterable[Candidate], kind: PluginKind) -> list[Candidate]:
    """Return the candidates of a kind that are made for another plugin API."""
    return [each for each in candidates if each.kind is kind and each.group != kind.group]


def _sort_key(candidate: Candidate) -> tuple[str, str, str, int, str]:
    return (
        candidate.kind.value,
        candidate.name,
        normalise(candidate.distribution),
        candidate.api_version,
        candidate.value,
    )


def _distributions_with_plugins() -> list[IDistribution]:
    """Find the distributions with entry points for us, each as `sys.path` order would choose it."""
    import importlib_metadata

    names: set[str] = set()
    for distribution in importlib_metadata.distributions():
        name = _name(distribution) if _entry_points(distribution) else None
        if name is not None:
            names.add(normalise(name))
    return [importlib_metadata.distribution(name) for name in sorted(names)]


def _name(distribution: IDistribution) -> str | None:
    """Return the distribution's name, or `None` for what a broken removal left behind."""
    try:
        name: str | None = distribution.metadata.get("Name")
    except FileNotFoundError:
        return None
    return name


def _entry_points(distribution: IDistribution) -> list[EntryPoint]:
    """Return the distribution's entry points in our groups; most distributions have none.

    Parsing the entry points of everything that is installed takes longer than all the rest of a
    scan, so the text is searched first.
    """
    try:
        if "civitas.v" not in (distribution.read_text("entry_points.txt") or ""):
            return []
        return [each for each in distribution.entry_points if _GROUP.fullmatch(each.group)]
    except Exception as error:  # noqa: BLE001 - somebody else's malformed file: say so, go on
        _logger.warning(
            "the entry points of %s can't be read: %s", _name(distribution) or "?", error
        )
        return []


def _candidates(distribution: IDistribution) -> Iterable[Candidate]:
    points = _entry_points(distribution)
    if not points:
        return
    metadata = distribution.metadata  # parsed anew at every access
    requirements = tuple(filter(_requires_core, metadata.get_all("Requires-Dist") or ()))
    for point in points:
        match = _GROUP.fullmatch(point.group)
        if match:
            yield Candidate(
                kind=PluginKind(match[2]),
                name=point.name,
                value=point.value,
                # Metadata that was made by hand may lack what the standard requires.
                distribution=metadata.get("Name") or "?",
                version=metadata.get("Version") or "?",
                group=point.group,
                core_requirements=requirements,
            )


def _requires_core(requirement: str) -> bool:
    match = _REQUIRED_NAME.match(requirement)
    return match is not None and normalise(match[1]) == CORE_DISTRIBUTION
