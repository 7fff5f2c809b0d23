"""Tables of the keys of a topology, one for each block of it."""

from __future__ import annotations

from typing import Final

from civitas.topology.model import BLOCKS
from docs_build.reference.fields import rows
from docs_build.reference.markers import Marker, Part, chosen
from docs_build.reference.tables import code, linked, table

TOP: Final = "top"
"""What a page calls the topology itself."""

_MODELS: Final = {name or TOP: model for name, model in BLOCKS}
_SECTIONS: Final = {model.__name__: f"#{name}" for name, model in _MODELS.items()}
"""Where a page has the keys of each block: under a heading of its name."""


class Topology:
    """Keys of the blocks of a topology: `topology agent`."""

    def entries(self) -> list[str]:
        """Return every key, as `topology agent.name`."""
        return [
            f"topology {block}.{key}"
            for block, model in _MODELS.items()
            for key in model.model_fields
        ]

    def part(self, marker: Marker) -> Part:
        """Return the table of one block."""
        block = chosen(marker.subject, _MODELS, "block of a topology")
        named = {row.name: row for row in rows(_MODELS[block], _SECTIONS.get)}
        for name in marker.links:
            chosen(name, named, f"key of {block}")
        cells = (
            [
                linked(code(name), marker.links.get(name)),
                row.type,
                row.default,
                row.description,
            ]
            for name, row in named.items()
        )
        return Part(
            table("options", ["key", "type", "default", "meaning"], cells),
            frozenset(f"topology {block}.{name}" for name in named),
        )
