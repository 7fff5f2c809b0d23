"""All that the documentation shows of the code: pages are filled, and what they lack is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from docs_build.reference import benchmarks, workspace
from docs_build.reference.commands import Commands
from docs_build.reference.errors import Errors
from docs_build.reference.markers import Marker, MarkerError, Part, chosen, markers, replaced
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
        """Return a page with its generated parts.

        Raises:
            MarkerError: a marker asks for what there is not.
        """
        return replaced(page, lambda marker: self._part(marker).text)

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


@cache
def reference() -> Reference:
    """Return the reference of the packages of this workspace."""
    options = Options(workspace.transports())
    topology = Topology()
    commands = Commands(workspace.commands())
    errors = Errors(workspace.modules())
    measured = benchmarks.Benchmarks(benchmarks.document())
    return Reference(
        {
            "options": options.part,
            "topology": topology.part,
            "command": commands.part,
            "error": errors.part,
            "error-codes": errors.codes,
            "benchmarks": measured.part,
        },
        [
            name
            for source in (options, topology, commands, errors, measured)
            for name in source.entries()
        ],
    )
