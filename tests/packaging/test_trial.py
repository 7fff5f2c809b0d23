"""Running a plugin's tests with a core that is installed from its wheel, and with no other."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from release.building import Built, build
from release.environment import Environment
from release.trial import try_with
from support.workspaces import Workspace

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

TESTS = """
import civitas, civitas_pigeon

def test_what_is_tested():
    print("tested with", civitas.__file__)
    assert civitas_pigeon.__doc__ == "Version 0.1.0."
"""


@pytest.fixture(scope="module")
def tools(third_party: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with pytest, and nothing of ours."""
    environment = Environment.make(tmp_path_factory.mktemp("tools") / "environment")
    environment.install("--no-deps", *map(str, third_party.iterdir()), sources=())
    return environment


def plugin(folder: Path, *dependencies: str) -> Workspace:
    """Write a plugin and its own tests."""
    folder.mkdir()
    made = Workspace(folder)
    made.write("civitas-pigeon", "0.1.0", *dependencies)
    made.write("civitas", "0.1.0")
    tests = folder / "tests/pigeon"
    tests.mkdir(parents=True)
    (tests / "test_pigeon.py").write_text(TESTS)
    return made


def tried(made: Workspace, tools: Environment, core: Built, folder: Path) -> list[str]:
    pigeon = made["civitas-pigeon"]
    wheel = build(pigeon.folder, folder / "dist").wheel
    return try_with(tools, core.wheel, [(pigeon, wheel)], made.root, jobs=1)


def test_a_plugin_is_tried_with_the_core_that_is_installed_and_its_failures_are_told(
    tools: Environment,
    built: dict[str, Built],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = plugin(tmp_path / "fits", "civitas-core>=0.1,<0.2")
    # What lies beside the tests is not what is tested.
    (made.root / "civitas").mkdir()
    (made.root / "civitas/__init__.py").write_text("raise RuntimeError('the source tree')")
    assert tried(made, tools, built["civitas-core"], tmp_path) == []
    assert "1 passed" in capfd.readouterr().err
    test = made.root / "tests/pigeon/test_pigeon.py"
    test.write_text(TESTS.replace("0.1.0", "0.2.0"))
    (problem,) = tried(made, tools, built["civitas-core"], tmp_path)
    assert problem == "the tests of civitas-pigeon fail: pytest ended with 1"
    assert f"tested with {tools.folder}" in capfd.readouterr().err
    test.unlink()
    (problem,) = tried(made, tools, built["civitas-core"], tmp_path)
    assert problem == "the tests of civitas-pigeon fail: pytest ended with 5"
    shutil.rmtree(test.parent)
    assert tried(made, tools, built["civitas-core"], tmp_path) == [
        "civitas-pigeon has no tests of its own"
    ]


def test_a_core_that_the_plugin_does_not_admit_is_refused_by_pip(
    tools: Environment, built: dict[str, Built], tmp_path: Path
) -> None:
    made = plugin(tmp_path / "early", "civitas-core>=0.7,<0.8")
    (problem,) = tried(made, tools, built["civitas-core"], tmp_path)
    assert "conflicting" in problem


def test_code_that_is_not_what_is_installed_is_not_tested(
    tools: Environment, built: dict[str, Built], tmp_path: Path
) -> None:
    made = plugin(tmp_path / "strange", "civitas-core>=0.1,<0.2")
    elsewhere = made.root / "elsewhere/civitas_pigeon"
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").touch()
    site = tools.folder / f"lib/python3.{sys.version_info.minor}/site-packages"
    link = site / "aaa.pth"
    link.write_text(f"import sys; sys.path.insert(0, {str(elsewhere.parent)!r})\n")
    try:
        (problem,) = tried(made, tools, built["civitas-core"], tmp_path)
    finally:
        link.unlink()
    assert problem == f"what would be tested is not what is installed, but {elsewhere}/__init__.py"
