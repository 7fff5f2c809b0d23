"""Tables and trees on stdout, of texts that are shown as they are: neither markup nor control."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from civitas.cli import streams
from civitas.errors import printable

_WIDEST_LINE: Final = 100_000
_GAP: Final = 2


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


def write_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    has_header: bool = True,
    indent: int = 0,
) -> None:
    """Print rows below the names of their columns; a row may end early.

    Nothing is cut: what a terminal is too narrow for, the terminal itself breaks into lines.
    """
    rows = list(rows)
    if not _console(_WIDEST_LINE).is_terminal:
        streams.out().writelines(_plain_lines(columns, rows, has_header, indent))
        return
    # Versions of rich differ in what padding adds to `min_width`: so a gap is a column here.
    table = Table(box=None, padding=0, pad_edge=False, show_header=has_header)
    texts = [[_shown(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        if index:
            table.add_column(width=_GAP)
        cells = (row[index].cell_len for row in texts if len(row) > index)
        table.add_column(
            Text(column.name),
            justify="right" if column.is_number else "left",
            no_wrap=not column.wraps,
            min_width=None if column.wraps else max(cells, default=0),
            overflow="fold",
        )
    for row in texts:
        table.add_row(*row[:1], *(cell for text in row[1:] for cell in ("", text)))
    if has_header or table.row_count:
        _print(Padding(table, (0, 0, 0, indent), expand=False), is_whole=not streams.out().isatty())


def _plain_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], has_header: bool, indent: int
) -> Iterator[str]:
    """Yield the lines of a table without styles, none of which is broken.

    To lay out what a program reads, or a file keeps, took rich 800 us for each line.
    """
    lines = [[printable(cell, sys.maxsize) for cell in row] for row in rows]
    if has_header:
        lines.insert(0, [column.name for column in columns])
    widths = [
        max((cell_len(line[index]) for line in lines if len(line) > index), default=0)
        for index in range(len(columns))
    ]
    for line in lines:
        cells = []
        for column, width, cell in zip(columns, widths, line, strict=False):
            gap = " " * (width - cell_len(cell))
            cells.append(gap + cell if column.is_number else cell + gap)
        yield f"{' ' * indent}{(' ' * _GAP).join(cells)}".rstrip() + "\n"


def write_tree(branch: Branch) -> None:
    """Print a line with what is below it; a line is never cut."""
    # A tree is cut at the width of its console; the terminal wraps what is longer.
    _print(_tree(branch) if branch.children else _label(branch), is_whole=True)


def _tree(branch: Branch) -> Tree:
    tree = Tree(_label(branch))
    tree.children.extend(map(_tree, branch.children))
    return tree


def _label(branch: Branch) -> Text:
    return Text.assemble(_shown(branch.head, "bold"), _shown(branch.rest, "dim"))


def _shown(text: str, style: str = "") -> Text:
    """Return a text that is printed as it is: only a `str` is read for markup."""
    return Text(printable(text, sys.maxsize), style)


def _print(what: RenderableType, *, is_whole: bool) -> None:
    if is_whole:
        console = _console(_WIDEST_LINE)
    else:
        needed = _console(_WIDEST_LINE).measure(what).minimum
        console = _console(max(needed, shutil.get_terminal_size().columns))
    with console.capture() as printed:
        console.print(what, soft_wrap=is_whole)
    streams.out().writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def _console(width: int) -> Console:
    # Without a height rich takes every terminal that calls itself dumb for one of 80 columns.
    return Console(
        file=streams.out(), highlight=False, markup=False, emoji=False, width=width, height=1
    )
