"""Environments without the plugins of this workspace, whichever of them are installed here."""

from __future__ import annotations

import re
import sys
import venv
from pathlib import Path
from typing import Final

import civitas

_OURS: Final = re.compile(r"_*(civitas|editable)")


def link_third_party(folder: Path) -> None:
    """Fill a folder with what this environment has installed, except for our distributions."""
    folder.mkdir()
    for path in sys.path:
        if path.endswith("site-packages"):
            for entry in Path(path).iterdir():
                if not _OURS.match(entry.name):
                    (folder / entry.name).symlink_to(entry)


def make_bare(folder: Path) -> Path:
    """Make an environment with civitas-core and no other distribution of ours.

    Returns:
        Its Python; the command `civitas` is beside it.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    link_third_party(folder / "third_party")
    core = Path(civitas.__file__).parents[1]
    (site / "bare.pth").write_text(f"{folder / 'third_party'}\n{core}\n")
    for path in map(Path, sys.path):
        for metadata in path.glob("civitas_core-*.dist-info"):
            (site / metadata.name).symlink_to(metadata)
    python = folder / "bin" / "python"
    command = python.with_name("civitas")
    script = Path(sys.executable).with_name("civitas").read_text()
    command.write_text(re.sub("^#!.*", f"#!{python}", script))
    command.chmod(0o755)
    return python
