"""Plain: a whole frame on stdout, for who has no terminal, or wants to keep it."""

from __future__ import annotations

from collections.abc import Sequence

from civitas.cli.output import write
from civitas.cli.stats.output import duration
from civitas.cli.tables import Column, write_table
from civitas.cli.top.cells import PROCESS_CELLS, Cell, L, agent_cells
from civitas.cli.top.frames import Frame
from civitas.cli.top.screen import summary


def write_frame(frame: Frame) -> None:
    """Print a frame: its processes, its agents, why some don't run, and the last crashes."""
    write(summary(frame), *filter(None, [frame.problem]), "")
    _write_lines(PROCESS_CELLS, frame.processes)
    write("")
    _write_lines(agent_cells(frame), frame.agents)
    for what, lines in (("process", frame.processes), ("agent", frame.agents)):
        for line in lines:
            about = line.situation
            if about.reason:
                write(f"{what} {line.name!r} is {about.state}: {about.reason}")
    for agent in frame.agents:
        if agent.crash is not None:
            ago = "" if agent.crash.seconds is None else f" {duration(agent.crash.seconds)} ago"
            write(f"agent {agent.name!r} crashed last{ago}: {agent.crash.text}")


def _write_lines(cells: Sequence[Cell[L]], lines: Sequence[L]) -> None:
    columns = [Column(cell.title, cell.is_number, wraps=not cell.is_number) for cell in cells]
    write_table(columns, ([cell.text(line) for cell in cells] for line in lines))
