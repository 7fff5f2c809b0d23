"""`python -m release` on a small workspace: what it says, and its exit code."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from release.__main__ import main
from release.checks import CHECKS
from support.workspaces import Workspace

QUICK = ("tree", "versions", "changelogs", "ranges", "reports")


def results(workspace: Workspace, capsys: Any, *names: str) -> tuple[int, dict[str, Any]]:
    code = main([*names, "--json", "--only", *QUICK], workspace.root)
    rows = json.loads(capsys.readouterr().out)
    return code, {row["check"]: row for row in rows}


def test_a_workspace_that_is_ready_passes_and_the_rest_is_said_to_be_left_out(
    workspace: Workspace, capsys: Any
) -> None:
    code, found = results(workspace, capsys)
    assert {name: row["state"] for name, row in found.items()} == {
        name: "ok" if name in QUICK else "skipped" for name in CHECKS
    }
    assert code == 0
    assert main(["--only", *QUICK], workspace.root) == 0
    out, err = capsys.readouterr()
    assert "versions: The versions are new" in err
    assert re.search(r"^tree +ok +\d", out, re.MULTILINE)
    assert out.endswith(
        "not all was checked: files, docs, conformance, packaging, oldest left out\n"
    )


@pytest.mark.packaging
def test_the_files_are_built_into_dist_once_and_are_those_of_this_release(
    workspace: Workspace, capsys: Any
) -> None:
    old = workspace.root / "dist/civitas_core-0.0.9.tar.gz"
    old.parent.mkdir()
    old.touch()
    assert main(["civitas-pigeon", "--only", "files"], workspace.root) == 0
    assert "dist/civitas_pigeon-0.1.0.tar.gz" in capsys.readouterr().out
    assert sorted(path.name for path in old.parent.iterdir()) == [
        "civitas_pigeon-0.1.0-py3-none-any.whl",
        "civitas_pigeon-0.1.0.tar.gz",
    ]


def test_all_that_speaks_against_a_release_is_said_at_once(
    workspace: Workspace, capsys: Any
) -> None:
    workspace.commit("civitas-core-v0.1.0", "civitas-pigeon-v0.2.0")
    workspace.write("civitas-core", "0.1.0", section="unreleased")
    workspace.write("civitas-pigeon", "0.1.0", "civitas-core>=0.1")
    workspace.report("0.0.9", "0.1.0")
    code, found = results(workspace, capsys)
    assert code == 1
    expected = {
        "tree": "not committed: ",
        "versions": "civitas-core 0.1.0 is released: civitas-core-v0.1.0",
        "changelogs": "civitas-core: its section [0.1.0] has no date",
        "ranges": "civitas-pigeon needs civitas-core>=0.1: that admits",
        "reports": "civitas-pigeon: conformance.json: TestPigeon ran with version 0.0.9",
    }
    for check, problem in expected.items():
        assert found[check]["state"] == "failed"
        assert any(problem in each for each in found[check]["problems"]), found[check]
    assert "civitas-pigeon 0.1.0 is older than civitas-pigeon-v0.2.0" in str(found["versions"])
    assert "docs/compatibility.md lacks the line" in str(found["ranges"])


def test_one_distribution_can_be_released_alone(workspace: Workspace, capsys: Any) -> None:
    workspace.commit("civitas-core-v0.1.0")
    workspace.write("civitas-core", "0.1.0", section="unreleased")
    workspace.commit()
    code, found = results(workspace, capsys, "civitas-pigeon")
    assert code == 0, found
    assert found["versions"]["notes"] == ["civitas-pigeon 0.1.0, after none"]


def test_a_distribution_that_is_not_here_is_bad_input(workspace: Workspace, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["civitas-dove"], workspace.root)
    assert ended.value.code == 2
    assert "no such distribution: civitas-dove; there are civitas," in capsys.readouterr().err
