"""Placing: the files of a new folder, which is written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from civitas.errors import ConfigurationError


def place(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a folder that is not there yet, or is empty.

    They are written beside it first, and the finished folder is moved to its place. So nothing of
    anybody's is overwritten, and a failure leaves nothing behind.

    Raises:
        ConfigurationError: something is in that place.
        OSError: the system did not let us write.
    """
    target = Path(os.path.realpath(folder))  # an empty folder may be there through a symbolic link
    _refuse_what_is_there(folder, target)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        unfinished.mkdir()
        for name, text in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        unfinished.rename(target)  # fails where something has come into the folder meanwhile
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _refuse_what_is_there(folder: Path, target: Path) -> None:
    if not target.parent.is_dir():
        raise ConfigurationError(f"there is no folder {str(folder.parent)!r} to make one in")
    if not os.path.lexists(target):
        return
    if not target.is_dir() or any(target.iterdir()):
        raise ConfigurationError(
            f"{str(folder)!r} is there already, and nothing in it was touched: choose another "
            f"place with --directory"
        )
    if target == Path.cwd():  # replacing it would leave the shell in a deleted folder
        raise ConfigurationError(
            f"{str(folder)!r} is the current folder: choose one that is not there yet with "
            f"--directory"
        )
