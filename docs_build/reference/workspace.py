"""What the packages of the workspace offer: their transports, commands and modules."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from typer import Typer

ROOT: Final = Path(__file__).parents[2]
_TRANSPORTS: Final = "civitas.v1.transports"


@cache
def members() -> list[dict[str, Any]]:
    """Return the `[project]` tables of the packages, in the order in which they are installed."""
    workspace = _read(ROOT)["tool"]["civitas"]["workspace"]
    return [_read(ROOT / name)["project"] for name in workspace["members"]]


def transports() -> list[str]:
    """Return the names of all transports: the one that is built in, and those of the packages."""
    offered = (project.get("entry-points", {}).get(_TRANSPORTS, {}) for project in members())
    return ["in_process", *(name for each in offered for name in each)]


def commands() -> dict[str, Typer]:
    """Return the typer app of each command that the packages install, by the command's name."""
    apps = {}
    for project in members():
        for name, target in project.get("scripts", {}).items():
            apps[name] = _app(target.partition(":")[0])
    return apps


def modules() -> Iterator[ModuleType]:
    """Import and give every module of the packages."""
    for project in members():
        name = {"civitas-core": "civitas"}.get(project["name"], project["name"].replace("-", "_"))
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def changelogs() -> dict[str, str]:
    """Return the text of the changelog of each distribution, by the distribution's name."""
    folders = [
        ROOT,
        *(ROOT / name for name in _read(ROOT)["tool"]["civitas"]["workspace"]["members"]),
    ]
    return {
        _read(folder)["project"]["name"]: (folder / "CHANGELOG.md").read_text(encoding="utf-8")
        for folder in folders
    }


def _app(module: str) -> Typer:
    """Return the app of a module that has one, or of the module `app` in a package."""
    app = getattr(importlib.import_module(module), "app", None)
    return app if isinstance(app, Typer) else _app(f"{module}.app")


def _read(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
