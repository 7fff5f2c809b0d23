"""The changelogs of all distributions, as sections of one page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from docs_build.reference.markers import Marker, Part, chosen

_HEADING: Final = re.compile(r"^#+ ", re.MULTILINE)
_TITLE: Final = re.compile(r"\A# .*\n+")
_VERSION: Final = re.compile(r"^## \[(.+?)\]", re.MULTILINE)


class Changelogs:
    """Sections of one distribution: `changelog civitas-core`. The page has a heading for each."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def entries(self) -> list[str]:
        """Return what the pages must show: the changelog of each distribution."""
        return [f"changelog {name}" for name in self._texts]

    def part(self, marker: Marker) -> Part:
        """Return a changelog without its title, below a heading of the second level."""
        name = chosen(marker.subject, self._texts, "distribution")
        versions = _VERSION.sub(r"## \1", _TITLE.sub("", self._texts[name]))
        lower = _HEADING.sub(lambda heading: f"#{heading[0]}", versions)
        return Part(lower.strip(), frozenset([f"changelog {name}"]), is_written=False)
