"""What the plugin packages of this workspace may touch of others, beside what the linter sees."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = sorted(
    path.parent for path in REPOSITORY.glob("civitas-*/src/civitas_*/__init__.py") if path.is_file()
)
OF_NAMEDTUPLES = {"_asdict", "_replace", "_make", "_fields"}


def private_names_of_others(source: str) -> Iterator[str]:
    """Yield the names with one underscore that code looks up in what it does not own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            name = "" if own else node.attr
        elif isinstance(node, ast.ImportFrom):
            name = next((each.name for each in node.names if each.name.startswith("_")), "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr"}:
            name = str(getattr(node.args[1], "value", ""))
        else:
            continue
        if re.match(r"_(?!_)", name) and name not in OF_NAMEDTUPLES:
            yield name


def test_one_file_alone_looks_at_private_attributes_of_a_library() -> None:
    found = {
        str(path.relative_to(package.parent)): names
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
        if (names := set(private_names_of_others(path.read_text())))
    }
    assert found.keys() == {"civitas_nats/client.py"}
    assert {"_transport", "_io_writer", "_server_info"} <= found["civitas_nats/client.py"]


def test_the_library_whose_private_attributes_are_looked_at_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "civitas-nats/pyproject.toml").read_text())["project"]
    (library,) = (each for each in project["dependencies"] if each.startswith("nats-py"))
    assert re.search(r"==|<\s*2\.\d+", library), library


def test_what_plugins_may_use_of_core_has_a_page_in_the_api_reference() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (
        each for each in settings["contracts"] if each["name"] == "Plugins use what core documents"
    )
    imports = (each.split(" -> ") for each in contract["ignore_imports"])
    modules = [imported for importer, imported in imports if importer == "**"]
    pages = "".join(page.read_text() for page in (REPOSITORY / "docs/api").glob("*.md"))
    assert len(modules) >= 6
    assert [each for each in modules if f"::: {each}" not in pages] == []
