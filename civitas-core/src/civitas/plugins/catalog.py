"""Discovery: which plugins are installed, read from entry points without importing any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from civitas.plugins import metadata
from civitas.plugins.metadata import CORE_REQUIREMENT, Metadata, Point, normalise

API_VERSION: Final = 1
"""Version of the plugin API: of the hooks, the specs and the protocols behind them."""

CORE_DISTRIBUTION: Final = "civitas-core"
"""The distribution that the built-ins belong to."""

UNREADABLE: Final = "?"
"""Stands for the name of a plugin whose metadata is too damaged to tell it."""


class PluginKind(Enum):
    """What a plugin provides. The value is the word for one of them."""

    TRANSPORT = "transport"
    SERIALIZER = "serializer"
    INSTRUMENT = "instrument"

    @property
    def group(self) -> str:
        """The entry-point group of this plugin API."""
        return f"civitas.v{API_VERSION}.{self.value}s"

    @property
    def hook(self) -> str:
        """The name of the hook that offers plugins of this kind."""
        return f"civitas_{self.value}s"

    @property
    def article(self) -> str:
        """The word for one of them with its article, for messages."""
        return f"{'an' if self.value[0] in 'aeiou' else 'a'} {self.value}"


_KINDS: Final = "|".join(kind.value for kind in PluginKind)
_GROUP: Final = re.compile(rf"civitas\.v(\d+)\.({_KINDS})s")
_NEAR_GROUP: Final = re.compile(rf"civitas([._-]v\d+)?[._-]({_KINDS}|plugin)s?([._-]v?\d+)?")
"""Our groups, and what an author may take for one of them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that is installed but not imported: one entry point of one distribution.

    `name` is the name used in topologies, `value` what would be imported, as `module` or
    `module:object`. The version of a built-in is empty. `core_requirements` is what the metadata
    of the distribution requires of civitas-core. `damage` is why that metadata can't be relied on.
    """

    kind: PluginKind
    name: str
    value: str
    distribution: str
    version: str
    group: str
    builtin: bool = False
    core_requirements: tuple[str, ...] = ()
    damage: str = ""

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


_BUILTINS: Final[Mapping[PluginKind, Mapping[str, str]]] = {
    PluginKind.TRANSPORT: {"in_process": "civitas.transport.plugin"},
    PluginKind.SERIALIZER: dict.fromkeys(("json", "msgpack"), "civitas.plugins.builtin"),
    PluginKind.INSTRUMENT: {"log": "civitas.plugins.message_log"},
}

_FOR_TESTS: Final[Mapping[PluginKind, Mapping[str, str]]] = {
    PluginKind.TRANSPORT: {"simulation": "civitas.testing.simulation.plugin"},
    PluginKind.SERIALIZER: {},
    PluginKind.INSTRUMENT: {},
}
"""Built-ins that a topology may name, and that are offered to nobody."""


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
    return cast("dict[str, str]", _known().get(f"{kind.value}s", {}))


def known_for_processes() -> str | None:
    """Return the known transport that reaches other processes without a server, if any does."""
    return cast("str | None", _known().get("for_processes"))


def _known() -> dict[str, Any]:
    from importlib.resources import files

    try:
        text = files(__package__).joinpath("known.json").read_text(encoding="utf-8")
    except FileNotFoundError:  # a frozen program may come without files that are no modules
        return {}
    return cast("dict[str, Any]", json.loads(text))


def scan(name: str | None = None) -> list[Candidate]:
    """Read every plugin that a distribution on the interpreter's path offers, for any plugin API.

    Nothing is imported. Where one distribution is found twice, the first on the path counts, as
    for imports. The result is sorted, so that lists and messages do not depend on the file system.
    To look for plugins of one name alone takes less time for each of the others.
    """
    return [each for each in scan_all(name) if _GROUP.fullmatch(each.group)]


def scan_all(name: str | None = None) -> list[Candidate]:
    """Read what `scan` does, and what was probably meant to be a plugin: see `astray`."""
    known = {normalise(each) for kind in PluginKind for each in known_distributions(kind).values()}
    read = metadata.survey(name, known)
    found = {each for one in read for each in _offers(one) if name in (None, each.name)}
    return sorted(found, key=attrgetter("kind.value", "name", "owner", "api_version", "value"))


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


def _offers(read: Metadata) -> Iterator[Candidate]:
    """Yield what a distribution offers, or would if its metadata were whole."""
    points = [each for each in read.points if _NEAR_GROUP.fullmatch(each.group)]
    yield from (_candidate(each, read) for each in points)
    if points:
        return
    lost = [
        (kind, name)
        for kind in PluginKind
        for name, distribution in known_distributions(kind).items()
        if normalise(distribution) == normalise(read.name)
    ]
    nameless = [(PluginKind.TRANSPORT, UNREADABLE)] if read.damage else []
    damage = read.damage or f"its metadata in {read.folder} offers no plugin"
    for kind, name in lost or nameless:
        point = Point(kind.group, name, "")
        yield replace(_candidate(point, read), damage=damage)


def _candidate(point: Point, read: Metadata) -> Candidate:
    kind = next((k for k in PluginKind if k.value in point.group), PluginKind.TRANSPORT)
    requirements = tuple(each for each in read.requirements if CORE_REQUIREMENT.match(each))
    names = (point.name, point.value, read.name, read.version, point.group)
    return Candidate(kind, *names, core_requirements=requirements, damage=read.damage)
