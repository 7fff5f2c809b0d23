"""Rows: the agents of a frame that are wanted, in the order of a view, or as a tree. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from civitas.cli.stats.states import DONE, RUNNING
from civitas.cli.top.frames import AgentLine, Frame
from civitas.cli.top.views import View


@dataclass(frozen=True, slots=True)
class TreeBranch:
    """A supervisor of the topology: its name and strategy, and what is below it.

    A child that is text is the name of an agent.
    """

    name: str
    strategy: str
    children: tuple[TreeBranch | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row: an agent, or a supervisor of the tree.

    Attributes:
        label: what stands first in it.
        agent: the agent; None for a supervisor.
        note: what stands behind the label of a supervisor.
        depth: how many supervisors are above it.
    """

    label: str
    agent: AgentLine | None = None
    note: str = ""
    depth: int = 0


def rows_of(frame: Frame, view: View, tree: TreeBranch) -> list[Row]:
    """Return what is to be shown of the agents."""
    wanted = [line for line in frame.agents if _matches(line, view.filter)]
    if view.tree:
        return _tree_rows(wanted, tree)
    key = _KEYS.get(view.order)
    if key is not None:  # what is not known comes last, in either order
        known = [line for line in wanted if key(line) is not None]
        rest = [line for line in wanted if key(line) is None]
        first_is_largest = view.order in _NUMBERS
        wanted = sorted(known, key=key, reverse=first_is_largest != view.reverse) + rest
    elif view.reverse:
        wanted.reverse()
    return [Row(line.name, line) for line in wanted]


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return the agents of rows."""
    return [row.agent.name for row in rows if row.agent is not None]


def _matches(line: AgentLine, wanted: str) -> bool:
    texts = (line.name, line.process, line.situation.state)
    return not wanted or any(wanted.casefold() in text.casefold() for text in texts)


def _tree_rows(wanted: Sequence[AgentLine], tree: TreeBranch) -> list[Row]:
    left = {line.name: line for line in wanted}
    rows = list(_below(tree, 0, left))
    if left:
        rows.append(Row("in no tree", note="agents that the topology does not name"))
        rows += [Row(line.name, line, depth=1) for line in left.values()]
    return rows


def _below(branch: TreeBranch, depth: int, left: dict[str, AgentLine]) -> Iterator[Row]:
    """Give a supervisor and what is below it; one with nothing that is wanted is left out."""
    rows: list[Row] = []
    for child in branch.children:
        if isinstance(child, TreeBranch):
            rows += _below(child, depth + 1, left)
        elif child in left:
            rows.append(Row(child, left.pop(child), depth=depth + 1))
    if rows:
        yield Row(branch.name, note=branch.strategy, depth=depth)
        yield from rows


_STATES: Final = {RUNNING: 2, DONE: 3}
"""What does not run comes first."""


def _seconds_in_hand(line: AgentLine) -> float | None:
    if line.in_hand is None:
        return None
    return line.in_hand.seconds or 0.0


_NUMBERS: Final[Mapping[str, Callable[[AgentLine], Any]]] = {
    "rate": lambda line: line.rate,
    "queued": lambda line: line.queued,
    "backlog": lambda line: line.backlog,
    "in hand": _seconds_in_hand,
    "time": lambda line: line.handling,
    "busy": lambda line: line.busy,
    "errors": lambda line: line.errors,
    "restarts": lambda line: line.restarts,
    "lost": lambda line: line.lost,
}
"""The orders in which the largest number comes first."""

_KEYS: Final[Mapping[str, Callable[[AgentLine], Any]]] = {
    "agent": lambda line: line.name,
    "process": lambda line: (line.process, line.name),
    "state": lambda line: (_STATES.get(line.situation.state, 1), line.situation.state),
    **_NUMBERS,
}
