"""The distributions: what is in them, and what they say of themselves."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from release.artifacts import differences, problems_of
from release.building import Built, build_wheel
from release.workspace import Distribution, distributions

REPOSITORY = Path(__file__).parents[2]
NAMES = list(distributions(REPOSITORY))
Workspace = dict[str, Distribution]
Builds = dict[str, Built]

pytestmark = [pytest.mark.packaging, pytest.mark.slow]


@pytest.mark.parametrize("name", NAMES)
def test_a_distribution_has_what_it_is_built_from_and_nothing_else(
    built: Builds, workspace: Workspace, name: str
) -> None:
    assert problems_of(workspace[name], built[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_sdist_builds_the_same_wheel_as_the_tree(
    built: Builds, workspace: Workspace, name: str, tmp_path: Path
) -> None:
    straight = build_wheel(workspace[name].folder, tmp_path)
    assert differences(built[name].wheel, straight) == []
    assert straight.name == built[name].wheel.name
    assert straight.read_bytes() == built[name].wheel.read_bytes()


def test_versions_and_licences_agree(workspace: Workspace, repository: Path) -> None:
    licence = (repository / "LICENSE").read_bytes()
    for name, each in workspace.items():
        assert each.project["license"] == "Apache-2.0", name
        assert each.project["requires-python"] == ">=3.11", name
        assert (each.folder / "LICENSE").read_bytes() == licence, name


@pytest.fixture
def sample(built: Builds, tmp_path: Path) -> Built:
    """The files of civitas-core, to be spoilt."""
    return Built(*(Path(shutil.copy(path, tmp_path)) for path in built["civitas-core"]))


def rewrite(wheel: Path, without: str, also: dict[str, str]) -> None:
    """Leave a file out of a wheel, and put others in."""
    with zipfile.ZipFile(wheel) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != without}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**kept, **also}.items():
            archive.writestr(name, content)


INFO = "civitas_core-0.1.0.dist-info"
SPOILT = {
    "no marker": ("civitas/py.typed", {}, "it has no civitas/py.typed"),
    "no module": ("civitas/client.py", {}, "it has no civitas/client.py"),
    "no licence": (f"{INFO}/licenses/LICENSE", {}, "it has no licenses/LICENSE"),
    "a stray module": ("", {"tests/test_bus.py": ""}, "stray tests/test_bus.py"),
    "a stray file": ("", {"civitas/client.py.orig": ""}, "stray civitas/client.py.orig"),
    "no command": (f"{INFO}/entry_points.txt", {}, "no entry point civitas = civitas.cli:main"),
    "little to say": (
        f"{INFO}/METADATA",
        {f"{INFO}/METADATA": "Metadata-Version: 2.4\nName: civitas-core\nVersion: 0.1.0\n"},
        "its requires_python is None",
    ),
    "nonsense": (
        f"{INFO}/METADATA",
        {f"{INFO}/METADATA": "Metadata-Version: 2.4\nName: civitas-core\nVersion: new\n"},
        "'new' is invalid for 'version'",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_wheel_that_is_spoilt_is_found_out(
    sample: Built, workspace: Workspace, case: str
) -> None:
    without, also, problem = SPOILT[case]
    rewrite(sample.wheel, without, also)
    found = problems_of(workspace["civitas-core"], sample)
    assert any(problem in each for each in found), found


def test_a_file_that_is_not_alike_in_two_wheels_is_named(sample: Built, built: Builds) -> None:
    rewrite(sample.wheel, "", {"civitas/client.py": "pass", "civitas/more.py": ""})
    different = differences(sample.wheel, built["civitas-core"].wheel)
    assert different == ["civitas/client.py", "civitas/more.py"]


def test_what_is_stray_in_an_sdist_is_named(
    sample: Built, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("not for the world")
    stray = tmp_path / "stray.tar.gz"
    with tarfile.open(sample.sdist) as source, tarfile.open(stray, "w:gz") as target:
        for member in source.getmembers():
            if not member.name.endswith("/README.md"):
                target.addfile(member, source.extractfile(member))
        target.add(tmp_path / "notes.txt", "civitas_core-0.1.0/notes.txt")
    found = problems_of(workspace["civitas-core"], Built(stray, sample.wheel))
    assert found == ["stray.tar.gz: it has no README.md", "stray.tar.gz: stray notes.txt"]
