"""Suites: what can be measured, by name, and whether it is pinned to one processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from benchmarks import agents, messages, plugins, scrapes, startup, tracing
from benchmarks.harness import Effort, Row
from benchmarks.nats.rows import rows as nats_rows
from benchmarks.processes import workers
from benchmarks.processes.rows import many_agents
from benchmarks.processes.rows import rows as processes_rows
from benchmarks.processes.signed_rows import rows as signed_rows
from benchmarks.redis.rows import rows as redis_rows


class Suite(NamedTuple):
    """Rows that are measured together.

    Attributes:
        title: what they are about.
        rows: measures them, one after the other.
        pinned: whether all its processes are kept on one processor. Threads that wake each other
            on two of them take several times as long, or not, as the scheduler likes.
        both: whether it is measured a second time, without that.
    """

    title: str
    rows: Callable[[Effort], Iterator[Row]]
    pinned: bool = True
    both: bool = False


SUITES: Final = {
    "messages": Suite("Within one process", messages.rows),
    "tracing": Suite("With OpenTelemetry", tracing.rows),
    "processes": Suite("Between two processes, zmq", processes_rows, both=True),
    "many": Suite("Many agents in another process, zmq", many_agents),
    "workers": Suite("Many askers and several workers, zmq", workers.rows, pinned=False),
    "signed": Suite("With a cluster key, zmq", signed_rows),
    "nats": Suite("Between two processes, nats", nats_rows, both=True),
    "redis": Suite("Between two processes, redis", redis_rows, both=True),
    "agents": Suite("Agents at rest", agents.rows),
    "scrapes": Suite("Scrapes of metrics", scrapes.rows, pinned=False),
    "startup": Suite("Start", startup.rows),
    "plugins": Suite("Installed plugins", plugins.rows),
}


def tables_of(names: list[str], *, pinned: bool | None) -> Iterator[tuple[str, bool]]:
    """Give the suites to measure, those that are measured twice at the end.

    Args:
        names: the suites.
        pinned: how all are measured; None: as each says.
    """
    if pinned is not None:
        yield from ((name, pinned) for name in names)
        return
    yield from ((name, SUITES[name].pinned) for name in names)
    yield from ((name, False) for name in names if SUITES[name].both)
