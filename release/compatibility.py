"""The table of docs/compatibility.md: which versions of plugins fit which core."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from release.workspace import CORE, Distribution

PAGE: Final = "docs/compatibility.md"
_ROW: Final = re.compile(r"^\| `([\w-]+)` \| (\S+)\.x \| `([^`]+)` \| (\S+) \|$", re.MULTILINE)
_GROUP: Final = re.compile(r"civitas\.(v\d+)\.")


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        name: the distribution.
        series: its versions, as `0.1` for all 0.1.x.
        core: which versions of civitas-core they work with.
        api: the plugin API that they are made for, as `v1`.
    """

    name: str
    series: str
    core: SpecifierSet
    api: str

    def __str__(self) -> str:
        """Write the line."""
        core = ",".join(sorted(map(str, self.core), reverse=True))  # the lower end first
        return f"| `{self.name}` | {self.series}.x | `{core}` | {self.api} |"


def rows_of(workspace: Mapping[str, Distribution]) -> list[Row]:
    """Return the lines that the table must have for the plugins of this workspace."""
    return [
        Row(each.name, _series(each.version), core, _api(each))
        for each in workspace.values()
        if each.is_plugin and (core := each.admitted(CORE)) is not None
    ]


def rows_in(page: str) -> list[Row]:
    """Return the lines of the table on the page, those of earlier versions included."""
    return [
        Row(name, series, SpecifierSet(core), api) for name, series, core, api in _ROW.findall(page)
    ]


def page_problems(page: str, workspace: Mapping[str, Distribution]) -> Iterator[str]:
    """Say which lines the page lacks."""
    found = rows_in(page)
    yield from (f"{PAGE} lacks the line {each}" for each in rows_of(workspace) if each not in found)


def _series(version: Version) -> str:
    return f"{version.major}.{version.minor}"


def _api(plugin: Distribution) -> str:
    groups = map(_GROUP.match, plugin.project["entry-points"])
    return ", ".join(sorted({match[1] for match in groups if match}))
