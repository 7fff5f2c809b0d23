"""Verdict: what is wrong with a system, or with one process of it, in a line. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from civitas.cli.stats.counting import Waiting
from civitas.cli.stats.output import situation_text
from civitas.cli.stats.states import DONE, RUNNING, AgentRow, ProcessRow, SystemStates

_NAMED: Final = 10
"""Names that a line has, at most."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is looked at.

    Attributes:
        process: the process; None for all of the system.
        backlog: how many messages may wait for an agent; None: any number.
    """

    process: str | None = None
    backlog: int | None = None

    def rows(self, states: SystemStates) -> tuple[list[ProcessRow], list[AgentRow]]:
        """Return the processes and agents of the topology that are looked at."""
        wanted = self.process
        processes = [
            each for each in states.processes if each.expected and wanted in {None, each.name}
        ]
        agents = [
            each for each in states.agents if each.expected and wanted in {None, each.process}
        ]
        return processes, agents


def why_not(checked: Checked, states: SystemStates, waiting: Waiting) -> str:
    """Return why a system is not well, in a line; empty where it is."""
    processes, agents = checked.rows(states)
    parts = [*_not_running("process", processes), *_not_running("agent", agents)]
    if checked.backlog is not None:
        parts += _too_many(checked, checked.backlog, agents, waiting)
    more = f"; and {len(parts) - _NAMED:,} more" if len(parts) > _NAMED else ""
    return "; ".join(parts[:_NAMED]) + more


def well(checked: Checked, states: SystemStates) -> str:
    """Return the line for a system that is well."""
    processes, agents = checked.rows(states)
    return f"ok: {_counted(len(processes), 'process', 'es')}, {_counted(len(agents), 'agent', 's')}"


def _counted(count: int, one: str, plural: str) -> str:
    return f"{count:,} {one}{plural if count != 1 else ''}"


def _not_running(what: str, rows: Sequence[ProcessRow | AgentRow]) -> Iterator[str]:
    for each in rows:
        if each.situation.state not in {RUNNING, DONE}:
            yield f"{what} {each.name!r} is {situation_text(each.situation)}"


def _too_many(
    checked: Checked, limit: int, agents: Sequence[AgentRow], waiting: Waiting
) -> Iterator[str]:
    """Name what waits for an agent, or for nobody, if that is more than a limit."""
    if waiting.problem:
        yield f"what waits was not counted: {waiting.problem}"
    counts = {each.name: _waits(each, waiting.counts) for each in agents}
    for name, count in counts.items():
        if count > limit:
            yield f"{count:,} messages wait for agent {name!r}"
    for name, count in (waiting.stranded or {}).items():
        if count > limit and checked.process is None:
            yield f"{count:,} messages are stranded, for {name!r}"


def _waits(row: AgentRow, kept: Mapping[str, int] | None) -> int:
    """Return what a transport keeps for an agent; where it keeps nothing, what is queued."""
    if kept is not None:
        return kept.get(row.name, 0)
    return 0 if row.answer is None else row.answer.mailbox_depth
