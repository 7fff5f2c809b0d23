"""`python -m benchmarks`: print the table; exit 1 when a target is missed, or not measured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from rich.console import Console
from rich.table import Table

from benchmarks import agents, messages, plugins, startup
from benchmarks.harness import MissingError, Row
from benchmarks.nats.rows import rows as nats_rows
from benchmarks.processes.rows import rows as processes_rows
from benchmarks.processes.signed_rows import rows as signed_rows

SUITES = {
    "agents": agents.rows,
    "messages": messages.rows,
    "processes": processes_rows,
    "signed": signed_rows,
    "nats": nats_rows,
    "startup": startup.rows,
    "plugins": plugins.rows,
}


def _table(rows: list[Row]) -> Table:
    table = Table("work", "floor", "ours", "ratio", "target", "met")
    for row in rows:
        table.add_row(
            row.work,
            f"{row.floor:.2f} {row.unit}" if row.floor is not None else "",
            f"{row.ours:.2f} {row.unit}",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
            f"{row.target:.3g}" + (" x" if row.ratio is not None else f" {row.unit}"),
            "yes" if row.met else "no",
        )
    return table


def main() -> int:
    """Measure the suites that were named, or all of them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    unknown = set(chosen.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    console = Console(stderr=True)
    rows: list[Row] = []
    missing = False
    for name in chosen.suites or SUITES:
        console.print(f"measuring {name} ...")
        try:
            rows += SUITES[name]()
        except MissingError as error:
            console.print(f"not measured: {error}")
            missing = True
    if chosen.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n")
    else:
        Console().print(_table(rows))
    return 0 if all(row.met for row in rows) and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
