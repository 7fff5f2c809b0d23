"""Tables and plots of a run of the benchmarks, from its document in the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from benchmarks.document import Document, Part
from benchmarks.harness import Row
from benchmarks.texts import digits, spread_text, target_text
from docs_build import plots
from docs_build.plots import Group, Item
from docs_build.reference import markers
from docs_build.reference.markers import Marker, chosen
from docs_build.reference.tables import table
from docs_build.reference.workspace import ROOT

DOCUMENT: Final = ROOT / "benchmarks" / "results.json"
"""The run that the page shows; `make bench-page` replaces it."""

_LONGEST_RATIO: Final = 2.5
"""The longest bar of a ratio: one that is far off would leave all others without a length."""

_COLUMNS: Final = ("work", "ours", "floor", "ratio", "target")
_WITHOUT_FLOOR: Final = ("work", "ours", "target")


def document() -> Document:
    """Return the run that the page shows."""
    return Document.from_json(DOCUMENT.read_text(encoding="utf-8"))


class Benchmarks:
    """The parts of a run: `benchmarks machine`, `benchmarks table nats`, `benchmarks plot asks`."""

    def __init__(self, run: Document) -> None:
        self._run = run
        self._parts = _named(run.parts)
        self._plots: dict[str, Callable[[], str]] = {
            "ratios": self._ratios,
            "asks": lambda: self._by_size("ask p50", "Median time of an ask, by size"),
            "streams": lambda: self._by_size("stream each", "Time of a message, by size"),
            "workers": self._workers,
            "plugins": self._plugins,
        }

    def entries(self) -> list[str]:
        """Return what the pages must show: the machine, and every table and plot."""
        tables = [f"benchmarks table {name}" for name in self._parts]
        return ["benchmarks machine", *tables, *(f"benchmarks plot {name}" for name in self._plots)]

    def part(self, marker: Marker) -> markers.Part:
        """Return the machine, a table or a plot."""
        kind, _, name = marker.subject.partition(" ")
        kind = chosen(kind, ("machine", "table", "plot"), "part of a run")
        if kind == "machine":
            text = self._machine()
        elif kind == "table":
            text = _table(self._parts[chosen(name, self._parts, "suite of this run")])
        else:
            drawn = self._plots[chosen(name, self._plots, "plot")]()
            text = f'<div class="diagram plot" markdown="0">\n{drawn}\n</div>'
        shows = frozenset([f"benchmarks {marker.subject}"])
        return markers.Part(text, shows, is_written=kind != "plot")

    def _machine(self) -> str:
        run, about = self._run, self._run.machine
        libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
        minutes = round(run.seconds / 60)
        facts = {
            "version": run.version,
            "date": run.date,
            "processor": f"{about['processor']}, {about['processors']} of them",
            "memory": f"{about['memory_gib']:g} GiB",
            "system": about["system"],
            "Python": about["python"],
            "libraries and servers": libraries,
            "rounds": f"{run.rounds} for each median; {minutes} minutes in all"
            + ("; a quick look, with fewer messages" if run.quick else ""),
        }
        return table("facts", ["", "of this run"], facts.items())

    def _ratios(self) -> str:
        """Draw all ratios that have a target."""
        groups = []
        for part in self._run.parts:
            rows = [row for row in part.rows if row.ratio and row.target and not row.is_rate]
            items = [
                Item(
                    row.work,
                    min(row.ratio.median, _LONGEST_RATIO),
                    f"{digits(row.ratio.median)}, target {row.target:.2f}",
                    row.target,
                    "" if row.met else "missed",
                )
                for row in rows
                if row.ratio
            ]
            if items and part is self._parts.get(part.suite):
                groups.append(Group(part.title, items))
        return plots.plot("Ratio to the floor of each work that has a target", groups)

    def _by_size(self, key: str, description: str) -> str:
        """Draw times of all transports by the size of the payload, each with its first floor."""
        found: dict[float, list[Item]] = {}
        for part in self._run.parts:
            if part is not self._parts.get(part.suite):
                continue  # measured a second time
            for row in _first_floors(part):
                place = _place(row.key, key)
                if place is None or row.at is None or row.floor is None:
                    continue
                item = Item(place, row.ours.median, _time(row.ours.median), row.floor.median)
                found.setdefault(row.at, []).append(item)
        groups = [Group(_size(size), items) for size, items in sorted(found.items())]
        return plots.plot(description, groups, logarithmic=True)

    def _workers(self) -> str:
        items = [
            Item(
                f"{row.at:g} worker{'s'[: row.at != 1]}",
                row.ours.median,
                f"{digits(row.ours.median)} k/s",
                row.floor.median if row.floor else None,
            )
            for part in self._run.parts
            if part.suite == "workers"
            for row in _first_floors(part)
            if row.at is not None
        ]
        return plots.plot("Asks of 16 askers to one or more workers, a second", [Group("", items)])

    def _plugins(self) -> str:
        groups: dict[str, list[Item]] = {}
        for row in self._rows("plugins"):
            if row.at is not None:
                item = Item(
                    f"{row.at:g} idle plugins", row.ours.median, f"{row.ours.median:.0f} ms"
                )
                groups.setdefault(row.key, []).append(item)
        grouped = [Group(heading, items) for heading, items in groups.items()]
        return plots.plot("Time of whole commands, by the number of installed plugins", grouped)

    def _rows(self, suite: str) -> Iterator[Row]:
        for part in self._run.parts:
            if part.suite == suite:
                yield from part.rows


def _named(parts: Iterable[Part]) -> dict[str, Part]:
    """Return parts by the names that a page gives them; the second one of a suite is unpinned."""
    named: dict[str, Part] = {}
    for part in parts:
        named[f"{part.suite} unpinned" if part.suite in named else part.suite] = part
    return named


def _first_floors(part: Part) -> Iterator[Row]:
    """Give the rows with the first of their floors: a work has a row for each."""
    seen = set()
    for row in part.rows:
        if (row.key, row.at) not in seen:
            seen.add((row.key, row.at))
            yield row


def _place(key: str, wanted: str) -> str | None:
    """Return where a row was measured, by its key: None for a row of another work."""
    if key == wanted or (wanted, key) == ("stream each", "one-way each"):
        return "in_process"
    return key.removesuffix(f" {wanted}") if key.endswith(f" {wanted}") else None


def _table(part: Part) -> str:
    """Return a table for each floor of a suite, and one for what has none."""
    if part.missing:
        return f"This was not measured: {part.missing}."
    by_floor: dict[str, list[Row]] = {}
    for row in part.rows:
        by_floor.setdefault(row.floor_is, []).append(row)
    return "\n\n".join(text for each in by_floor.items() for text in _of_floor(*each))


def _of_floor(floor_is: str, rows: Sequence[Row]) -> Iterator[str]:
    if floor_is:
        yield f"Against {floor_is}:"
        cells = [
            [
                row.work,
                spread_text(row.ours, row.unit),
                spread_text(row.floor, row.unit),
                spread_text(row.ratio),
                _target(row),
            ]
            for row in rows
        ]
        yield table("benchmarks", _COLUMNS, cells)
    else:
        cells = [[row.work, spread_text(row.ours, row.unit), _target(row)] for row in rows]
        yield table("benchmarks alone", _WITHOUT_FLOOR, cells)
    notes = dict.fromkeys(row.note for row in rows if row.note)
    yield from (f"*{note[0].upper()}{note[1:]}.*" for note in notes)


def _target(row: Row) -> str:
    judged = {True: ", met", False: ", **missed**", None: ""}[row.met]
    return f"{target_text(row)}{judged}"


def _size(size: float) -> str:
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size:g} B"


def _time(microseconds: float) -> str:
    if microseconds >= 1000:
        return f"{digits(microseconds / 1000)} ms"
    return f"{digits(microseconds)} us"
