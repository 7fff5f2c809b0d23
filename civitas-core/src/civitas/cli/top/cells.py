"""Cells: the texts of the columns, the same on a terminal and where a frame is printed. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from civitas.cli.stats.output import duration
from civitas.cli.stats.states import BACKING_OFF, DONE, RUNNING, Situation
from civitas.cli.top.frames import AgentLine, Frame, InHand, ProcessLine

L = TypeVar("L", AgentLine, ProcessLine)

_NARROW: Final = 8
"""Characters of the id of a node that are shown."""


@dataclass(frozen=True)
class Cell(Generic[L]):
    """A column.

    Attributes:
        title: what stands above it.
        text: makes the text of a line.
        order: the order of a view that sorts by it.
        is_number: whether it is aligned at the right.
        rank: which columns go first where there is no room: those with a higher rank.
    """

    title: str
    text: Callable[[L], str]
    order: str = ""
    is_number: bool = True
    rank: int = 0


def agent_cells(frame: Frame) -> list[Cell[AgentLine]]:
    """Return the columns of agents."""
    cells = [
        Cell[AgentLine]("agent", lambda line: line.name, "agent", is_number=False),
        Cell[AgentLine]("process", lambda line: line.process, "process", is_number=False, rank=2),
        Cell[AgentLine]("state", lambda line: state(line.situation), "state", is_number=False),
        Cell[AgentLine]("handled/s", lambda line: rate(line.rate), "rate"),
        Cell[AgentLine]("queued", lambda line: number(line.queued), "queued", rank=1),
        Cell[AgentLine]("backlog", lambda line: number(line.backlog), "backlog", rank=1),
        Cell[AgentLine](
            "in hand", lambda line: in_hand(line.in_hand), "in hand", is_number=False, rank=3
        ),
        Cell[AgentLine]("time", lambda line: short(line.handling), "time", rank=4),
        Cell[AgentLine]("busy", lambda line: share(line.busy), "busy", rank=5),
        Cell[AgentLine]("errors", lambda line: number(line.errors), "errors", rank=2),
        Cell[AgentLine]("restarts", lambda line: number(line.restarts), "restarts", rank=2),
        Cell[AgentLine]("lost", lambda line: number(line.lost), "lost", rank=3),
    ]
    return cells if frame.backlogs else [each for each in cells if each.order != "backlog"]


PROCESS_CELLS: Final = (
    Cell[ProcessLine]("process", lambda line: line.name, is_number=False),
    Cell[ProcessLine]("role", lambda line: line.role, is_number=False, rank=3),
    Cell[ProcessLine]("node", lambda line: line.node[:_NARROW], is_number=False, rank=4),
    Cell[ProcessLine]("state", lambda line: state(line.situation), is_number=False),
    Cell[ProcessLine]("sent/s", lambda line: rate(line.sent_rate), rank=1),
    Cell[ProcessLine]("delivered/s", lambda line: rate(line.delivered_rate), rank=2),
    Cell[ProcessLine]("lost", lambda line: number(line.lost), rank=1),
    Cell[ProcessLine]("dropped", lambda line: number(line.dropped), rank=1),
)


def state(situation: Situation) -> str:
    """Return a state with its time, but for such as last."""
    if situation.state == BACKING_OFF and situation.until is not None:
        return f"{BACKING_OFF}, {duration(situation.until)} left"
    if situation.since is None or situation.state in {RUNNING, DONE}:
        return situation.state
    return f"{situation.state} for {duration(situation.since)}"


def number(value: int | None) -> str:
    """Return a whole number; nothing where there is none."""
    return "" if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Return a number of messages in a second."""
    if value is None:
        return ""
    return f"{value:,.1f}" if 0 < value < 99.95 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Return a share of the time."""
    return "" if value is None else f"{value:.0%}"


def short(seconds: float | None) -> str:
    """Return a short time in the unit that fits it."""
    if seconds is None:
        return ""
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return duration(seconds)


def in_hand(message: InHand | None) -> str:
    """Return the type of the oldest message that is handled, and for how long it is."""
    if message is None:
        return ""
    if message.seconds is None:
        return message.type
    at_least = "over " if message.at_least else ""
    of = f", {message.count} of {message.most}" if message.most > 1 else ""
    return f"{message.type}, {at_least}{short(message.seconds)}{of}"
