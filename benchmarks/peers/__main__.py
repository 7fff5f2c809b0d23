"""`python -m benchmarks.peers`: ours beside its peers, all of them in one run on one processor.

Exit 1 when a peer was not measured, or a target was missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import MissingError
from benchmarks.peers.contenders import WORKS, Contender, Places
from benchmarks.peers.environments import OURS, UnavailableError, find_python, make
from benchmarks.peers.measure import Row, measure, pin_to_one_processor
from benchmarks.processes.rows import free_addresses
from benchmarks.servers import nats_server
from release.commands import run

INTERRUPTED = 130

BUSY = 0.5
"""Processes that ran on average in the last minute, from which on times are doubtful."""


def _machine(python: Path, processor: int | None) -> dict[str, Any]:
    """Describe what this was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "processors": os.cpu_count(),
        "pinned_to": processor,
        "system": f"{platform.system()} {platform.release()}",
        "python": run(python, "-c", "import platform; print(platform.python_version())").strip(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _environments(python: Path, wanted: list[str], console: Console) -> dict[str, Path]:
    """Make the environments; say which ones can't be made."""
    made = {}
    for name in wanted:
        console.print(f"environment of {name} ...")
        try:
            made[name] = make(name, python)
        except UnavailableError as error:
            console.print(
                f"not measured: {name}: no environment could be made ({error}); that needs a "
                f"package index with what requirements/ pins",
                soft_wrap=True,
                markup=False,
            )
    return made


def _table(work: str, rows: list[Row]) -> Table:
    columns = ("who", "µs", "rounds", "p99", "by floor", "by ours", "cpu", "by ours")
    table = Table(*columns, title=work, title_justify="left")
    for row in rows:
        table.add_row(
            row.contender,
            _number(row.median, 0),
            f"{row.low:.0f} - {row.high:.0f}",
            _number(row.p99, 0),
            _number(row.of_floor, 2),
            _number(row.of_ours, 2),
            _number(row.cpu, 0),
            _number(row.cpu_of_ours, 2),
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _print(rows: list[Row], machine: dict[str, Any]) -> None:
    console = Console(highlight=False)
    for work, of_work in groupby(rows, lambda row: row.work):
        shown = list(of_work)
        console.print(_table(work, shown))
        for row in shown:
            how = f"{row.contender}: {row.version}" + (f", {row.note}" if row.note else "")
            console.print(how, soft_wrap=True)
        console.print()
    console.print(", ".join(f"{key}: {value}" for key, value in machine.items()), soft_wrap=True)


def _measure(
    pythons: Mapping[str, Path], rounds: int, console: Console
) -> tuple[list[Row], dict[str, str]]:
    """Measure all works; return the rows, and who was not measured, with the reason."""
    rows: list[Row] = []
    missing: dict[str, str] = {}

    def not_measured(contender: Contender, reason: str) -> None:
        missing[contender.name] = reason
        console.print(f"not measured: {contender.name}: {reason}", markup=False)

    with nats_server() as nats, console.status("") as status:
        progress = status.update if console.is_terminal else console.print
        for work in WORKS:
            ports = {each.name: free_addresses() for each in work.contenders}
            places = Places(nats, ports)
            rows += measure(work, pythons, places, rounds, not_measured, progress)
    return rows, missing


def _report_targets(rows: list[Row], console: Console) -> bool:
    """Say which targets are met; return whether all are."""
    for row in rows:
        if row.target is not None and row.of_ours is not None:
            console.print(
                f"{row.work}: ours takes {1 / row.of_ours:.2f} of the time of {row.contender}, "
                f"target {row.target}: {'missed' if row.missed else 'met'}; "
                f"{1 / (row.cpu_of_ours or 1):.2f} of its use of the processor",
                soft_wrap=True,
            )
    return not any(row.missed for row in rows)


def main() -> int:
    """Make the environments, measure, print."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each does its work")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--python", type=Path, help="the interpreter of all environments")
    parser.add_argument("--unpinned", action="store_true", help="use all processors")
    chosen = parser.parse_args()
    if chosen.rounds < 5:
        parser.error("a median needs 5 rounds at least")
    console = Console(stderr=True, highlight=False)
    python = chosen.python or find_python()
    peers = sorted({each.environment for work in WORKS for each in work.contenders} - {OURS})
    pythons = _environments(python, [OURS, *peers], console)
    if OURS not in pythons:
        return 1
    if os.getloadavg()[0] > BUSY:
        console.print("this machine is busy: others slow some contenders more than others")
    machine = _machine(python, None if chosen.unpinned else pin_to_one_processor())
    try:
        rows, missing = _measure(pythons, chosen.rounds, console)
    except MissingError as error:
        console.print(f"not measured: {error}")
        return 1
    if chosen.json:
        document = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "rounds": chosen.rounds,
            "unit": "us",
            "rows": [dataclasses.asdict(row) for row in rows],
            "not_measured": missing | {n: "no environment" for n in peers if n not in pythons},
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(rows, machine)
    complete = not missing and len(pythons) > len(peers)
    return 0 if _report_targets(rows, console) and complete else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)
