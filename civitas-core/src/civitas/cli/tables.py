"""Tables and trees on stdout, of texts that are shown as they are: neither markup nor control."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from civitas.errors import printable

_WIDEST_LINE: Final = 100_000


class Column(NamedTuple):
    """A column of a table, and how its cells are shown."""

    name: str
    is_number: bool = False
    """Numbers are aligned at the right."""
    wraps: bool = False
    """Whether a terminal that is too narrow has its cells in several lines."""


class Branch(NamedTuple):
    """A line of a tree, and what is below it."""

    head: str
    rest: str = ""
    children: Sequence[Branch] = ()


def write_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below the names of their columns; a row may end early."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            Text(column.name),
            justify="right" if column.is_number else "left",
            no_wrap=not column.wraps,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(_shown, row))
    _print(table, None if sys.stdout.isatty() else _WIDEST_LINE)


def write_tree(branch: Branch) -> None:
    """Print a line with what is below it; a line is never cut."""
    # A tree is cut at the width of its console; the terminal wraps what is longer.
    _print(_tree(branch) if branch.children else _label(branch), _WIDEST_LINE)


def _tree(branch: Branch) -> Tree:
    tree = Tree(_label(branch))
    tree.children.extend(map(_tree, branch.children))
    return tree


def _label(branch: Branch) -> Text:
    return Text.assemble(_shown(branch.head, "bold"), _shown(branch.rest, "dim"))


def _shown(text: str, style: str = "") -> Text:
    """Return a text that is printed as it is: only a `str` is read for markup."""
    return Text(printable(text, sys.maxsize), style)


def _print(what: RenderableType, width: int | None) -> None:
    Console(soft_wrap=isinstance(what, Text | Tree), highlight=False, width=width).print(what)
