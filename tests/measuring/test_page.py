"""The page on performance shows the run that is in the repository, and no part of another one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.document import Document, Part
from benchmarks.harness import Row, Spread
from benchmarks.page import main, problem_of
from benchmarks.suites import SUITES, tables_of
from docs_build.plots import Group, Item, plot
from docs_build.reference.benchmarks import DOCUMENT, Benchmarks, document
from docs_build.reference.contents import reference
from docs_build.reference.markers import Marker, markers

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def run(**changes: object) -> Document:
    """Return a whole run, of rows that are all alike."""
    one = Spread(1.0, 2.0, 3.0)
    row = Row("work", "us", one, "floor", one, one, 1.5, key="zmq ask p50", at=100)
    parts = [
        Part(name, SUITES[name].title, pinned, [row])
        for name, pinned in tables_of(list(SUITES), pinned=None)
    ]
    made = Document("v1", "2026-01-30T08:15:02Z", 60, False, 5, {"libraries": {}}, parts)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_document_is_read_as_it_was_written() -> None:
    made = run()
    assert Document.from_json(made.to_json()) == made
    with pytest.raises(ValueError, match="another version"):
        Document.from_json(made.to_json().replace('"format": 1', '"format": 0'))


def test_the_document_in_the_repository_is_what_would_be_written_again() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert Document.from_json(text).to_json() == text


def test_the_page_has_every_table_and_plot_of_the_run() -> None:
    asked = [marker.subject for marker, _ in markers(PAGE.read_text(encoding="utf-8"))]
    assert sorted(f"benchmarks {each}" for each in asked) == sorted(
        Benchmarks(document()).entries()
    )


def test_every_row_of_the_run_is_on_the_page() -> None:
    page = reference().filled(PAGE.read_text(encoding="utf-8"))
    for part in document().parts:
        for row in part.rows:
            assert f"| {row.work} |" in page
    assert document().date in page


def test_all_plots_are_well_formed_and_described() -> None:
    page = reference().filled(PAGE.read_text(encoding="utf-8"))
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == sum(" plot " in each for each in Benchmarks(document()).entries())
    for each in drawn:
        assert ET.fromstring(each).get("aria-label")


def test_bars_are_as_long_as_their_values_and_marks_stand_at_theirs() -> None:
    svg = plot(
        "p", [Group("g", [Item("a", 2, "2", mark=1), Item("b & c", 4, "4", style="missed")])]
    )
    bars = [float(each) for each in re.findall(r'class="bar[^>]*? width="([\d.]+)"', svg)]
    assert bars[1] == pytest.approx(2 * bars[0], abs=0.2)
    [mark] = re.findall(r'x1="([\d.]+)"', svg)
    assert float(mark) - 10 == pytest.approx(bars[0] / 2, abs=0.2)
    assert "b &amp; c" in svg
    assert 'class="bar missed"' in svg


def test_dots_stand_on_an_axis_of_powers_of_ten() -> None:
    items = [Item("a", 1, ""), Item("b", 10, ""), Item("c", 99, "")]
    svg = plot("p", [Group("", items)], logarithmic=True)
    first, second, _ = (float(each) for each in re.findall(r'cx="([\d.]+)"', svg))
    assert (first, second) == (10, 240)


def test_only_a_whole_run_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert problem_of(run()) == ""
    assert problem_of(run(quick=True)) == "it was only a quick look"
    assert problem_of(run(parts=run().parts[1:])) == "it lacks messages"
    unpinned = [part for part in run().parts if part.pinned or part.suite != "nats"]
    assert problem_of(run(parts=unpinned)) == "it lacks nats"
    missing = [replace(part, missing="no server") for part in run().parts]
    assert "redis" in problem_of(run(parts=missing))
    before = DOCUMENT.read_bytes()
    file = tmp_path / "quick.json"
    file.write_text(run(quick=True).to_json())
    assert main(file) == 1
    assert "it was only a quick look" in capsys.readouterr().err
    assert DOCUMENT.read_bytes() == before


def test_what_was_not_measured_is_said_in_place_of_its_table() -> None:
    parts = [replace(part, rows=[], missing="there is no server") for part in run().parts]
    text = Benchmarks(run(parts=parts)).part(Marker("benchmarks", "table nats", (), {}, "")).text
    assert text == "This was not measured: there is no server."
