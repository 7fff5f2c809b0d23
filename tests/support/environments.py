"""Environments without the plugins of this workspace, whichever of them are installed here."""

from __future__ import annotations

import re
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_OURS: Final = re.compile(r"_*civitas|_+editable")


def link_third_party(folder: Path) -> None:
    """Fill a folder with what this environment has installed, except for our distributions."""
    folder.mkdir()
    for path in sys.path:
        if path.endswith("site-packages"):
            for entry in Path(path).iterdir():
                if not _OURS.match(entry.name):
                    (folder / entry.name).symlink_to(entry)


def make_bare(folder: Path, *plugins: str) -> Path:
    """Make an environment with civitas-core and no other distribution of ours.

    Args:
        folder: where it is made.
        plugins: those of our distributions that it has all the same.

    Returns:
        Its Python; the command `civitas` is beside it.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    link_third_party(folder / "third_party")
    names = [each.replace("-", "_") for each in plugins]
    (site / "bare.pth").write_text(str(folder / "third_party"))
    for package in ("civitas", *names):
        (site / package).symlink_to(_source(package))
    for path in map(Path, sys.path):
        for name in ("civitas_core", *names):
            for metadata in path.glob(f"{name}-*.dist-info"):
                (site / metadata.name).symlink_to(metadata)
    python = folder / "bin" / "python"
    command = python.with_name("civitas")
    script = Path(sys.executable).with_name("civitas").read_text()
    command.write_text(re.sub("^#!.*", f"#!{python}", script))
    command.chmod(0o755)
    return python


def _source(package: str) -> Path:
    """Return the folder of a package, without importing it; others may be beside it."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None, f"{package} is a folder of another kind"
    return Path(spec.origin).parent
