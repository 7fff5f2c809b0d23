"""Tables of the options that a transport has in a topology."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pydantic import BaseModel

from civitas.plugins.loader import load_transport
from docs_build.reference.fields import Row, nested, rows
from docs_build.reference.markers import Marker, MarkerError, Part, chosen
from docs_build.reference.tables import code, linked, table


class Options:
    """Options of the transports of the workspace: `options zmq`, and `options zmq.curve`."""

    def __init__(self, transports: list[str]) -> None:
        self._transports = transports

    @cached_property
    def _models(self) -> dict[str, type[BaseModel] | None]:
        """The models by what a page calls them; a nested one by the option that it is for."""
        models: dict[str, type[BaseModel] | None] = {}
        for name in self._transports:
            models[name] = load_transport(name).spec.options
            models |= dict(_nested_models(name, models[name]))
        return models

    def entries(self) -> list[str]:
        """Return every option, as `options zmq.curve.public_key`."""
        return [
            f"options {subject}.{name}"
            for subject, model in self._models.items()
            if model is not None
            for name in model.model_fields
        ] + [f"options {subject}" for subject, model in self._models.items() if model is None]

    def part(self, marker: Marker) -> Part:
        """Return the table of one transport, or of an option that is a mapping."""
        model = self._models[chosen(marker.subject, self._models, "transport or mapping")]
        if model is None:
            return Part("It has no options.", frozenset([f"options {marker.subject}"]))
        named = {row.name: row for row in rows(model, lambda _: None)}
        for name in (*marker.entries, *marker.links):
            chosen(name, named, f"option of {marker.subject}")
        shown = [named[name] for name in marker.entries or named]
        unlinked = [
            row.name
            for row in shown
            if f"{marker.subject}.{row.name}" in self._models and row.name not in marker.links
        ]
        if unlinked:
            raise MarkerError(
                f"say where the keys of {unlinked[0]} are told of: {unlinked[0]}=#..."
            )
        cells = (_cells(row, marker.links.get(row.name)) for row in shown)
        return Part(
            table("options", ["option", "type", "default", "meaning"], cells),
            frozenset(f"options {marker.subject}.{row.name}" for row in shown),
        )


def _cells(row: Row, link: str | None) -> list[str]:
    return [linked(code(row.name), link), row.type, row.default or "none", row.description]


def _nested_models(
    subject: str, model: type[BaseModel] | None
) -> Iterator[tuple[str, type[BaseModel]]]:
    if model is None:
        return
    for field, inner in nested(model).items():
        yield f"{subject}.{field}", inner
        yield from _nested_models(f"{subject}.{field}", inner)
