"""The rows: asks of 16 askers to one or more workers, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks import ours
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.processes.rows import TCP, free_addresses, options_at, raw_client

ASKERS: Final = 16
ASKS: Final = 8_000
WORKERS: Final = (1, 2, 4, 8)

BEFORE: Final = {1: 11.9, 2: 16.0, 4: 14.7}
"""Thousands of asks a second that this took on two processors before work on it began."""


def rows(effort: Effort) -> Iterator[Row]:
    """Measure rates: as many workers as processors are faster than one, and more are not."""
    options = options_at(free_addresses())
    count = max(ASKERS, effort.count(ASKS))
    with ExitStack() as stack:
        raw = stack.enter_context(raw_client("tcp", max(WORKERS)))
        primary = stack.enter_context(ours.primary("zmq", options))
        names = [f"far_{number}" for number in range(max(WORKERS))]
        for name in names:
            stack.enter_context(ours.worker("zmq", options, process=name, agents={name: "Echo"}))
        primary("answered", agents=names)
        for workers in WORKERS:
            more = {"count": count, "askers": ASKERS}
            [row] = Pairing(
                {TCP: lambda w=workers, m=more: raw("many", servers=w, **m)},
                lambda w=workers, m=more: primary("many", agents=names[:w], **m),
                [Work("rate", f"asks of {ASKERS} askers to {_counted(workers)}")],
                unit="k/s",
                is_rate=True,
                key="workers",
                at=workers,
            ).rows(effort)
            yield row
            if workers in BEFORE:
                yield Row(
                    f"{row.work}: the rate",
                    row.unit,
                    row.ours,
                    target=1.5 * BEFORE[workers],
                    is_rate=True,
                    note="the targets are 1.5 times what a machine with two processors had before"
                    " work on it began",
                )


def _counted(workers: int) -> str:
    return "one worker" if workers == 1 else f"{workers} workers"
