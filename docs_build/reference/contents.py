"""All that the documentation shows of the code: pages are filled, and what they lack is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from docs_build.reference import benchmarks, workspace
from docs_build.reference.changelogs import Changelogs
from docs_build.reference.commands import Commands
from docs_build.reference.errors import Errors
from docs_build.reference.markers import (
    END,
    Marker,
    MarkerError,
    Part,
    chosen,
    markers,
    replaced,
)
from docs_build.reference.options import Options
from docs_build.reference.topology import Topology


class Reference:
    """The kinds of parts that there are, and what all pages together must show.

    Args:
        kinds: what makes the part of a marker, by the marker's kind.
        entries: names of what pages must show, as parts name them.
    """

    def __init__(
        self, kinds: Mapping[str, Callable[[Marker], Part]], entries: Iterable[str]
    ) -> None:
        self._kinds = kinds
        self._entries = list(entries)

    def filled(self, page: str) -> str:
        """Return a page as the site has it: with its generated parts, and without markers.

        Raises:
            MarkerError: a marker asks for what there is not.
        """
        return replaced(page, lambda marker: self._part(marker).text)

    def written(self, page: str) -> str:
        """Return a page as the repository has it: each marker is followed by its part.

        Raises:
            MarkerError: a marker asks for what there is not.
        """
        return replaced(page, lambda marker: _between(marker, self._part(marker)))

    def missing(self, pages: Iterable[str]) -> list[str]:
        """Return what none of the pages shows."""
        shown = {
            name
            for page in pages
            for marker, _ in markers(page)
            for name in self._part(marker).shows
        }
        return [name for name in self._entries if name not in shown]

    def _part(self, marker: Marker) -> Part:
        try:
            return self._kinds[chosen(marker.kind, self._kinds, "kind of generated part")](marker)
        except MarkerError as error:
            raise MarkerError(
                f"<!-- generated: {marker.kind} {marker.subject} -->: {error}"
            ) from error


def _between(marker: Marker, part: Part) -> str:
    return f"{marker.comment}\n\n{part.text}\n\n{END}" if part.is_written else marker.comment


@cache
def reference() -> Reference:
    """Return the reference of the packages of this workspace."""
    options = Options(workspace.transports())
    topology = Topology()
    commands = Commands(workspace.commands())
    errors = Errors(workspace.modules())
    measured = benchmarks.Benchmarks(benchmarks.document())
    changelogs = Changelogs(workspace.changelogs())
    return Reference(
        {
            "options": options.part,
            "topology": topology.part,
            "command": commands.part,
            "error": errors.part,
            "error-codes": errors.codes,
            "benchmarks": measured.part,
            "changelog": changelogs.part,
        },
        [
            name
            for source in (options, topology, commands, errors, measured, changelogs)
            for name in source.entries()
        ],
    )
