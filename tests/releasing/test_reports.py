"""The conformance report in a package: whether it is of what is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.reports import disagreements, report_problems
from support.workspaces import Workspace


def problems(workspace: Workspace, name: str = "civitas-pigeon") -> list[str]:
    return list(report_problems(workspace[name], workspace["civitas-core"]))


def test_a_report_of_this_version_that_conforms_is_fine(workspace: Workspace) -> None:
    assert problems(workspace) == []
    assert problems(workspace, "civitas-core") == []
    assert problems(workspace, "civitas") == []


def test_core_ships_a_report_of_its_built_ins(workspace: Workspace) -> None:
    workspace.report("0.0.9", "0.1.0", "civitas-core", plugin="in_process")
    (found,) = problems(workspace, "civitas-core")
    assert "TestPigeon ran with version 0.0.9, not 0.1.0" in found
    file = workspace.report("0.1.0", "0.1.0", "civitas-core")
    file.write_text('{"core": "0.1.0", "suites": []}')
    assert problems(workspace, "civitas-core") == [
        "civitas-core: conformance.json: it has no run of anything"
    ]


def test_the_classes_that_a_fresh_run_tells_otherwise_are_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh.json"
    shipped = workspace.report("0.1.0", "0.1.0")
    fresh.write_text(shipped.read_text())
    assert disagreements(shipped, fresh) == []
    workspace.report("0.1.0", "0.1.0", passed=["test_order"])
    assert disagreements(shipped, fresh) == ["TestPigeon"]
    workspace.report("0.1.0", "0.1.0", **{"class": "TestDove"})
    assert disagreements(shipped, fresh) == ["TestDove", "TestPigeon"]


@pytest.mark.parametrize(
    ("version", "core", "suite", "problem"),
    [
        ("0.0.9", "0.1.0", {}, "TestPigeon ran with version 0.0.9, not 0.1.0"),
        (None, "0.1.0", {}, "TestPigeon ran with version None"),
        ("0.1.0", "0.0.9", {}, "a run with civitas-core 0.0.9, and 0.1.0 is here"),
        ("0.1.0", "0.1.0", {"plugin": "dove"}, "it has no run of the transport pigeon"),
        (
            "0.1.0",
            "0.1.0",
            {"conforms": False, "not_passed": {"test_order": "failed"}},
            "TestPigeon did not pass test_order",
        ),
        ("0.1.0", "0.1.0", {"conforms": False, "not_passed": None}, "can't be read"),
    ],
)
def test_a_report_of_something_else_is_told(
    workspace: Workspace, version: str, core: str, suite: dict[str, object], problem: str
) -> None:
    workspace.report(version, core, **suite)
    (found,) = problems(workspace)
    assert found.startswith("civitas-pigeon: conformance.json")
    assert problem in found


def test_a_report_that_is_not_there_or_no_json_is_told(workspace: Workspace) -> None:
    file = workspace.root / "civitas-pigeon/src/civitas_pigeon/conformance.json"
    file.write_text("{")
    assert "can't be read" in problems(workspace)[0]
    file.unlink()
    assert "there is none" in problems(workspace)[0]
