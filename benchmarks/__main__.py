"""`python -m benchmarks`: measure, print tables; exit 1 when a target is missed or not measured."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.document import Document, Part
from benchmarks.harness import FULL, QUICK, Effort, MissingError, Row
from benchmarks.machine import described_version, machine, pinned_if
from benchmarks.suites import SUITES, tables_of
from benchmarks.texts import met_text, spread_text, target_text

_SAID: Final = Console(stderr=True, highlight=False, soft_wrap=True)
_COLUMNS: Final = {
    "work": True,
    "ours": False,
    "floor": False,
    "ratio": False,
    "target": False,
    "met": False,
    "floor is": True,
}
"""The columns of a table, and whether a narrow terminal has them in several lines."""

_AGAIN: Final = 10 << 10
"""Bytes of the largest messages where a suite is measured a second time."""

_WIDTH: Final = 160
"""Characters of a line where no terminal says how many it has."""


def table_of(part: Part) -> Table:
    """Return the rows of a suite as a table for a terminal."""
    where = "one processor" if part.pinned else "not pinned"
    table = Table(box=SIMPLE_HEAD, title=f"{part.title} ({where})", title_justify="left")
    for name, is_text in _COLUMNS.items():
        table.add_column(name, no_wrap=not is_text, overflow="fold")
    for row in part.rows:
        table.add_row(
            row.work,
            spread_text(row.ours, row.unit),
            spread_text(row.floor, row.unit),
            spread_text(row.ratio),
            target_text(row),
            met_text(row),
            row.floor_is,
        )
    return table


class Run:
    """One run: measures suite after suite, and says how far it is."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._began = monotonic()
        self.parts: list[Part] = []

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return monotonic() - self._began

    def measure(self, tables: list[tuple[str, bool]]) -> None:
        """Measure these suites, each pinned or not; what was measured stays when it is ended."""
        for number, (name, pinned) in enumerate(tables, 1):
            with pinned_if(pinned) as is_pinned:
                if pinned and not is_pinned:
                    _SAID.print("this system can't keep a process on one processor: not pinned")
                where = "on one processor" if is_pinned else "not pinned"
                _SAID.print(f"{number}/{len(tables)} {SUITES[name].title}, {where}")
                again = any(part.suite == name for part in self.parts)
                effort = replace(self._effort, largest=_AGAIN) if again else self._effort
                rows: list[Row] = []
                missing = ""
                try:
                    for row in SUITES[name].rows(effort):
                        rows.append(row)
                        self._tell(row)
                except MissingError as error:
                    missing = str(error)
                    _SAID.print(f"  not measured: {missing}")
                finally:
                    self.parts.append(Part(name, SUITES[name].title, is_pinned, rows, missing))

    def _tell(self, row: Row) -> None:
        said = f"{spread_text(row.ratio)} x" if row.ratio else spread_text(row.ours, row.unit)
        missed = f"  missed: {target_text(row)}" if row.met is False else ""
        minutes, seconds = divmod(int(self.seconds), 60)
        _SAID.print(f"  {minutes}:{seconds:02}  {row.work}: {said}{missed}")


def main() -> int:
    """Measure the suites that were named, or all of them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look")
    parser.add_argument("--json", action="store_true", help="print the document instead of tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the document there")
    pinning = parser.add_mutually_exclusive_group()
    pinning.add_argument("--pinned", action="store_true", help="keep all on one processor")
    pinning.add_argument("--unpinned", action="store_true", help="keep nothing there")
    chosen = parser.parse_args()
    unknown = set(chosen.suites) - set(SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    pinned = True if chosen.pinned else False if chosen.unpinned else None
    effort = QUICK if chosen.quick else FULL
    run, date = Run(effort), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    interrupted = False
    try:
        run.measure(list(tables_of(chosen.suites or list(SUITES), pinned=pinned)))
    except KeyboardInterrupt:
        interrupted = True
        _SAID.print("interrupted; what was measured until then:")
    document = Document(
        described_version(),
        date,
        round(run.seconds),
        chosen.quick,
        effort.rounds,
        machine(),
        run.parts,
    )
    if chosen.output and not interrupted:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(document.to_json(), encoding="utf-8")
    _show(document, as_json=chosen.json)
    if interrupted:
        return 128 + signal.SIGINT
    return 0 if document.met else 1


def _show(document: Document, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(document.to_json())
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    for part in document.parts:
        if part.rows:
            console.print(table_of(part))


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
