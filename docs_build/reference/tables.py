"""Tables in markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

REQUIRED: Final = "**required**"
"""What stands in place of a default that there can't be."""


def table(kind: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, in a block by which the styles of the site know its columns.

    Args:
        kind: `options`, `command` or `codes`: on a phone each row becomes a paragraph of its own.
        header: the first row.
        rows: the others. Line breaks and bars within a cell are taken care of.
    """
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join(f"| {' | '.join(map(_cell, line))} |".replace("|  |", "| |") for line in lines)
    return f'<div class="reference {kind}" markdown>\n\n{text}\n\n</div>'


def code(text: str) -> str:
    """Return text as code, or nothing for nothing."""
    return f"`{text}`" if text else ""


def linked(text: str, target: str | None) -> str:
    """Return text that leads somewhere, or as it is."""
    return f"[{text}]({target})" if target else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
