"""Output: the tables and the JSON of `civitas stats`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from civitas.cli.output import write
from civitas.cli.stats.counting import Waiting
from civitas.cli.stats.states import (
    BACKING_OFF,
    DONE,
    RUNNING,
    AgentRow,
    ProcessRow,
    Situation,
    SystemStates,
)
from civitas.cli.tables import Column, write_table

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def write_states(states: SystemStates, waiting: Waiting) -> None:
    """Print a table of the processes, one of the agents, and what is to be said of them."""
    columns = [Column(each, wraps=True) for each in ("process", "role", "node", "state")]
    columns += [Column(each, is_number=True) for each in ("sent", "delivered", "lost", "dropped")]
    write_table(columns, map(_process_cells, states.processes))
    write("")
    columns = [Column(each, wraps=True) for each in ("agent", "process", "state")]
    numbers = ["queued", "handled", "errors", "restarts"]
    numbers += [] if waiting.counts is None else ["waiting"]
    columns += [Column(each, is_number=True) for each in numbers]
    write_table(columns, (_agent_cells(each, waiting) for each in states.agents))
    write(*_reasons("process", states.processes), *_reasons("agent", states.agents))
    write(*_own_work(states), *_losses(states), *_faults(states), *waiting.lines)


def json_of(states: SystemStates, waiting: Waiting, now: datetime | None = None) -> dict[str, Any]:
    """Return the states as values for JSON; times are those of this machine."""
    now = now or datetime.now(UTC)
    counts = waiting.counts
    processes = [
        {
            "process": each.name,
            "expected": each.expected,
            **_situation(each.situation, now),
            "node": each.node or None,
        }
        for each in states.processes
    ]
    agents = [
        {
            "agent": each.name,
            "process": each.process,
            "expected": each.expected,
            **_situation(each.situation, now),
            "backlog": None if counts is None else counts.get(each.name, 0),
        }
        for each in states.agents
    ]
    kept: dict[str, Any] = {}
    if counts is not None:
        kept["waiting"] = {name: count for name, count in counts.items() if count}
    if waiting.stranded is not None:
        kept["stranded"] = dict(waiting.stranded)
    all_running = not any(states.failing)
    return {"all_running": all_running, "processes": processes, "agents": agents, **kept}


def duration(seconds: float) -> str:
    """Return a time in its two largest units, as "3 min 12 s"; below a minute in tenths."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    at = next(index for index, (size, _) in enumerate(_UNITS) if round(seconds) >= size)
    (size, unit), (smaller, other) = _UNITS[at : at + 2]
    whole, rest = divmod(round(seconds), size)
    return f"{whole} {unit} {rest // smaller} {other}"


def _situation(situation: Situation, now: datetime) -> dict[str, Any]:
    since, until = situation.since, situation.until
    return {
        "state": situation.state,
        "since": None if since is None else _iso(now - timedelta(seconds=since)),
        "seconds": since,
        "until": None if until is None else _iso(now + timedelta(seconds=until)),
        "seconds_left": until,
        "reason": situation.reason,
    }


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def situation_text(situation: Situation) -> str:
    """Return a state, with how long it has lasted or will last where that matters."""
    if situation.state == BACKING_OFF and situation.until is not None:
        return f"{BACKING_OFF}, {duration(situation.until)} left"
    if situation.since is None or situation.state in {RUNNING, DONE}:
        return situation.state
    return f"{situation.state} for {duration(situation.since)}"


def _process_cells(row: ProcessRow) -> Sequence[str]:
    answer, head = row.answer, [row.name]
    if answer is None:
        return [*head, "", row.node[:8], situation_text(row.situation)]
    missing = (sum(each.values()) for each in (answer.lost, answer.dropped))
    counts = map(str, (answer.sent, answer.delivered, *missing))
    return [*head, answer.role, row.node[:8], situation_text(row.situation), *counts]


def _agent_cells(row: AgentRow, waiting: Waiting) -> Sequence[str]:
    answer, numbers = row.answer, [""] * 4
    if answer is not None:
        counts = answer.mailbox_depth, answer.handled, answer.errors, answer.restarts
        numbers = [*map(str, counts)]
    kept = [] if waiting.counts is None else [str(waiting.counts.get(row.name, 0))]
    return [row.name, row.process, situation_text(row.situation), *numbers, *kept]


def _reasons(what: str, rows: Sequence[ProcessRow | AgentRow]) -> Iterator[str]:
    for row in rows:
        if row.situation.reason:
            yield f"{what} {row.name!r} is {row.situation.state}: {row.situation.reason}"


def _own_work(states: SystemStates) -> Iterator[str]:
    """Say what agents have besides what others send them: timers, background tasks, retries."""
    for row in states.agents:
        of = row.answer
        if of is None:
            continue
        counts = {
            "timers": of.timers,
            "ticks": of.ticks,
            "ticks swallowed": of.ticks_swallowed,
            "background tasks": of.background_tasks,
            "retries": of.retries,
        }
        texts = [f"{what} {count}" for what, count in counts.items() if count]
        if texts:
            yield f"agent {row.name!r}: {', '.join(texts)}"


def _losses(states: SystemStates) -> Iterator[str]:
    for row in states.processes:
        if row.answer is not None:
            for what, counts in (("lost", row.answer.lost), ("dropped", row.answer.dropped)):
                for reason, count in counts.items():
                    yield f"{row.name}: {what} {count}: {reason}"


def _faults(states: SystemStates) -> Iterator[str]:
    """Say which methods of instruments have raised, and how often."""
    for row in states.processes:
        for name, counts in (row.answer.instruments if row.answer is not None else {}).items():
            for method, count in counts.items():
                yield f"{row.name}: instrument {name!r}: {method} has failed {count} times"
