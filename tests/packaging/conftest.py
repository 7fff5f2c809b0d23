"""What this workspace builds, and what it needs of others: made once for each run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from release.building import Built, build
from release.environment import Environment, download
from release.workspace import Distribution, distributions

REPOSITORY = Path(__file__).parents[2]
WORKSPACE = distributions(REPOSITORY)
Prepare = Callable[..., Environment]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def workspace() -> dict[str, Distribution]:
    """The distributions of this workspace by name."""
    return WORKSPACE


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is built of this workspace, and nothing else."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="session")
def built(workspace: dict[str, Distribution], shelf: Path) -> dict[str, Built]:
    """An sdist of every distribution, and the wheel that was built from it."""
    return {name: build(each.folder, shelf) for name, each in workspace.items()}


@pytest.fixture(scope="session")
def third_party(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pinned wheels that ours need, and with pytest for the extra `testing`."""
    folder = download(repository / "requirements/runtime.txt", tmp_path_factory.mktemp("others"))
    pins = (repository / "requirements/dev.txt").read_text()
    some = tmp_path_factory.mktemp("pins") / "testing.txt"
    blocks = re.findall(r"^(?:pytest|iniconfig)==(?:.*\\\n)*.*\n", pins, re.MULTILINE)
    assert len(blocks) == 2
    some.write_text("".join(blocks))
    download(some, folder)
    assert not list(folder.glob("civitas*")), "ours come from this workspace alone"
    return folder


@pytest.fixture
def prepare(built: dict[str, Built], shelf: Path, third_party: Path, tmp_path: Path) -> Prepare:
    """Make a clean environment and let pip install requirements, with what they depend on."""

    def make(*requirements: str, into: Environment | None = None) -> Environment:
        environment = into or Environment.make(tmp_path / "environment")
        environment.install(*requirements, sources=(shelf, third_party))
        return environment

    return make
