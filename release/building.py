"""From a folder with a pyproject file to an sdist and a wheel, without an index."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from release.commands import run


class Built(NamedTuple):
    """What was built of one distribution."""

    sdist: Path
    wheel: Path


def build(project: Path, out: Path) -> Built:
    """Build an sdist, and the wheel from that sdist: what is released.

    Args:
        project: the folder with the pyproject file.
        out: where the two files go.

    Raises:
        CommandError: it can't be built.
    """
    built = _build(project, out)
    (sdist,) = (path for path in built if path.name.endswith(".tar.gz"))
    (wheel,) = (path for path in built if path.suffix == ".whl")
    return Built(sdist, wheel)


def build_wheel(project: Path, out: Path) -> Path:
    """Build a wheel straight from a folder, as `pip install FOLDER` does."""
    (wheel,) = _build(project, out, "--wheel")
    return wheel


def _build(project: Path, out: Path, *options: str) -> list[Path]:
    """Build into a folder, where files of an earlier build may lie, and return what was built."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out) as fresh:
        # Without isolation, so that the pinned build backend of this environment is the one used.
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", fresh, *options, project)
        return [path.replace(out / path.name) for path in sorted(Path(fresh).iterdir())]
