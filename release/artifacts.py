"""What is in an sdist and in a wheel, and what should not be."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any, Final

from packaging.metadata import Metadata

from release.building import Built
from release.workspace import Distribution

_METADATA: Final = {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE"}
_ALSO_IN_WHEEL: Final = {"entry_points.txt"}
_SDIST: Final = {"PKG-INFO", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"}
_ALSO_IN_SDIST: Final = {"src", ".gitignore"}


def metadata_of(wheel: Path) -> Metadata:
    """Return a wheel's metadata, which must be as the standards want it.

    Raises:
        ExceptionGroup: it is not, in each of these ways.
    """
    return Metadata.from_email(_read(wheel, "METADATA"), validate=True)


def problems_of(distribution: Distribution, built: Built) -> list[str]:
    """Return what is wrong with the sdist and the wheel of a distribution, in sentences."""
    return [
        *_metadata_problems(distribution, built.wheel),
        *_wheel_problems(distribution, built.wheel),
        *_sdist_problems(built.sdist),
    ]


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the files that two wheels do not have alike, of equal content."""
    ours, theirs = _contents(one), _contents(other)
    return sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))


def _metadata_problems(distribution: Distribution, wheel: Path) -> Iterator[str]:
    try:
        metadata = metadata_of(wheel)
    except ExceptionGroup as group:
        yield from (f"{wheel.name}: {error}" for error in group.exceptions)
        return
    expected: dict[str, Any] = {
        "name": distribution.name,
        "version": distribution.version,
        "summary": distribution.project["description"],
        "requires_python": distribution.project["requires-python"],
        "license_expression": distribution.project["license"],
        "license_files": ["LICENSE"],
        "description": (distribution.folder / "README.md").read_text(),
        "description_content_type": "text/markdown",
    }
    for field, value in expected.items():
        found = getattr(metadata, field)
        if found != value and str(found) != value:
            yield f"{wheel.name}: its {field} is {found!r}, not {value!r}"
    needed = set(map(str, metadata.requires_dist or ()))
    for each in map(str, distribution.requirements):
        if each not in needed:
            yield f"{wheel.name}: it does not say that it needs {each}"


def _wheel_problems(distribution: Distribution, wheel: Path) -> Iterator[str]:
    names = set(_contents(wheel))
    code = {name for name in names if ".dist-info/" not in name}
    metadata = {name.partition(".dist-info/")[2] for name in names - code}
    package = distribution.package
    yield from (f"{wheel.name}: it has no {each}" for each in sorted(_METADATA - metadata))
    strays = metadata - _METADATA - _ALSO_IN_WHEEL
    yield from (f"{wheel.name}: stray {each}" for each in sorted(strays))
    expected = set() if package is None else set(_package_files(package))
    yield from (f"{wheel.name}: it has no {each}" for each in sorted(expected - code))
    yield from (f"{wheel.name}: stray {each}" for each in sorted(code - expected))
    if package is not None and f"{package.name}/py.typed" not in code:
        yield f"{wheel.name}: it has no {package.name}/py.typed"
    yield from (
        f"{wheel.name}: no entry point {each}" for each in _missing_points(distribution, wheel)
    )


def _package_files(package: Path) -> Iterator[str]:
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(package.parent))


def _missing_points(distribution: Distribution, wheel: Path) -> list[str]:
    """Return the entry points that are declared and not in the wheel, commands included."""
    tables = {
        "console_scripts": distribution.project.get("scripts", {}),
        **distribution.project.get("entry-points", {}),
    }
    declared = {(group, *point) for group, table in tables.items() for point in table.items()}
    folder = f"{wheel.name.rpartition('-py3-')[0]}.dist-info/"
    points = PathDistribution(zipfile.Path(wheel, folder)).entry_points
    found = {(each.group, each.name, each.value) for each in points}
    return [f"{name} = {value} in {group}" for group, name, value in sorted(declared - found)]


def _sdist_problems(sdist: Path) -> Iterator[str]:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    roots = {name.partition("/")[0] for name in names}
    yield from (f"{sdist.name}: it has no {each}" for each in sorted(_SDIST - roots))
    allowed = _SDIST | _ALSO_IN_SDIST
    yield from (f"{sdist.name}: stray {each}" for each in sorted(roots - allowed))
    compiled = sorted(name for name in names if name.endswith(".pyc"))
    yield from (f"{sdist.name}: stray {each}" for each in compiled)


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}


def _read(wheel: Path, metadata: str) -> bytes:
    """Return a file of a wheel's `dist-info` folder."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{metadata}"))
        return archive.read(name)
