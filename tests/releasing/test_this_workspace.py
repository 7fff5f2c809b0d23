"""What holds for our own distributions at any time, not only on the day of a release."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.changelog import form_problems
from release.compatibility import PAGE, page_problems, rows_in
from release.oldest import oldest_core
from release.ranges import range_problems
from release.reports import conformance_tests
from release.trial import tests_of as own_tests_of
from release.workspace import CORE, distributions

REPOSITORY = Path(__file__).parents[2]
WORKSPACE = distributions(REPOSITORY)
PLUGINS = [each for each in WORKSPACE.values() if each.is_plugin]
TABLE = (REPOSITORY / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORKSPACE)
def test_each_distribution_has_a_changelog_with_its_version(name: str) -> None:
    text = (WORKSPACE[name].folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert form_problems(text, WORKSPACE[name].version) == []


@pytest.mark.parametrize("name", WORKSPACE)
def test_each_distribution_admits_the_others_as_they_are_here(name: str) -> None:
    assert list(range_problems(WORKSPACE[name], WORKSPACE)) == []


def test_the_page_of_versions_has_a_line_for_each_plugin() -> None:
    assert len(rows_in(TABLE)) >= len(PLUGINS) > 2
    assert list(page_problems(TABLE, WORKSPACE)) == []


@pytest.mark.parametrize("part", [">=0.1,<0.2", "| 0.1.x", "| v1"])
def test_a_line_that_says_something_else_is_missed(part: str) -> None:
    wrong = TABLE.replace(part, part.replace("1", "7"))
    assert len(list(page_problems(wrong, WORKSPACE))) == len(PLUGINS)


@pytest.mark.parametrize("name", [name for name, each in WORKSPACE.items() if each.package])
def test_each_package_has_a_run_of_the_conformance_kit(name: str) -> None:
    files = conformance_tests(WORKSPACE[name], REPOSITORY)
    assert files
    assert [path for path in files if not path.is_file()] == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_each_plugin_has_tests_and_an_oldest_core_to_run_them_with(plugin) -> None:
    assert own_tests_of(plugin, REPOSITORY)
    oldest = oldest_core(REPOSITORY, plugin, WORKSPACE[CORE])
    assert plugin.admitted(CORE).contains(oldest.version)
