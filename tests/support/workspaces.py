"""A workspace of distributions, small and in a git repository of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from release.commands import run
from release.workspace import Distribution, distributions

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "One of a small workspace"
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
license-files = ["LICENSE"]
dependencies = {dependencies}
{points}
[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]

[tool.hatch.build.targets.sdist]
include = ["/src", "/README.md", "/CHANGELOG.md", "/LICENSE", "/pyproject.toml"]
"""
TABLE = "| `civitas-pigeon` | 0.1.x | `>=0.1,<0.2` | v1 |\n"


@dataclass(frozen=True)
class Workspace:
    """The distributions civitas, civitas-core and civitas-pigeon, as a test wants them."""

    root: Path

    def write(
        self, name: str, version: str, *dependencies: str, section: str = "2020-05-17"
    ) -> None:
        """Write a distribution, or another version of it."""
        folder = self.root / name if name != "civitas" else self.root
        package = "civitas" if name == "civitas-core" else name.replace("-", "_")
        points = f'[project.entry-points."civitas.v1.transports"]\npigeon = "{package}.plugin"\n'
        text = PYPROJECT.format(
            name=name,
            version=version,
            package=package,
            dependencies=json.dumps(dependencies),
            points=points if name == "civitas-pigeon" else "",
        )
        if name == "civitas":
            text = text.replace('packages = ["src/civitas"]', "bypass-selection = true")
        else:
            source = folder / "src" / package
            source.mkdir(parents=True, exist_ok=True)
            (source / "__init__.py").write_text(f'"""Version {version}."""\n')
            (source / "py.typed").touch()
        (folder / "pyproject.toml").write_text(text)
        (folder / "README.md").write_text(f"# {name}\n")
        (folder / "LICENSE").write_text("Do as you like.\n")
        (folder / "CHANGELOG.md").write_text(f"## [{version}] - {section}\n\n- Better.\n")

    def report(
        self, version: str, core: str, name: str = "civitas-pigeon", **suite: object
    ) -> Path:
        """Write the report that a package ships, of one class."""
        about = {
            "class": "TestPigeon",
            "kind": "transport",
            "plugin": "pigeon",
            "version": version,
            "conforms": True,
            "not_passed": {},
            **suite,
        }
        package = self[name].package
        assert package is not None
        file = package / "conformance.json"
        file.write_text(json.dumps({"core": core, "suites": [about]}))
        return file

    def commit(self, *tags: str) -> None:
        """Commit all there is, and tag it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "as it is")
        for tag in tags:
            self.git("tag", tag)

    def git(self, *arguments: str) -> str:
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        return run("git", *author, "-c", "commit.gpgsign=false", *arguments, cwd=self.root)

    def __getitem__(self, name: str) -> Distribution:
        """Return a distribution as it is written now."""
        return distributions(self.root)[name]
