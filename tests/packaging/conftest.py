"""What this workspace builds, once for each run."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def projects() -> dict[str, Path]:
    """The distributions of this workspace by name, with the folders they are built from."""
    folders = [REPOSITORY, *sorted(p.parent for p in REPOSITORY.glob("civitas-*/pyproject.toml"))]
    return {
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]: folder
        for folder in folders
    }


@pytest.fixture(scope="session")
def built(projects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of every distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    for project in projects.values():
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
        subprocess.run([*build, str(project)], check=True, capture_output=True)
    return folder
