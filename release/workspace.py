"""The distributions of this workspace, as their pyproject files describe them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

CORE: Final = "civitas-core"


@dataclass(frozen=True)
class Distribution:
    """One distribution: a folder with a pyproject file.

    Attributes:
        folder: what it is built from.
        settings: the whole pyproject file.
    """

    folder: Path
    settings: dict[str, Any]

    @property
    def project(self) -> dict[str, Any]:
        """The table `[project]` of its pyproject file."""
        table: dict[str, Any] = self.settings["project"]
        return table

    @property
    def name(self) -> str:
        """Its name, as it is installed."""
        name: str = self.project["name"]
        return name

    @property
    def version(self) -> Version:
        """The version that would be built now."""
        return Version(self.project["version"])

    @property
    def tag(self) -> str:
        """The git tag of this version's release."""
        return f"{tag_prefix(self.name)}{self.version}"

    @property
    def package(self) -> Path | None:
        """The folder of its package; `None` where a distribution has no code."""
        target = self.settings["tool"]["hatch"]["build"]["targets"]["wheel"]
        packages: list[str] = target.get("packages", [])
        return self.folder / packages[0] if packages else None

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """What it needs at run time, without extras."""
        return tuple(map(Requirement, self.project.get("dependencies", ())))

    @cached_property
    def extras(self) -> dict[str, tuple[Requirement, ...]]:
        """What each of its extras adds."""
        table = self.project.get("optional-dependencies", {})
        return {extra: tuple(map(Requirement, texts)) for extra, texts in table.items()}

    @property
    def is_plugin(self) -> bool:
        """Whether it offers plugins of any kind."""
        return any(group.startswith("civitas.v") for group in self.project.get("entry-points", ()))

    def admitted(self, name: str) -> SpecifierSet | None:
        """Return which versions of a distribution it works with; `None` if it needs none."""
        needed = [each for each in self.requirements if canonicalize_name(each.name) == name]
        return needed[0].specifier if needed else None


def tag_prefix(name: str) -> str:
    """Return what the tags of a distribution's releases begin with, before the version."""
    return f"{name}-v"


def distributions(root: Path) -> dict[str, Distribution]:
    """Return the distributions of a workspace by name: the root's, core, then the plugins."""
    folders = [root, *sorted(path.parent for path in root.glob("civitas-*/pyproject.toml"))]
    found = [
        Distribution(folder, tomllib.loads((folder / "pyproject.toml").read_text()))
        for folder in folders
    ]
    return {each.name: each for each in found}
