"""The page on this transport and the README of its package say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from civitas_redis_example.options import RedisOptions

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "civitas-redis-example"
PAGE = (REPOSITORY / "docs" / "redis.md").read_text(encoding="utf-8")
README = (PACKAGE / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "readme"])
def test_every_transport_block_that_is_shown_is_right(text):
    blocks = re.findall(r"```yaml.*?\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        options = yaml.safe_load(block)["transport"]
        assert options.pop("type") == "redis"
        RedisOptions(**options)


def first_cells(heading: str) -> list[str]:
    part = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([\w.]+)` \|", part, re.MULTILINE)


def test_the_readme_goes_through_every_file_of_the_package_and_no_other():
    told = first_cells("The package, file by file")
    files = {path.name for path in PACKAGE.glob("src/*/*.py")} - {"__init__.py"}
    assert set(told) == files | {"pyproject.toml"}
    for name in told:
        assert f"**`{name}`" in README


def test_files_import_from_those_that_the_readme_names_after_them():
    modules = [name.removesuffix(".py") for name in first_cells("The package, file by file")]
    for position, module in enumerate(modules):
        if module != "pyproject.toml":
            text = (PACKAGE / f"src/civitas_redis_example/{module}.py").read_text()
            used = re.findall(r"^from civitas_redis_example\.(\w+) import", text, re.MULTILINE)
            assert set(used) <= set(modules[position + 1 :]), module


def test_the_readme_tells_of_every_file_of_tests():
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    assert set(first_cells("Its tests")) == files


def test_the_class_that_the_readme_shows_is_the_one_that_is_run():
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert block in (Path(__file__).parent / "test_conformance.py").read_text()


def test_the_package_is_small_enough_to_be_read_in_five_minutes():
    lines = [
        line
        for path in PACKAGE.glob("src/*/*.py")
        for line in path.read_text().splitlines()
        if line.strip()
    ]
    assert len(lines) < 360
