"""Discovery: which plugins are installed, read from entry points without importing any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from civitas.errors import logger_of

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint, IDistribution

API_VERSION: Final = 1
"""Version of the plugin API: of the hooks, the specs and the protocols behind them."""

CORE_DISTRIBUTION: Final = "civitas-core"
"""The distribution that the built-ins belong to."""

_GROUP: Final = re.compile(r"civitas\.v(\d+)\.(transport|serializer)s")
_NEAR_GROUP: Final = re.compile(
    r"civitas([._-]v\d+)?[._-](transport|serializer|plugin)s?([._-]v?\d+)?"
)
"""Our groups, and what an author may take for one of them."""
_CORE_REQUIREMENT: Final = re.compile(r"civitas[._-]+core(?![\w.-])", re.IGNORECASE)
_FIELD: Final = re.compile(r"^(Name|Version|Requires-Dist):[ \t]*(\S.*)", re.MULTILINE)
_logger: Final = logger_of("civitas.plugins")


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

    `name` is the name used in topologies, `value` what would be imported, as `module` or
    `module:object`. The version of a built-in is empty. `core_requirements` is what the metadata
    of the distribution requires of civitas-core.
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
    def owner(self) -> str:
        """The distribution's name as names of distributions are compared."""
        return normalise(self.distribution)

    @property
    def module(self) -> str:
        """The module that would be imported."""
        return self.value.partition(":")[0].strip()

    @property
    def qualified_name(self) -> str:
        """The name that means this plugin and no other, as `distribution:name`."""
        return f"{self.distribution}:{self.name}"

    @property
    def origin(self) -> str:
        """The distribution and its version, for people."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def title(self) -> str:
        """What messages call the plugin: kind, name, distribution and version."""
        return f"{self.kind.value} {self.name!r} of {self.origin}"


class Reference(NamedTuple):
    """How a topology names a plugin: `name`, or `distribution:name` to choose between two."""

    name: str
    distribution: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take `name` or `distribution:name` apart."""
        distribution, colon, name = text.rpartition(":")
        return cls(name.strip(), distribution.strip() if colon else None)

    def means(self, name: str, distribution: str) -> bool:
        """Return whether the reference means the plugin of this name and distribution."""
        return self.name == name and (
            self.distribution is None or normalise(self.distribution) == normalise(distribution)
        )

    def fits(self, candidate: Candidate) -> bool:
        """Return whether the reference means this candidate."""
        return self.means(candidate.name, candidate.distribution)


class _Identity(NamedTuple):
    name: str
    version: str
    core_requirements: tuple[str, ...]


_BUILTINS: Final[Mapping[PluginKind, Mapping[str, str]]] = {
    PluginKind.TRANSPORT: {"in_process": "civitas.transport.plugin"},
    PluginKind.SERIALIZER: dict.fromkeys(("json", "msgpack"), "civitas.plugins.builtin"),
}

_FOR_TESTS: Final[Mapping[PluginKind, Mapping[str, str]]] = {
    PluginKind.TRANSPORT: {"simulation": "civitas.testing.simulation.plugin"},
    PluginKind.SERIALIZER: {},
}
"""Built-ins that a topology may name, and that are offered to nobody."""


def normalise(distribution: str) -> str:
    """Return the name under which a distribution is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def builtins(kind: PluginKind) -> list[Candidate]:
    """Return the built-in plugins of a kind that are offered, by name. No metadata is read."""
    return [_builtin(kind, name, value) for name, value in _BUILTINS[kind].items()]


def builtin(kind: PluginKind, name: str) -> Candidate | None:
    """Return the built-in plugin of that name, if there is one. No metadata is read."""
    value = _BUILTINS[kind].get(name) or _FOR_TESTS[kind].get(name)
    return None if value is None else _builtin(kind, name, value)


def _builtin(kind: PluginKind, name: str, value: str) -> Candidate:
    return Candidate(kind, name, value, CORE_DISTRIBUTION, "", kind.group, builtin=True)


@cache
def known_distributions(kind: PluginKind) -> Mapping[str, str]:
    """Return which distribution offers which name, for plugins known when core was released."""
    from importlib.resources import files

    text = files(__package__).joinpath("known.json").read_text(encoding="utf-8")
    return cast("dict[str, str]", json.loads(text)[f"{kind.value}s"])


def scan(name: str | None = None) -> list[Candidate]:
    """Read every plugin that a distribution on `sys.path` offers, for any plugin API.

    Nothing is imported. Where one distribution is found twice, the first on `sys.path` counts, as
    for imports. The result is sorted, so that lists and messages do not depend on the file system.
    To look for plugins of one name alone takes less time for each of the others.
    """
    return [each for each in scan_all(name) if _GROUP.fullmatch(each.group)]


def scan_all(name: str | None = None) -> list[Candidate]:
    """Read what `scan` does, and what was probably meant to be a plugin: see `astray`."""
    import importlib_metadata

    found: dict[str, list[Candidate]] = {}
    first_folder: object = None
    for distribution in importlib_metadata.distributions():
        first_folder = first_folder or distribution.locate_file("")
        points = _entry_points(distribution, name)
        identity = _identity(distribution) if points else None
        if identity is None or normalise(identity.name) in found:
            continue
        if distribution.locate_file("") == first_folder or not _is_hidden(distribution, identity):
            found[normalise(identity.name)] = [_candidate(point, identity) for point in points]
    order = attrgetter("kind.value", "name", "owner", "api_version", "value")
    return sorted({each for offers in found.values() for each in offers}, key=order)


def usable(candidates: Iterable[Candidate], kind: PluginKind) -> list[Candidate]:
    """Return the candidates of a kind that are made for this plugin API."""
    return [each for each in candidates if each.group == kind.group]


def foreign(candidates: Iterable[Candidate], kind: PluginKind) -> list[Candidate]:
    """Return the candidates of a kind which are made for other plugin APIs alone."""
    found = [each for each in candidates if each.kind is kind and _GROUP.fullmatch(each.group)]
    here = {(each.name, each.owner) for each in usable(found, kind)}
    return [each for each in found if (each.name, each.owner) not in here]


def astray(candidates: Iterable[Candidate], kind: PluginKind) -> list[Candidate]:
    """Return those of `scan_all` that are in a group which nothing reads, by their likely kind."""
    return [each for each in candidates if each.kind is kind and not _GROUP.fullmatch(each.group)]


def misplacement(candidate: Candidate) -> str:
    """Say in which group a plugin is that went astray, and in which one it belongs."""
    return f"the group {candidate.group!r}, which nothing reads; it is {candidate.kind.group!r}"


def name_problem(name: str) -> str | None:
    """Say why no topology can name a plugin so; `None` when one can.

    It writes `name` or `distribution:name`, and white space around either counts for nothing.
    """
    if not name:
        return "the name of its entry point is empty; a topology can't name it"
    for found, what in ((":" in name, "a colon"), (re.search(r"\s", name), "white space")):
        if found:
            return f"the name of its entry point, {name!r}, has {what}; a topology can't name it"
    return None


def _candidate(point: EntryPoint, identity: _Identity) -> Candidate:
    kind = PluginKind.SERIALIZER if "serializer" in point.group else PluginKind.TRANSPORT
    names = (point.name, point.value, identity.name, identity.version, point.group)
    return Candidate(kind, *names, core_requirements=identity.core_requirements)


def _is_hidden(distribution: IDistribution, identity: _Identity) -> bool:
    """Return whether a folder that comes first on `sys.path` has the distribution, too.

    That one may offer nothing, and hides what is offered here all the same.
    """
    import importlib_metadata

    namesakes = importlib_metadata.distributions(name=identity.name)
    # There is none where a folder that was made by hand has another name than its metadata.
    first = next((each for each in namesakes if _identity(each)), distribution)
    return bool(first.locate_file("") != distribution.locate_file(""))


def _identity(distribution: IDistribution) -> _Identity | None:
    """Return what a distribution is, or `None` for what a broken removal left behind.

    The metadata ends in the distribution's whole README. Parsing that as a mail, as the library
    does, takes longer than all the rest of a scan, so the fields are looked for above it.
    """
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except UnicodeDecodeError as error:
        folder = distribution.locate_file("")
        _logger.warning("the metadata of a distribution in %s can't be read: %s", folder, error)
        return None
    fields: list[tuple[str, str]] = _FIELD.findall(text.partition("\n\n")[0])
    values = {field: value.rstrip() for field, value in fields}
    if "Name" not in values:
        return None
    requirements = (value for field, value in fields if field == "Requires-Dist")
    return _Identity(
        values["Name"],
        values.get("Version", "?"),  # metadata that was made by hand may lack it
        tuple(each for each in requirements if _CORE_REQUIREMENT.match(each)),
    )


def _entry_points(distribution: IDistribution, name: str | None) -> list[EntryPoint]:
    """Return the entry points in groups of ours, or taken for ours.

    Most distributions have none, and parsing them all takes long: the text is searched first.
    """
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if "[civitas" not in text or (name is not None and name not in text):
            return []
        points = [each for each in distribution.entry_points if name in (None, each.name)]
        return [each for each in points if _NEAR_GROUP.fullmatch(each.group)]
    except Exception as error:  # noqa: BLE001 - somebody else's malformed file: log it, go on
        identity = _identity(distribution)
        whose = identity.name if identity else "?"
        _logger.warning("the entry points of %s can't be read: %s", whose, error)
        return []
