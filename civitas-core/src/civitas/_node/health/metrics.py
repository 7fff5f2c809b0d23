"""Metrics: the counters of a node as OpenMetrics text, version 1.0.

The labels are names of the topology and reasons of which there are few: nothing that a message
carries becomes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from civitas import _platform as platform
from civitas._agents.slot import AgentSlot
from civitas._node.health.vitals import Vitals
from civitas.process import ProcessStatus

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PIECE: Final = 100
"""Agents that are written at a time, which takes less than half a millisecond."""

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_OF_AGENTS: Final = (
    (
        "civitas_agent_handled",
        "counter",
        "Messages handled, failed ones that were skipped included.",
    ),
    ("civitas_agent_errors", "counter", "Times that handle raised, retries included."),
    ("civitas_agent_retries", "counter", "Times that a message was handled again."),
    ("civitas_agent_ticks", "counter", "Messages of timers that came into the mailbox."),
    ("civitas_agent_ticks_swallowed", "counter", "Further ones for which an earlier one stood."),
    ("civitas_agent_background_tasks", "gauge", "Background tasks that are running."),
    ("civitas_agent_restarts", "counter", "Times that a fresh object was started."),
    ("civitas_agent_queued", "gauge", "Messages that are queued or wait for room."),
    ("civitas_agent_running", "gauge", "1 while the agent runs, else 0."),
    ("civitas_agent_stuck_seconds", "gauge", "For how long messages wait and none is handled."),
)
"""The families with a sample for each agent."""


async def exposition(vitals: Vitals, blocked: float, *, is_ready: bool) -> bytes:
    """Return the counters as they are now; in any thread, whose event loop goes on meanwhile.

    `blocked` is for how many seconds the node's event loop has not turned.
    """
    process = f'process="{_escaped(vitals.process)}"'
    of_agents: list[list[str]] = [[] for _ in _OF_AGENTS]
    slots = iter(list(vitals.slots.values()))
    while piece := list(islice(slots, _PIECE)):
        _add_agents(piece, vitals, process, of_agents)
        await _let_others_run()
    lines = _of_node(vitals, process, blocked, is_ready=is_ready)
    for (name, kind, text), samples in zip(_OF_AGENTS, of_agents, strict=True):
        if samples:
            lines += _head(name, kind, text)
            lines += samples
    lines.append("# EOF\n")
    await _let_others_run()
    return "\n".join(lines).encode(errors="replace")


async def _let_others_run() -> None:
    """Let other threads have a turn, that of the agents above all, then this thread's own loop."""
    platform.give_way()  # to wait in the loop of this thread would take ten times as long
    await asyncio.sleep(0)


def _of_node(vitals: Vitals, process: str, blocked: float, *, is_ready: bool) -> list[str]:
    bus = vitals.bus
    role = f'{{{process},role="{vitals.role}"}}'
    lost = dict(bus.accounting.lost) if bus.accounting is not None else {}
    only = [f"{{{process}}}"]
    return [
        *_head("civitas_node", "info", "The process and what it is in the system."),
        f"civitas_node_info{role} 1",
        *_family(
            "civitas_ready", "gauge", "1 while /ready says so, else 0.", only, [int(is_ready)]
        ),
        *_family(
            "civitas_loop_blocked_seconds",
            "gauge",
            "For how long the event loop has not turned.",
            only,
            [round(blocked, 3)],
        ),
        *_family(
            "civitas_messages_sent",
            "counter",
            "Messages that agents and callers of this process have sent.",
            only,
            [bus.sent],
        ),
        *_family(
            "civitas_messages_delivered",
            "counter",
            "Frames that came into mailboxes of this process.",
            only,
            [bus.delivered],
        ),
        *_counted(
            "civitas_messages_dropped",
            "What could not be delivered.",
            "reason",
            process,
            dict(bus.dead_letters.counts),
        ),
        *_counted(
            "civitas_messages_lost",
            "Frames that were lost on their way to an agent.",
            "agent",
            process,
            lost,
        ),
    ]


def _add_agents(
    piece: Iterable[AgentSlot], vitals: Vitals, process: str, families: list[list[str]]
) -> None:
    """Write the samples of a few agents, each behind those of its family."""
    now = platform.monotonic()
    handled, errors, retries, ticks, swallowed, tasks, restarts, queued, running, stuck = families
    for slot in piece:
        label = f'{{{process},agent="{_escaped(slot.name)}"}}'
        counts, runs = slot.counts, slot.status is ProcessStatus.RUNNING
        handled.append(f"civitas_agent_handled_total{label} {counts.handled}")
        errors.append(f"civitas_agent_errors_total{label} {counts.errors}")
        retries.append(f"civitas_agent_retries_total{label} {counts.retries}")
        if counts.ticks is not None:
            of_ticks = counts.ticks.queued, counts.ticks.swallowed
            ticks.append(f"civitas_agent_ticks_total{label} {of_ticks[0]}")
            swallowed.append(f"civitas_agent_ticks_swallowed_total{label} {of_ticks[1]}")
        if slot.own_work is not None and slot.own_work.has_background:
            running_now = slot.own_work.background_tasks
            tasks.append(f"civitas_agent_background_tasks{label} {running_now}")
        restarts.append(f"civitas_agent_restarts_total{label} {slot.restarts}")
        queued.append(f"civitas_agent_queued{label} {slot.mailbox.pending}")
        running.append(f"civitas_agent_running{label} {int(runs)}")
        seconds = vitals.queues.stuck(slot, now) if vitals.queues.waits(slot.name) else 0.0
        stuck.append(f"civitas_agent_stuck_seconds{label} {round(seconds, 3)}")


def _counted(
    name: str, text: str, label: str, process: str, counts: Mapping[str, int]
) -> Iterable[str]:
    labels = [f'{{{process},{label}="{_escaped(key)}"}}' for key in counts]
    return _family(name, "counter", text, labels, list(counts.values()))


def _family(
    name: str, kind: str, text: str, labels: Iterable[str], values: Iterable[float]
) -> list[str]:
    suffix = "_total" if kind == "counter" else ""
    pairs = zip(labels, values, strict=True)
    return [*_head(name, kind, text), *(f"{name}{suffix}{each} {value}" for each, value in pairs)]


def _head(name: str, kind: str, text: str) -> list[str]:
    unit = [f"# UNIT {name} seconds"] if name.endswith("_seconds") else []
    return [f"# TYPE {name} {kind}", *unit, f"# HELP {name} {text}"]


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
