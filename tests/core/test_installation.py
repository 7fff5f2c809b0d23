"""A package `civitas` that another distribution was installed over, or under, says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import civitas
from civitas._installation import FOREIGN
from support.commands import completed

OURS = Path(civitas.__file__).parent
Lay = Callable[..., str]

SAYS = (
    "has files of two distributions: of civitas-core, and of civitas, which is another project",
    f"{sys.executable} -m pip uninstall civitas civitas-core",
    f"{sys.executable} -m pip install civitas-core",
)


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lay a package of our files and of others, and return what an import of it says."""

    def import_of(module: str, **texts: str) -> str:
        package = tmp_path / "site" / "civitas"
        package.mkdir(parents=True)
        names = {each: f"{each}.py" for each in texts if each != "observability"}
        for entry in OURS.iterdir():
            if entry.name not in names.values():
                (package / entry.name).symlink_to(entry)
        for each, text in texts.items():
            (package / names.get(each, each)).write_text(text)
        done = completed(
            *(sys.executable, "-W", "error", "-c", f"import {module}; print('fine')"),
            PYTHONPATH=os.pathsep.join((str(package.parent), *sys.path)),
            PYTHONDONTWRITEBYTECODE="1",
        )
        return done.stdout + done.stderr

    return import_of


def test_what_gives_the_other_away_is_no_name_of_ours() -> None:
    assert not FOREIGN & {path.name for path in OURS.iterdir()}


def test_ours_alone_is_imported(lay: Lay) -> None:
    assert lay("civitas.runtime") == "fine\n"


@pytest.mark.parametrize("left", sorted(FOREIGN))
def test_a_file_that_the_other_left_is_told_when_ours_came_last(lay: Lay, left: str) -> None:
    told = lay("civitas", **{left.removesuffix(".py"): ""})
    assert "ImportError" in told
    for part in (*SAYS, f" ({left})"):
        assert part in told, told


def test_the_others_package_says_it_too_when_that_came_last(lay: Lay) -> None:
    told = lay(
        "civitas",
        __init__="import civitas.bus",
        bus="import civitas.serializer",
        serializer="",
        errors="",
        messages="",
    )
    for part in (*SAYS, " (bus.py, serializer.py)"):
        assert part in told, told
