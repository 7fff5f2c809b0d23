"""Tables in markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Line breaks and bars within a cell are taken care of."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |".replace("|  |", "| |") for line in lines)


def code(text: str) -> str:
    """Return text as code, or nothing for nothing."""
    return f"`{text}`" if text else ""


def linked(text: str, target: str | None) -> str:
    """Return text that leads somewhere, or as it is."""
    return f"[{text}]({target})" if target else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
