"""Paths that commands are given: `~` is the user's folder also where a shell leaves it."""

from __future__ import annotations

from pathlib import Path
from zipfile import is_zipfile

import typer


def at_home(path: Path | None) -> Path | None:
    """Return a path with `~` at its beginning replaced; shells leave the one in `--option=~/x`.

    Raises:
        typer.BadParameter: there is no such user.
    """
    if path is None or not path.parts[:1] or not path.parts[0].startswith("~") or path.exists():
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        raise typer.BadParameter(f"{str(path)!r} begins with '~', and there is no such user") from (
            None
        )


def all_at_home(paths: list[Path] | None) -> list[Path]:
    """Return some paths, each as `at_home` does."""
    return [at_home(each) or each for each in paths or ()]


def module_folder(path: Path) -> Path:
    """Return a folder from which modules can be imported, or a zip file, which Python reads too.

    Raises:
        typer.BadParameter: it is neither.
    """
    found = at_home(path)
    assert found is not None
    if found.is_dir() or (found.is_file() and is_zipfile(found)):
        return found
    what = "is no folder" if found.exists() else "does not exist"
    raise typer.BadParameter(f"the folder {str(found)!r} {what}")
