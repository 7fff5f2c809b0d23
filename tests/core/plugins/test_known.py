"""The table of plugins that are known but not installed, held against the workspace."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from civitas.plugins.catalog import PluginKind, known_distributions

ROOT = Path(__file__).parents[3]


def project(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(path.read_text())["project"]
    return table


def distribution_of(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match
    return match[0]


def distributions_of_extras() -> set[str]:
    extras = project(ROOT / "civitas-core/pyproject.toml")["optional-dependencies"]
    named = {distribution_of(each) for requirements in extras.values() for each in requirements}
    return {each for each in named if each.startswith("civitas")}


def table() -> set[str]:
    return {name for kind in PluginKind for name in known_distributions(kind).values()}


def test_every_distribution_of_an_extra_is_known():
    extras = distributions_of_extras()
    assert extras
    assert extras <= table()


def test_every_known_distribution_is_an_extra_or_the_example_for_authors():
    assert table() - distributions_of_extras() == {"civitas-redis-example"}


def test_every_plugin_of_the_workspace_is_known_under_its_name():
    declared, expected = {}, {}
    for path in ROOT.glob("civitas-*/pyproject.toml"):
        package = project(path)
        for kind in PluginKind:
            for name in package.get("entry-points", {}).get(kind.group, {}):
                declared[kind, name] = package["name"]
                expected[kind, name] = known_distributions(kind).get(name)
    assert declared == expected
