"""The rows: asks of 16 askers to one or more workers, each in a process of its own.

Ours and both floors have as many processes: all that are ever asked, the whole time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from benchmarks import ours
from benchmarks.harness import Effort, Pairing, Row, Work
from benchmarks.processes.rows import INPROC, TCP, free_addresses, options_at, raw_client

ASKERS: Final = 16
ASKS: Final = 8_000
WORKERS: Final = (1, 2, 4, 8)

BEFORE: Final = {1: 11.9, 2: 16.0, 4: 14.7}
"""Thousands of asks a second that this took on two processors before work on it began."""


def rows(effort: Effort) -> Iterator[Row]:
    """Measure rates: as many workers as processors are faster than one, and more are not."""
    options = options_at(free_addresses())
    more = {"count": max(ASKERS, effort.count(ASKS)), "askers": ASKERS}
    with ExitStack() as stack:
        tcp = stack.enter_context(raw_client("tcp", max(WORKERS)))
        inproc = stack.enter_context(raw_client("inproc", max(WORKERS)))
        primary = stack.enter_context(ours.primary("zmq", options))
        names = [f"far_{number}" for number in range(max(WORKERS))]
        for name in names:
            stack.enter_context(ours.worker("zmq", options, process=name, agents={name: "Echo"}))
        primary("answered", agents=names)
        pairing = Pairing(
            {
                TCP: lambda: _rates(lambda w: tcp("many", servers=w, **more)),
                INPROC: lambda: _rates(lambda w: inproc("many", servers=w, **more)),
            },
            lambda: _rates(lambda w: primary("many", agents=names[:w], **more)),
            [
                *(Work(_rate(w), f"asks of {ASKERS} askers to {_counted(w)}") for w in WORKERS),
                *(Work(_share(w), f"{_counted(w)}: part of the rate of one") for w in WORKERS[1:]),
            ],
            unit="k/s",
            is_rate=True,
            key="workers",
        )
        yield from _told(pairing.rows(effort))


def _told(measured: Iterator[Row]) -> Iterator[Row]:
    """Give rows their places in the plot; behind our rate comes what it was to be."""
    by_key = {f"workers {_rate(w)}": w for w in WORKERS}
    for row in measured:
        workers = by_key.get(row.key)
        if workers is None:
            yield replace(row, unit="of 1", key="")
            continue
        yield replace(row, at=workers)
        if row.floor_is == TCP and workers in BEFORE:
            yield Row(
                f"{row.work}: the rate",
                row.unit,
                row.ours,
                target=1.5 * BEFORE[workers],
                is_rate=True,
                note="the targets are 1.5 times what a machine with two processors had before"
                " work on it began",
            )


def _rates(many: Callable[[int], Mapping[str, float]]) -> dict[str, float]:
    """Measure with each number of workers; return the rates, and their parts of the first one."""
    rates = {workers: many(workers)["rate"] for workers in WORKERS}
    shares = {_share(workers): rates[workers] / rates[1] for workers in WORKERS[1:]}
    return {_rate(workers): rates[workers] for workers in WORKERS} | shares


def _rate(workers: int) -> str:
    return f"rate {workers}"


def _share(workers: int) -> str:
    return f"share {workers}"


def _counted(workers: int) -> str:
    return "one worker" if workers == 1 else f"{workers} workers"
