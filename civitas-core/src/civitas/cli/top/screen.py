"""Screen: the lines of a frame in a view, for a terminal of a given size. No I/O.

Names, reasons and errors are texts of others. Each goes through `printable`, and into a `Text`, so
that neither the terminal nor rich reads anything in them. Its width is that of its cells.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from civitas.cli.stats.output import duration
from civitas.cli.stats.states import BACKING_OFF, DONE, GONE, RUNNING
from civitas.cli.top.cells import PROCESS_CELLS, Cell, L, agent_cells, number, rate
from civitas.cli.top.frames import Frame, ProcessLine
from civitas.cli.top.rows import Row, TreeBranch, names_of, rows_of
from civitas.cli.top.views import HELP, View
from civitas.errors import printable

_GAP: Final = 2
_WIDEST: Final = 40
"""Cells that a column has at most where there is no room for all."""

_NARROWEST: Final = 8
_MOST: Final = 3
"""Lines that a text of others has at most."""

_STYLES: Final = {
    RUNNING: "green",
    DONE: "dim",
    GONE: "yellow",
    BACKING_OFF: "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "down": "yellow",
    "unknown": "dim",
}
_WRONG: Final = "red"
_TITLE: Final = "bold"
_HINTS: Final = "q quit  ? help  </> order  r reverse  / filter  p pause  t tree  up/down choose"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the view.

    Attributes:
        file: the topology's file.
        transport: its transport.
        interval: seconds between two looks.
        zone: the time zone in which times are shown; None: that of this machine.
    """

    file: str
    transport: str
    interval: float
    zone: tzinfo | None = None


def lines_of(
    frame: Frame, view: View, tree: TreeBranch, head: Head, width: int, height: int
) -> list[Text]:
    """Return at most `height` lines of at most `width` cells."""
    lines = _head_lines(frame, view, head, width)
    if view.help:
        lines += _help_lines()
    else:
        rows = rows_of(frame, view, tree)
        foot = _foot_lines(frame, view, width)
        room = height - len(lines) - len(foot)
        lines += _body_lines(frame, view, rows, width, room)
        lines += [Text()] * (height - len(lines) - len(foot)) + foot
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def choosable(frame: Frame, view: View, tree: TreeBranch) -> list[str]:
    """Return the agents that can be chosen, in the order in which they are shown."""
    return names_of(rows_of(frame, view, tree))


def text_of(text: str, style: str = "") -> Text:
    """Return a text of others as it is to be shown."""
    return Text(printable(text, sys.maxsize), style, no_wrap=True)


# --- head and foot --------------------------------------------------------------------------------


def _head_lines(frame: Frame, view: View, head: Head, width: int) -> list[Text]:
    time = datetime.fromtimestamp(frame.wall, head.zone).strftime("%H:%M:%S")
    about = f"civitas top  {head.file}  {head.transport}  {time}  every {head.interval:g} s"
    title = text_of(about, _TITLE)
    if view.paused:
        title.append("  PAUSED", "bold yellow")
    problem = _wrapped(frame.problem, width, f"bold {_WRONG}")
    return [title, text_of(summary(frame)), *problem, Text()]


def summary(frame: Frame) -> str:
    """Return the system in a line."""
    good = {RUNNING, DONE}
    processes = sum(each.situation.state in good for each in frame.processes)
    agents = sum(each.situation.state in good for each in frame.agents)
    rates = [each.rate for each in frame.agents if each.rate is not None]
    counts = [
        f"processes {processes} of {len(frame.processes)}",
        f"agents {agents} of {len(frame.agents)}",
        f"handled {rate(sum(rates))}/s" if rates else "",
        f"queued {number(sum(each.queued or 0 for each in frame.agents))}",
        f"errors {number(sum(each.errors or 0 for each in frame.agents))}",
        f"restarts {number(sum(each.restarts or 0 for each in frame.agents))}",
        f"lost {number(sum(each.lost or 0 for each in frame.processes))}",
    ]
    return "  ".join(filter(None, counts))


def _foot_lines(frame: Frame, view: View, width: int) -> list[Text]:
    chosen = next((each for each in frame.agents if each.name == view.selected), None)
    lines = [Text()]
    if chosen is not None:
        about, crash = chosen.situation, chosen.crash
        if about.reason:
            lines += _wrapped(f"{chosen.name!r} is {about.state}: {about.reason}", width)
        told = "has not crashed, as far as is known"
        if crash is not None:
            ago = "" if crash.seconds is None else f" {duration(crash.seconds)} ago"
            told = f"last crash{ago}: {crash.text}"
        lines += _wrapped(f"{chosen.name!r}: {told}", width)
    if view.typing is not None:
        return [*lines, text_of(f"filter: {view.typing}_  (Enter keeps it, Esc drops it)", _TITLE)]
    wanted = f"  filter: {view.filter}" if view.filter else ""
    turned = ", reversed" if view.reverse else ""
    return [*lines, text_of(f"by {view.order}{turned}{wanted}  |  {_HINTS}", "dim")]


def _wrapped(text: str, width: int, style: str = "") -> list[Text]:
    """Return a text of others in a few lines, none where it is empty; what is longer is cut."""
    shown, lines = printable(text, sys.maxsize), list[Text]()
    while shown and len(lines) < _MOST:
        end = width
        while cell_len(shown[:end]) > width and end > 1:
            end -= 1
        lines.append(text_of(shown[:end], style))
        shown = shown[end:]
    if shown:
        lines[-1] = text_of(lines[-1].plain[:-1] + "…", style)
    return lines


def _help_lines() -> list[Text]:
    widest = max(len(keys) for keys, _ in HELP)
    return [text_of(f"{keys.ljust(widest)}  {what}") for keys, what in HELP]


# --- tables ---------------------------------------------------------------------------------------


def _body_lines(frame: Frame, view: View, rows: Sequence[Row], width: int, room: int) -> list[Text]:
    processes = _process_lines(frame.processes, width, max(room // 3, 3))
    return [*processes, Text(), *_agent_lines(frame, view, rows, width, room - len(processes) - 1)]


def _process_lines(processes: Sequence[ProcessLine], width: int, room: int) -> list[Text]:
    shown = list(processes)
    left = 0
    if len(shown) > room - 1:  # those come first that need a look
        shown.sort(key=lambda each: each.situation.state in {RUNNING, DONE})
        left = len(shown) - max(room - 2, 1)
        shown = shown[: len(shown) - left]
    texts = [[cell.text(each) for cell in PROCESS_CELLS] for each in shown]
    styles = [_style(each.situation.state) for each in shown]
    lines = _table(PROCESS_CELLS, texts, styles, width, "", "")
    return [*lines, text_of(f"and {left} more", "dim")] if left else lines


def _agent_lines(
    frame: Frame, view: View, rows: Sequence[Row], width: int, room: int
) -> list[Text]:
    cells = agent_cells(frame)
    names = [row.agent.name if row.agent is not None else "" for row in rows]
    at = names.index(view.selected) if view.selected in names else 0
    count = max(room - 1, 1)
    first = min(max(at - count // 2, 0), max(len(rows) - count, 0))
    shown = rows[first : first + count]
    texts = [_texts(row, cells) for row in shown]
    states = [row.agent.situation.state if row.agent is not None else None for row in shown]
    styles = [_TITLE if state is None else _style(state) for state in states]
    ordered = "" if view.tree else view.order
    lines = _table(cells, texts, styles, width, ordered, "^" if view.reverse else "v")
    for row, line in zip(shown, lines[1:], strict=True):
        if row.agent is not None and row.agent.name == view.selected:
            line.stylize("reverse")
    return lines


def _texts(row: Row, cells: Sequence[Cell]) -> list[str]:  # type: ignore[type-arg]
    indent = "  " * row.depth
    if row.agent is None:
        return [f"{indent}{row.label} ({row.note})" if row.note else f"{indent}{row.label}"]
    return [f"{indent}{row.label}", *(cell.text(row.agent) for cell in cells[1:])]


def _style(state: str) -> str:
    return _STYLES.get(state, _WRONG)


def _table(
    cells: Sequence[Cell[L]],
    rows: Sequence[Sequence[str]],
    styles: Iterable[str],
    width: int,
    order: str,
    mark: str,
) -> list[Text]:
    """Return a table as lines: the titles, then the rows; the state has the style of its row."""
    titles = [f"{cell.title} {mark}" if order == cell.order != "" else cell.title for cell in cells]
    texts = [[printable(text, sys.maxsize) for text in row] for row in rows]
    widths = [
        max(
            cell_len(titles[at]), *(cell_len(row[at]) for row in texts if len(row) == len(cells)), 0
        )
        for at in range(len(cells))
    ]
    widths = _fitting(cells, widths, width)
    lines = [_line(cells, titles, widths, _TITLE, _TITLE)]
    for row, style in zip(texts, styles, strict=True):
        if len(row) < len(cells):
            lines.append(Text(row[0], style, no_wrap=True))
        else:
            lines.append(_line(cells, row, widths, "", style))
    return lines


def _fitting(cells: Sequence[Cell[L]], widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns that fit into a line; 0 for one that is left out."""
    fitting = list(widths)

    def excess() -> int:
        used = [each for each in fitting if each]
        return sum(used) + _GAP * (len(used) - 1) - room

    for most in (_WIDEST, _WIDEST // 2):
        for at, cell in enumerate(cells):
            if excess() > 0 and not cell.is_number:
                fitting[at] = max(fitting[at] - excess(), min(fitting[at], most))
        if most == _WIDEST:
            for at in sorted(range(len(cells)), key=lambda at: -cells[at].rank):
                if excess() > 0 and cells[at].rank:
                    fitting[at] = 0
    if excess() > 0:
        fitting[0] = max(fitting[0] - excess(), _NARROWEST)
    return fitting


def _line(
    cells: Sequence[Cell[L]], texts: Sequence[str], widths: Sequence[int], base: str, style: str
) -> Text:
    line = Text("", base, no_wrap=True)
    for cell, text, width in zip(cells, texts, widths, strict=True):
        if width:
            shown = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            space = " " * (width - cell_len(shown))
            line.append("" if not line.plain else " " * _GAP)
            piece = space + shown if cell.is_number else shown + space
            line.append(piece, style if cell.order == "state" or cell.title == "state" else "")
    return line
